//! From one log line to its measurements.

use yahtzee_pipeline_proto::Measurement;
use yahtzee_pipeline_proto::raw::{
    AppEvent, DynoEvent, DynoLoad, DynoMemory, Flag, LogLoss, PlatformError, RouterRequest,
};

use crate::class::{Class, Writer, add_on_class};
use crate::log_loss::{self, Notice};
use crate::platform_error::{self, DYNO_LETTER, LOG_LETTER};
use crate::router;
use crate::runtime_metrics::{self, Figures, Sample};
use crate::syslog::Line;
use crate::timestamp;
use crate::value::{self, Dyno};
use crate::{app_event, dyno_event};

/// How far a line's time may lie ahead of its receipt, in microseconds.
const MAX_AHEAD_US: i64 = 60_000_000;

/// The process type that the router serves.
const ROUTER_PROCESS_TYPE: &str = "web";

/// The process type under which codes of the log system are counted.
const LOG_PROCESS_TYPE: &str = "logplex";

/// Codes of the router that are no request of their own: maintenance mode, blank app, quota used up.
const NOTICE_CODES: std::ops::RangeInclusive<u32> = 80..=82;

/// Where and when a line was received.
#[derive(Clone, Copy, Debug)]
pub struct Receipt {
    /// Microseconds since 1970.
    pub recv_us: i64,
    /// Place in the body, a prepended L10 line not counted.
    pub frame_index: u32,
    /// Whether the message's border was found by repair.
    pub repaired: bool,
}

/// What a line was found to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Its class.
    pub class: Class,
    /// Its measurements: none, one, or two for a router line with an error code and for a notice of loss.
    pub measurements: [Option<Measurement>; 2],
    /// Whether a measurement is missing because the line was cut or unreadable where its figures are.
    pub truncated: bool,
    /// Its own time, microseconds since 1970; `None` if that was unreadable or too far ahead.
    pub own_time_us: Option<i64>,
    /// Whether it was measured at its receive time, because it has no usable time of its own.
    pub time_replaced: bool,
}

impl Reading {
    /// A line that is only counted.
    #[must_use]
    pub fn of_class(class: Class) -> Self {
        let measurements = [None, None];
        Self { class, measurements, truncated: false, own_time_us: None, time_replaced: false }
    }

    /// A line with one measurement; without it, a line that was cut.
    fn of_one(class: Class, measurement: Option<Measurement>) -> Self {
        let truncated = measurement.is_none();
        Self { measurements: [measurement, None], truncated, ..Self::of_class(class) }
    }

    fn truncated(class: Class) -> Self {
        Self { truncated: true, ..Self::of_class(class) }
    }
}

/// Reads one line.
#[must_use]
pub fn measure(line: &Line<'_>, receipt: Receipt) -> Reading {
    let stamp = Stamp::new(line, receipt);
    let text = line.text_after_structured_data();
    let reading = match Writer::of(line) {
        Writer::Router => router_line(text, stamp),
        Writer::LogSystem => log_system_line(text, stamp),
        Writer::Dyno => dyno_line(line, text, stamp),
        Writer::Api => api_line(text, stamp),
        Writer::AddOn(add_on) => Reading::of_class(add_on_class(line.text, add_on)),
        Writer::App => Reading::of_class(Class::App),
        Writer::Unknown => Reading::of_class(Class::Unknown),
    };
    let time_replaced = reading.measurements[0].is_some() && stamp.own_time_us.is_none();
    Reading { own_time_us: stamp.own_time_us, time_replaced, ..reading }
}

/// The time that `text` says, microseconds since 1970; `None` if it is no time, or too far ahead of the receipt.
pub(crate) fn own_time_us(text: &[u8], recv_us: i64) -> Option<i64> {
    let latest_us = recv_us.saturating_add(MAX_AHEAD_US);
    timestamp::parse_us(text).filter(|&time_us| time_us <= latest_us)
}

/// The fields that all measurements of a line share.
#[derive(Clone, Copy)]
struct Stamp {
    time_us: i64,
    frame_index: u32,
    flags: u32,
    own_time_us: Option<i64>,
}

