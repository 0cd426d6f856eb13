//! Reads one log line: who wrote it, and what it measures.

use yahtzee_pipeline_proto::Measurement;

use super::class::{LineClass, LineWriter, add_on_class};
use super::context::{CommonFields, DynoRef, LineContext};
use super::platform_error::{self, DYNO_LETTER, LOG_LETTER};
use super::router::ParsedRouterLine;
use super::runtime_metrics::{self, DynoSample};
use super::syslog::LogLine;
use super::{app_event, dyno_event, log_loss, router};

/// The process type under which codes of the log system are counted.
const LOG_PROCESS_TYPE: &str = "logplex";

/// A line that has been read.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedLine {
    /// Its class.
    pub class: LineClass,
    /// Its measurements: none, one, or two for a router line with an error code and for a notice of loss.
    pub measurements: [Option<Measurement>; 2],
    /// Whether a measurement is missing because the line was cut or unreadable where its figures are.
    pub truncated: bool,
}

impl ParsedLine {
    /// Returns a line that is only counted.
    #[must_use]
    pub fn of_class(class: LineClass) -> Self {
        Self { class, measurements: [None, None], truncated: false }
    }

    /// Returns a line with one measurement; without it, a line that was cut.
    fn of_one(class: LineClass, measurement: Option<impl Into<Measurement>>) -> Self {
        let truncated = measurement.is_none();
        let measurements = [measurement.map(Into::into), None];
        Self { measurements, truncated, ..Self::of_class(class) }
    }
}

/// Reads one line. Its time is that of `context`.
#[must_use]
pub fn measure(line: &LogLine<'_>, context: LineContext) -> ParsedLine {
    let common = CommonFields::new(context);
    let text = line.text_after_structured_data();
    // The last word of a line may be part of one, unless the end of the line is known.
    let is_whole = !context.repaired || text.ends_with(b"\n");
    let text = if is_whole { text } else { without_last_word(text) };
    match LineWriter::of(line) {
        LineWriter::Router => router_line(text, common),
        LineWriter::LogSystem => log_system_line(text, common.about(DynoRef::of_type(LOG_PROCESS_TYPE))),
        LineWriter::Dyno => dyno_line(text, DynoRef::parse(line.proc_id), common),
        LineWriter::Api => api_line(text, common),
        LineWriter::AddOn(add_on) => ParsedLine::of_class(add_on_class(line.text, add_on)),
        LineWriter::App => ParsedLine::of_class(LineClass::App),
        LineWriter::Unknown => ParsedLine::of_class(LineClass::Unknown),
    }
}

fn without_last_word(text: &[u8]) -> &[u8] {
    text.iter().rposition(|&byte| byte == b' ').map_or(b"", |blank| &text[..blank])
}

fn router_line(text: &[u8], common: CommonFields<'_>) -> ParsedLine {
    match router::read(text, common) {
        ParsedRouterLine::Other => ParsedLine::of_class(LineClass::Unknown),
        ParsedRouterLine::Cut => ParsedLine { truncated: true, ..ParsedLine::of_class(LineClass::Router) },
        ParsedRouterLine::Request(request, error) => {
            let measurements = [Some(request.into()), error.map(Into::into)];
            ParsedLine { measurements, ..ParsedLine::of_class(LineClass::Router) }
        }
    }
}

fn log_system_line(text: &[u8], common: CommonFields<'_>) -> ParsedLine {
    let Some(error) = platform_error::read(text, LOG_LETTER, common) else {
        return ParsedLine::of_class(LineClass::Unknown);
    };
    if !platform_error::announces_loss(&error.code) {
        return ParsedLine::of_one(LineClass::LogNotice, Some(error));
    }
    let loss = log_loss::read(text, &error.code, common);
    let truncated = loss.is_none();
    let measurements = [Some(error.into()), loss.map(Into::into)];
    ParsedLine { measurements, truncated, ..ParsedLine::of_class(LineClass::LogLoss) }
}

fn api_line(text: &[u8], common: CommonFields<'_>) -> ParsedLine {
    match app_event::read(text, common) {
        (LineClass::ApiOther, _) => ParsedLine::of_class(LineClass::ApiOther),
        (class, event) => ParsedLine::of_one(class, event),
    }
}