impl Stamp {
    fn new(line: &Line<'_>, receipt: Receipt) -> Self {
        let own_time_us = own_time_us(line.time, receipt.recv_us);
        let replaced = flag(own_time_us.is_none(), Flag::TimeReplaced);
        let repaired = flag(receipt.repaired, Flag::RepairedFrame);
        Self {
            time_us: own_time_us.unwrap_or(receipt.recv_us),
            frame_index: receipt.frame_index,
            flags: replaced | repaired,
            own_time_us,
        }
    }

    fn error(self, code: String, process_type: &str, dyno_num: Option<u32>) -> PlatformError {
        let Self { time_us, frame_index, flags, .. } = self;
        PlatformError { time_us, process_type: process_type.to_owned(), dyno_num, frame_index, flags, code }
    }

    /// The loss that a notice announces; its begin is the notice's own until the body has been read.
    fn loss(self, code: String, Notice { count, since_us }: Notice) -> LogLoss {
        let Self { time_us, frame_index, flags, .. } = self;
        let since_us = since_us.map_or(time_us, |since_us| since_us.min(time_us));
        LogLoss { time_us, frame_index, flags, code, count, since_us }
    }
}

pub(crate) fn flag(set: bool, flag: Flag) -> u32 {
    if set { flag as u32 } else { 0 }
}

fn router_line(text: &[u8], stamp: Stamp) -> Reading {
    let Some(request) = router::read(text) else { return Reading::of_class(Class::Unknown) };
    if request.status.is_none() && request.h_code.is_none() {
        return Reading::truncated(Class::Router);
    }
    let is_notice = request.h_code.is_some_and(|code| NOTICE_CODES.contains(&code));
    let flags = stamp.flags | flag(is_notice, Flag::NotARequest) | flag(request.cut, Flag::Truncated);
    let stamp = Stamp { flags, ..stamp };
    let process_type = request.dyno.map_or(ROUTER_PROCESS_TYPE, |dyno| dyno.process_type);
    let dyno_num = request.dyno.map(|dyno| dyno.number);
    let error = request.h_code.map(|code| stamp.error(format!("H{code:02}"), ROUTER_PROCESS_TYPE, dyno_num));
    let request = RouterRequest {
        time_us: stamp.time_us,
        process_type: process_type.to_owned(),
        dyno_num,
        frame_index: stamp.frame_index,
        flags,
        status: request.status,
        service_ms: request.service_ms,
        connect_ms: request.connect_ms,
        bytes: request.bytes,
        h_code: request.h_code,
    };
    let measurements = [Some(Measurement::RouterRequest(request)), error.map(Measurement::PlatformError)];
    Reading { measurements, ..Reading::of_class(Class::Router) }
}

fn log_system_line(text: &[u8], stamp: Stamp) -> Reading {
    let Some(code) = platform_error::read(text, LOG_LETTER) else { return Reading::of_class(Class::Unknown) };
    let error = Some(Measurement::PlatformError(stamp.error(code.to_owned(), LOG_PROCESS_TYPE, None)));
    if !platform_error::announces_loss(code) {
        return Reading::of_one(Class::LogNotice, error);
    }
    let loss = log_loss::read(text).map(|notice| Measurement::LogLoss(stamp.loss(code.to_owned(), notice)));
    let truncated = loss.is_none();
    Reading { measurements: [error, loss], truncated, ..Reading::of_class(Class::LogLoss) }
}

fn api_line(text: &[u8], stamp: Stamp) -> Reading {
    let Stamp { time_us, frame_index, flags, .. } = stamp;
    match app_event::read(text) {
        (Class::ApiOther, _) => Reading::of_class(Class::ApiOther),
        (class, event) => {
            let event = event.map(|event| AppEvent { time_us, frame_index, flags, ..event });
            Reading::of_one(class, event.map(Measurement::AppEvent))
        }
    }
}