/// Events come first: they may quote a command, which is the tenant's text and must not pass for a sample.
fn dyno_line(text: &[u8], dyno: Option<DynoRef<'_>>, common: CommonFields<'_>) -> ParsedLine {
    let about_dyno = dyno.map_or(common, |dyno| common.about(dyno));
    let (class, event) = dyno_event::read(text, about_dyno);
    if event.is_none()
        && let Some(sample) = runtime_metrics::read(text, dyno, common)
    {
        return match sample {
            DynoSample::Load(load) => ParsedLine::of_one(LineClass::DynoLoad, load),
            DynoSample::Memory(memory) => ParsedLine::of_one(LineClass::DynoMemory, memory),
        };
    }
    if about_dyno.dyno_num.is_none() {
        return ParsedLine::of_class(LineClass::Unknown);
    }
    if let Some(error) = platform_error::read(text, DYNO_LETTER, about_dyno) {
        return ParsedLine::of_one(LineClass::DynoError, Some(error));
    }
    match (class, event) {
        (LineClass::DynoOther, None) => ParsedLine::of_class(class),
        (class, event) => ParsedLine::of_one(class, event),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use yahtzee_pipeline_proto::raw::{AppEvent, DynoEvent, DynoEventKind, DynoState, Flag};

    use super::*;

    const TIME: &str = "2026-03-04T05:06:07Z";
    const TIME_US: i64 = 1_772_600_767_000_000;

    const CONTEXT: LineContext =
        LineContext { time_us: TIME_US, time_replaced: false, frame_index: 7, repaired: false };

    fn read(source: &str, text: &str) -> ParsedLine {
        let message = format!("<1>1 {TIME} host {source} - {text}");
        measure(&LogLine::parse(message.as_bytes()).unwrap(), CONTEXT)
    }

    fn errors(parsed: &ParsedLine) -> Vec<(&str, &str, Option<u32>)> {
        let errors = parsed.measurements.iter().flatten().filter_map(|measurement| match measurement {
            Measurement::PlatformError(error) => {
                Some((error.code.as_str(), error.process_type.as_str(), error.dyno_num))
            }
            _ => None,
        });
        errors.collect()
    }

    #[test]
    fn error_codes_and_where_they_count() {
        fn check(source: &str, text: &str, expected: &[(&str, &str, Option<u32>)]) {
            let parsed = read(source, text);
            assert_eq!(errors(&parsed), expected, "{source} {text}");
        }
        check(
            "heroku router",
            "at=error code=H12 path=\"/\" fwd=x dyno=web.3 status=503",
            &[("H12", "web", Some(3))],
        );
        check(
            "heroku router",
            "at=error code=H10 path=\"/\" fwd=x dyno= status=503",
            &[("H10", "web", None)],
        );
        check("heroku worker.2", "Error R14 (Memory quota exceeded)", &[("R14", "worker", Some(2))]);
        check(
            "heroku logplex",
            "Error L10 (output buffer overflow): 3 messages",
            &[("L10", "logplex", None)],
        );
        check("token log-shuttle", "- Error L12: 2 messages dropped", &[("L12", "logplex", None)]);
        check("app web.1", "Error R14 (Memory quota exceeded)", &[]);
        check("app router", "at=error code=H12 status=503", &[]);
    }

    #[test]
    fn a_notice_of_loss_is_an_error_and_a_loss() {
        fn check(text: &str, expected: Option<(u64, i64)>) {
            let parsed = read("heroku logplex", text);
            let losses = parsed.measurements.iter().flatten().filter_map(|measurement| match measurement {
                Measurement::LogLoss(loss) => Some((loss.count, loss.since_us)),
                _ => None,
            });
            assert_eq!(losses.collect::<Vec<_>>(), Vec::from_iter(expected), "{text}");
            assert_eq!(errors(&parsed).len(), 1, "{text}");
            assert_eq!(parsed.truncated, parsed.class == LineClass::LogLoss && expected.is_none(), "{text}");
        }
        let overflow = "Error L10 (output buffer overflow):";
        let minute_us = 60_000_000;
        check(
            &format!("{overflow} 3 messages dropped since 2026-03-04T05:05:07Z."),
            Some((3, TIME_US - minute_us)),
        );
        check(&format!("{overflow} 3 messages dropped since 2026-03-04T05:07:07Z."), Some((3, TIME_US)));
        check(&format!("{overflow} 3 messages dropped"), Some((3, TIME_US)));
        check(&format!("{overflow} messages"), None);
        check("Error L15 (Tail buffer temporarily unavailable)", None);
    }

    #[test]
    fn events_of_dynos_and_apps() {
        fn check(source: &str, text: &str, expected: Option<Measurement>) {
            let parsed = read(source, text);
            assert_eq!(parsed.measurements, [expected, None], "{source} {text}");
        }
        let crashed = DynoEvent {
            time_us: TIME_US,
            process_type: "web".to_owned(),
            dyno_num: Some(1),
            frame_index: 7,
            kind: DynoEventKind::StateChanged.into(),
            from: Some(DynoState::Up.into()),
            to: Some(DynoState::Crashed.into()),
            ..DynoEvent::default()
        };
        check("heroku web.1", "State changed from up to crashed", Some(Measurement::DynoEvent(crashed)));
        let release = AppEvent { time_us: TIME_US, frame_index: 7, release: Some(42), ..AppEvent::default() };
        let text = "Release v42 created by user dev@example.com";
        check("app api", text, Some(Measurement::AppEvent(release.clone())));
        check("heroku api", text, Some(Measurement::AppEvent(release)));
        check("app api.1", text, None);
        check("app web.1", "State changed from up to crashed", None);
        check("heroku web", "State changed from up to crashed", None);
    }

    #[test]
    fn a_command_does_not_pass_for_a_sample() {
        let command = "Starting process with command `run memory_total=5MB load_avg_1m=9`";
        let parsed = read("heroku web.1", command);
        let Some(Measurement::DynoEvent(event)) = &parsed.measurements[0] else { panic!("{parsed:?}") };
        assert_eq!(event.kind(), DynoEventKind::Starting);
    }

    #[test]
    fn notices_are_flagged_as_no_request() {
        fn check(code: &str, expected: u32) {
            let text = format!("at=info code={code} path=\"/\" fwd=x dyno= connect= service= status=503");
            let parsed = read("heroku router", &text);
            let Some(Measurement::RouterRequest(request)) = &parsed.measurements[0] else {
                panic!("{parsed:?}")
            };
            assert_eq!(request.flags, expected, "{code}");
        }
        for code in ["H80", "H81", "H82"] {
            check(code, Flag::NotARequest as u32);
        }
        for code in ["H79", "H83", "H12"] {
            check(code, 0);
        }
    }

    #[test]
    fn a_line_has_the_time_of_its_context_and_a_flag_if_that_is_not_its_own() {
        fn check(time_us: i64, time_replaced: bool, expected_flag: Flag) {
            let message = format!("<1>1 {TIME} host heroku router - at=info path=\"/\" fwd=x status=200");
            let context = LineContext { time_us, time_replaced, ..CONTEXT };
            let parsed = measure(&LogLine::parse(message.as_bytes()).unwrap(), context);
            let Some(Measurement::RouterRequest(request)) = &parsed.measurements[0] else {
                panic!("{parsed:?}")
            };
            assert_eq!((request.time_us, request.flags), (time_us, expected_flag as u32));
        }
        check(TIME_US, false, Flag::None);
        check(5, true, Flag::TimeReplaced);
    }

    #[test]
    fn cut_lines_are_counted_as_such() {
        fn check(source: &str, text: &str, expected: bool) {
            let parsed = read(source, text);
            assert_eq!(parsed.truncated, expected, "{text}");
            assert_eq!(parsed.measurements, [None, None], "{text}");
        }
        check("heroku router", "at=info method=GET path=\"/", true);
        check("heroku web.1", "source=web.1 sample#load_avg_1m=NaN", true);
        check("heroku web.1", "State changed from up", true);
        check("app api", "Release v42", true);
        check("app api", "Scaled to web@1", true);
        check("heroku router", "foo", false);
        check("heroku web.1", "Process exited", false);
    }

    #[test]
    fn the_source_key_wins_over_the_process_id() {
        fn check(source: &str, text: &str, expected: (&str, Option<u32>)) {
            let parsed = read(source, text);
            let Some(Measurement::DynoLoad(load)) = &parsed.measurements[0] else { panic!("{parsed:?}") };
            assert_eq!((load.process_type.as_str(), load.dyno_num), expected, "{source} {text}");
        }
        check("heroku web.1", "source=web.2 sample#load_avg_1m=1.00", ("web", Some(2)));
        check("heroku web.1", "sample#load_avg_1m=1.00", ("web", Some(1)));
        check("heroku dynoload", "source=worker.3 sample#load_avg_1m=1.00", ("worker", Some(3)));
        check("heroku dynoload", "sample#load_avg_1m=1.00", ("dynoload", None));
    }

    proptest! {
        #[test]
        fn any_text_of_any_writer_is_read_without_panic(
            source in "(heroku|app|logplex|x) (router|web\\.1|api|logplex|log-shuttle|heroku-redis|1)",
            text in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let message = [format!("<1>1 {TIME} host {source} - ").as_bytes(), &text].concat();
            let _ = measure(&LogLine::parse(&message).unwrap(), CONTEXT);
        }

        #[test]
        fn applications_measure_nothing(
            proc_id in "[a-z]{1,8}(\\.[0-9]{1,3})?",
            text in "(at=error code=H12 |source=web.1 |sample#load_avg_1m=1 |Error R14 \\(x\\) |Error L10 \\(x\\)|[ -~]{0,20}){0,6}",
        ) {
            let parsed = read(&format!("app {proc_id}"), &text);
            prop_assert_eq!(parsed.measurements, [None, None]);
        }
    }
}