/// Events come first: they may quote a command, which is the tenant's text and must not pass for a sample.
fn dyno_line(line: &Line<'_>, text: &[u8], stamp: Stamp) -> Reading {
    let whose = Whose::of(line);
    let (class, event) = dyno_event::read(text);
    if event.is_none()
        && let Some(sample) = runtime_metrics::read(text)
    {
        return sample_line(sample, whose, stamp);
    }
    let Some(whose) = whose.filter(|whose| whose.dyno_num.is_some()) else {
        return Reading::of_class(Class::Unknown);
    };
    if let Some(code) = platform_error::read(text, DYNO_LETTER) {
        let error = stamp.error(code.to_owned(), whose.process_type, whose.dyno_num);
        return Reading::of_one(Class::DynoError, Some(Measurement::PlatformError(error)));
    }
    match (class, event) {
        (Class::DynoOther, None) => Reading::of_class(class),
        (class, event) => {
            let event = event.map(|event| Measurement::DynoEvent(dyno_event_of(event, whose, stamp)));
            Reading::of_one(class, event)
        }
    }
}

fn dyno_event_of(event: DynoEvent, whose: Whose<'_>, stamp: Stamp) -> DynoEvent {
    let Stamp { time_us, frame_index, flags, .. } = stamp;
    let (process_type, dyno_num) = (whose.process_type.to_owned(), whose.dyno_num);
    DynoEvent { time_us, process_type, dyno_num, frame_index, flags, ..event }
}

/// The dyno that a line is about.
#[derive(Clone, Copy)]
struct Whose<'a> {
    process_type: &'a str,
    dyno_num: Option<u32>,
}

impl<'a> Whose<'a> {
    /// By PROCID: `web.1`, or a process type alone.
    fn of(line: &Line<'a>) -> Option<Self> {
        let dyno = Dyno::parse(line.proc_id).map(Self::from);
        let type_alone =
            || value::process_type(line.proc_id).map(|name| Self { process_type: name, dyno_num: None });
        dyno.or_else(type_alone)
    }
}

impl<'a> From<Dyno<'a>> for Whose<'a> {
    fn from(dyno: Dyno<'a>) -> Self {
        Self { process_type: dyno.process_type, dyno_num: Some(dyno.number) }
    }
}

fn sample_line(sample: Sample<'_>, whose: Option<Whose<'_>>, stamp: Stamp) -> Reading {
    let class = match sample.figures {
        Figures::Load(_) => Class::DynoLoad,
        Figures::Memory(_) => Class::DynoMemory,
    };
    let Some(whose) = sample.dyno.map(Whose::from).or(whose).filter(|_| !sample.figures.is_empty()) else {
        return Reading::truncated(class);
    };
    let Stamp { time_us, frame_index, flags, .. } = stamp;
    let (process_type, dyno_num) = (whose.process_type.to_owned(), whose.dyno_num);
    let dyno_uuid = sample.dyno_uuid.map(|uuid| uuid.to_vec()).unwrap_or_default();
    let measurement = match sample.figures {
        Figures::Load(load) => Measurement::DynoLoad(DynoLoad {
            time_us,
            process_type,
            dyno_num,
            dyno_uuid,
            frame_index,
            flags,
            ..load
        }),
        Figures::Memory(memory) => Measurement::DynoMemory(DynoMemory {
            time_us,
            process_type,
            dyno_num,
            dyno_uuid,
            frame_index,
            flags,
            ..memory
        }),
    };
    Reading::of_one(class, Some(measurement))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use yahtzee_pipeline_proto::raw::DynoEventKind;

    use super::*;

    const TIME: &str = "2026-03-04T05:06:07Z";
    const TIME_US: i64 = 1_772_600_767_000_000;

    fn read(time: &str, source: &str, text: &str, recv_us: i64) -> Reading {
        let message = format!("<1>1 {time} host {source} - {text}");
        let receipt = Receipt { recv_us, frame_index: 7, repaired: false };
        measure(&Line::parse(message.as_bytes()).unwrap(), receipt)
    }

    fn errors(reading: &Reading) -> Vec<(&str, &str, Option<u32>)> {
        let errors = reading.measurements.iter().flatten().filter_map(|measurement| match measurement {
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
            let reading = read(TIME, source, text, TIME_US);
            assert_eq!(errors(&reading), expected, "{source} {text}");
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
            let reading = read(TIME, "heroku logplex", text, TIME_US);
            let losses = reading.measurements.iter().flatten().filter_map(|measurement| match measurement {
                Measurement::LogLoss(loss) => Some((loss.count, loss.since_us)),
                _ => None,
            });
            assert_eq!(losses.collect::<Vec<_>>(), Vec::from_iter(expected), "{text}");
            assert_eq!(errors(&reading).len(), 1, "{text}");
            assert_eq!(reading.truncated, reading.class == Class::LogLoss && expected.is_none(), "{text}");
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
            let reading = read(TIME, source, text, TIME_US);
            assert_eq!(reading.measurements, [expected, None], "{source} {text}");
        }
        let crashed = DynoEvent {
            time_us: TIME_US,
            process_type: "web".to_owned(),
            dyno_num: Some(1),
            frame_index: 7,
            ..dyno_event::read(b"State changed from up to crashed").1.unwrap()
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
        let reading = read(TIME, "heroku web.1", command, TIME_US);
        let Some(Measurement::DynoEvent(event)) = &reading.measurements[0] else { panic!("{reading:?}") };
        assert_eq!(event.kind(), DynoEventKind::Starting);
    }

    #[test]
    fn notices_are_flagged_as_no_request() {
        fn check(code: &str, expected: u32) {
            let text = format!("at=info code={code} path=\"/\" fwd=x dyno= connect= service= status=503");
            let reading = read(TIME, "heroku router", &text, TIME_US);
            let Some(Measurement::RouterRequest(request)) = &reading.measurements[0] else {
                panic!("{reading:?}")
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
    fn unreadable_and_future_times_become_the_receive_time() {
        fn check(time: &str, recv_us: i64, expected_us: i64, expected_replaced: bool) {
            let reading = read(time, "heroku router", "at=info path=\"/\" fwd=x status=200", recv_us);
            let Some(Measurement::RouterRequest(request)) = &reading.measurements[0] else {
                panic!("{reading:?}")
            };
            let flag = if expected_replaced { Flag::TimeReplaced as u32 } else { 0 };
            assert_eq!((request.time_us, request.flags), (expected_us, flag), "{time}");
            assert_eq!(reading.time_replaced, expected_replaced, "{time}");
        }
        check(TIME, TIME_US, TIME_US, false);
        check(TIME, TIME_US - MAX_AHEAD_US, TIME_US, false);
        check(TIME, TIME_US - MAX_AHEAD_US - 1, TIME_US - MAX_AHEAD_US - 1, true);
        check(TIME, TIME_US + 3_600_000_000, TIME_US, false);
        check("-", TIME_US, TIME_US, true);
    }

    #[test]
    fn cut_lines_are_counted_as_such() {
        fn check(source: &str, text: &str, expected: bool) {
            let reading = read(TIME, source, text, TIME_US);
            assert_eq!(reading.truncated, expected, "{text}");
            assert_eq!(reading.measurements, [None, None], "{text}");
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
            let reading = read(TIME, source, text, TIME_US);
            let Some(Measurement::DynoLoad(load)) = &reading.measurements[0] else { panic!("{reading:?}") };
            assert_eq!((load.process_type.as_str(), load.dyno_num), expected, "{source} {text}");
        }
        check("heroku web.1", "source=web.2 sample#load_avg_1m=1", ("web", Some(2)));
        check("heroku web.1", "sample#load_avg_1m=1", ("web", Some(1)));
        check("heroku dynoload", "source=worker.3 sample#load_avg_1m=1", ("worker", Some(3)));
        check("heroku dynoload", "sample#load_avg_1m=1", ("dynoload", None));
    }

    proptest! {
        #[test]
        fn any_text_of_any_writer_is_read_without_panic(
            source in "(heroku|app|logplex|x) (router|web\\.1|api|logplex|log-shuttle|heroku-redis|1)",
            text in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let message = [format!("<1>1 {TIME} host {source} - ").as_bytes(), &text].concat();
            let receipt = Receipt { recv_us: TIME_US, frame_index: 0, repaired: true };
            let _ = measure(&Line::parse(&message).unwrap(), receipt);
        }

        #[test]
        fn applications_measure_nothing(
            proc_id in "[a-z]{1,8}(\\.[0-9]{1,3})?",
            text in "(at=error code=H12 |source=web.1 |sample#load_avg_1m=1 |Error R14 \\(x\\) |Error L10 \\(x\\)|[ -~]{0,20}){0,6}",
        ) {
            let reading = read(TIME, &format!("app {proc_id}"), &text, TIME_US);
            prop_assert_eq!(reading.measurements, [None, None]);
        }
    }
}
