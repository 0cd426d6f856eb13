//! Recordings of every form, order and encoding, and the names of their lines.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::line::LineClass;

const OWNER: Owner = Owner([7; 16]);

fn time(second: usize) -> String {
    format!("2016-03-04T05:{:02}:{:02}Z", second / 60 % 60, second % 60)
}

fn time_us(second: usize) -> i64 {
    timestamp::parse_us(time(second).as_bytes()).unwrap()
}

const TEXT: &str =
    "at=info method=GET path=\"/\" fwd=x dyno=web.1 connect=1ms service=2ms status=200 bytes=1";

fn syslog(second: usize) -> String {
    format!("<158>1 {} host heroku router - {TEXT}\n", time(second))
}

fn counted(second: usize) -> String {
    let message = syslog(second);
    format!("{} {message}", message.len())
}

fn cli(second: usize) -> String {
    format!("{} heroku[router]: {TEXT}\n", time(second))
}

/// When each line counts as received, in order, and the number of bad lines.
fn read(input: &[u8]) -> (Vec<i64>, u64) {
    let recording = Recording::read(input).unwrap();
    (recording.lines.iter().map(|line| line.recv_us).collect(), recording.bad_lines())
}

fn chunks(recording: &Recording) -> Vec<RecordingChunk<'_>> {
    let mut first = 0;
    let next = || {
        let chunk = recording.chunk(first)?;
        first += chunk.len();
        Some(chunk)
    };
    std::iter::from_fn(next).collect()
}

/// Names and times of all records that the inputs give an owner, read one after the other.
fn names(inputs: &[String]) -> Vec<(Vec<u8>, i64)> {
    let mut names = LineNames::default();
    let mut found = Vec::new();
    for input in inputs {
        let recording = Recording::read(input.as_bytes()).unwrap();
        for chunk in chunks(&recording) {
            let (records, _) = chunk.records(OWNER, &TokenTable::default(), &mut names);
            found.extend(records.into_iter().map(|record| (record.payload, record.recv_ms)));
        }
    }
    found.sort();
    found
}

#[test]
fn every_form_gives_the_same_lines() {
    for form in [syslog, counted, cli] {
        let input: String = (0..700).map(form).collect();
        assert_eq!(read(input.as_bytes()), ((0..700).map(time_us).collect(), 0));
    }
}

#[test]
fn lines_count_as_received_at_their_own_time_in_its_order_whatever_that_of_the_file() {
    let seconds = [900, 3, 4, 901, 5, 600];
    let input: String = seconds.into_iter().map(cli).collect();
    assert_eq!(read(input.as_bytes()), ([3, 4, 5, 600, 900, 901].map(time_us).to_vec(), 0));
    let recording = Recording::read(input.as_bytes()).unwrap();
    let starts: Vec<i64> = chunks(&recording).iter().map(RecordingChunk::recv_us).collect();
    assert_eq!(starts, [3, 4, 5, 600, 900, 901].map(time_us), "a second each");
}

#[test]
fn a_chunk_holds_a_second_and_no_more_lines_than_a_request() {
    let input: String = std::iter::repeat_n(cli(7), 2 * MAX_CHUNK_LINES + 1).chain([cli(8)]).collect();
    let recording = Recording::read(input.as_bytes()).unwrap();
    let lengths: Vec<usize> = chunks(&recording).iter().map(RecordingChunk::len).collect();
    assert_eq!(lengths, [MAX_CHUNK_LINES, MAX_CHUNK_LINES, 1, 1]);
}

/// A line whose clock is wrong counts at the time of those around it, and moves nobody else's.
#[test]
fn a_clock_that_is_wrong_harms_no_other_line() {
    let wrong = || "2038-01-19T03:14:08Z app[web.1]: a line whose clock is wrong\n".to_owned();
    let check = |lines: Vec<String>, expected: &[usize]| {
        let expected: Vec<i64> = expected.iter().map(|&second| time_us(second)).collect();
        assert_eq!(read(lines.concat().as_bytes()), (expected, 0), "{lines:?}");
    };
    check(vec![cli(1), wrong(), cli(2)], &[1, 1, 2]);
    check(vec![wrong(), cli(1), cli(2)], &[1, 1, 2]);
    check(vec![cli(1), cli(2), wrong()], &[1, 2, 2]);
    check([vec![cli(1), cli(2)], vec![wrong(); 2], vec![cli(3), cli(4)]].concat(), &[1, 2, 2, 2, 3, 4]);
    // Two that agree, at the end: a device whose clock was never set, east of Greenwich.
    let unset = || "1970-01-01T00:00:01+01:00 heroku[router]: a line before the epoch\n".to_owned();
    check(vec![cli(1), cli(2), unset(), unset()], &[1, 2, 2, 2]);
    check(vec![unset(), unset(), cli(1), cli(2)], &[1, 1, 1, 2]);
    // Ten minutes without a line, or a night: nobody's clock is wrong.
    check(vec![cli(0), cli(600)], &[0, 600]);
    let night = |hour: u32| format!("2016-03-04T{hour:02}:00:00Z heroku[router]: {TEXT}\n");
    let (times, _) = read([night(1), night(4), night(9), night(20)].concat().as_bytes());
    assert!(times.is_sorted_by(|one, next| one < next), "{times:?}");
    // Nor where one line stands alone behind a night, or before it.
    let burst = |hour: u32| (0..9).map(|_| night(hour)).collect::<String>();
    let alone =
        |input: String, at: usize| assert_eq!(read(input.as_bytes()).0[at], read(night(9).as_bytes()).0[0]);
    alone(format!("{}{}", burst(1), night(9)), 9);
    alone(format!("{}{}", night(9), burst(20)), 0);
}

/// Whatever an app prints, and however often.
#[test]
fn a_printed_frame_does_not_decide_the_form() {
    let printed = |second: usize| format!("{} app[web.1]: got {}", time(second), counted(second));
    let input: String = (0..50).flat_map(|second| [cli(second), printed(second)]).collect();
    assert_eq!(read(input.as_bytes()).0.len(), 100);
    let claims = format!("{} app[web.1]: got {{}} <158>1 {} host heroku router - ", time(1), time(1));
    let rest: String = (2..50).map(cli).collect();
    let printed = claims.replace("{}", &(rest.len() + 60).to_string());
    assert_eq!(read(format!("{}{printed}\n{rest}", cli(0)).as_bytes()).0.len(), 50);
    let within = |second: usize| {
        let message = format!("<190>1 {} host app web.1 - {}", time(second), cli(second).repeat(3));
        format!("{} {message}", message.len())
    };
    let input: String = (0..50).map(within).collect();
    assert_eq!(read(input.as_bytes()), ((0..50).map(time_us).collect(), 0));
}

#[test]
fn compressed_and_coloured_text_and_other_encodings_are_read() {
    let plain: String = (0..5).map(cli).collect();
    let expected = (0..5).map(time_us).collect::<Vec<_>>();
    let check = |input: Vec<u8>| assert_eq!(read(&input), (expected.clone(), 0));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(plain.as_bytes()).unwrap();
    check(gzip.finish().unwrap());
    check([b"\xef\xbb\xbf", plain.as_bytes()].concat());
    let little: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = plain.encode_utf16().flat_map(u16::to_be_bytes).collect();
    check([b"\xff\xfe", little.as_slice()].concat());
    check([b"\xfe\xff", big.as_slice()].concat());
    check(little);
    check(big);
    let colour =
        |line: &str| format!("\x1b[36m{}\x1b[0m\n", line.trim_end().replace(" heroku", " \x1b[1;33mheroku"));
    check(plain.lines().map(colour).collect::<String>().into_bytes());
}

/// Whatever the share of lines whose clock is wrong: nobody's request goes to another minute.
#[test]
fn clocks_that_are_wrong_in_turn_cost_no_request() {
    let wrong = |second: usize| format!("{} app[web.1]: x\n", time(second).replace("2016", "2038"));
    let check = |of_app: usize, of_router: usize| {
        let turn = |second: usize| {
            std::iter::repeat_n(wrong(second), of_app).chain(std::iter::repeat_n(cli(second), of_router))
        };
        let input: String = (0..60).flat_map(turn).collect();
        let recording = Recording::read(input.as_bytes()).unwrap();
        let requests = recording.lines.iter().filter(|line| input[line.span.clone()].contains("router"));
        let received: Vec<i64> = requests.map(|line| line.recv_us).collect();
        let expected: Vec<i64> =
            (0..60).flat_map(|second| std::iter::repeat_n(time_us(second), of_router)).collect();
        assert_eq!(received, expected, "{of_app} to {of_router}");
    };
    for (of_app, of_router) in [(1, 1), (1, 2), (2, 1), (9, 1), (1, 9)] {
        check(of_app, of_router);
    }
    // Two routers that contradict each other in turn: nothing says which is right, so both are believed.
    let ahead = |second: usize| cli(second).replace("2016", "2038");
    let input: String = (0..60).flat_map(|second| [cli(second), ahead(second)]).collect();
    let (times, bad) = read(input.as_bytes());
    assert_eq!((&times[..60], bad), ((0..60).map(time_us).collect::<Vec<_>>().as_slice(), 0));
    assert!(times[60..].iter().all(|&time| time > time_us(0)));
}

#[test]
fn a_line_whose_end_is_unknown_loses_what_may_be_part_of_a_word() {
    let old = "2016-03-04T05:00:01Z heroku[router]: at=info path=\"/\" fwd=x dyno=web.1 service=2ms status=200 bytes=678";
    let check = |input: &str, expected: bool| {
        let recording = Recording::read(input.as_bytes()).unwrap();
        assert_eq!(recording.lines[0].is_whole, expected, "{input}");
    };
    check(old, false);
    check(&format!("{old}\n"), true);
    let message = counted(1).replace('\n', "");
    let counted = format!("{} {}", syslog(1).trim_end().len(), message.split_once(' ').unwrap().1);
    check(&counted, true);
}

#[test]
fn bad_lines_are_counted_and_skipped() {
    fn check(input: &str, expected_lines: usize, expected_bad: u64) {
        let (lines, bad_lines) = read(input.as_bytes());
        assert_eq!((lines.len(), bad_lines), (expected_lines, expected_bad), "{input:?}");
    }
    check("", 0, 0);
    check("\n\n", 0, 0);
    check("no log at all\n", 0, 1);
    check(&format!("{}oops\n\n{}", cli(1), cli(2)), 2, 1);
    check("<158>1 - host heroku router - x\n", 0, 1);
    check(&format!("{}<158>1 - host heroku router - x\n", syslog(1)), 2, 0);
    check(&syslog(1).replace('\n', ""), 1, 0);
    check(&format!("{}{}", counted(1), counted(2).replace('\n', "")), 2, 0);
    check(&format!("{}\ngarbage {}", counted(1), counted(2)), 2, 1);
}

/// A file that has grown, was rotated or is read again gives the lines that it gave under the same names, and equal lines
/// remain as many as they are.
#[test]
fn a_line_has_one_name_wherever_it_is_found() {
    let (old, new): (String, String) = ((0..40).map(cli).collect(), (30..90).map(cli).collect());
    let whole: String = (0..90).map(cli).collect();
    let grown = names(std::slice::from_ref(&whole));
    assert_eq!(grown.len(), 90);
    let before: std::collections::BTreeSet<_> = names(std::slice::from_ref(&old)).into_iter().collect();
    assert!(before.iter().all(|record| grown.contains(record)));
    let again: std::collections::BTreeSet<_> = names(&[new]).into_iter().chain(before).collect();
    assert_eq!(again.into_iter().collect::<Vec<_>>(), grown);
    let equal = names(&[cli(1).repeat(3)]);
    assert_eq!(equal.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "three requests");
}

#[test]
fn records_carry_the_recording_s_own_time() {
    let input: String = (0..3).map(cli).collect();
    let recording = Recording::read(input.as_bytes()).unwrap();
    let (mut stamps, mut counts) = (Vec::new(), BodyCounts::default());
    for chunk in chunks(&recording) {
        let (records, of_chunk) = chunk.records(OWNER, &TokenTable::default(), &mut LineNames::default());
        stamps.extend(records.iter().map(|record| (record.owner, record.recv_ms)));
        counts.add(&of_chunk);
    }
    assert_eq!((counts.lines(LineClass::Router), counts.time_replaced), (3, 0));
    assert_eq!(stamps, [0, 1, 2].map(|second| (OWNER, time_us(second) / 1_000)));
}

proptest! {
    /// The minutes are those of the lines, whatever their order: of a quiet app and of a busy one.
    #[test]
    fn any_order_gives_the_same_times(
        (apart_s, shuffled) in (prop_oneof![1_i64..10, 60_i64..4_000, 10_000_i64..1_000_000], 3_i64..60)
            .prop_flat_map(|(apart_s, lines)| (Just(apart_s), Just((0..lines).collect::<Vec<_>>()).prop_shuffle()))
    ) {
        let times: Vec<LineTime> = shuffled
            .iter()
            .map(|number| LineTime { time_us: Some(number * apart_s * 1_000_000), is_platform: true })
            .collect();
        let own: Vec<Option<i64>> = times.iter().map(|line| line.time_us).collect();
        prop_assert_eq!(clocks::received_us(&times), own);
    }

    #[test]
    fn any_bytes_are_read(input in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        if let Ok(recording) = Recording::read(input.as_slice()) {
            prop_assert!(recording.lines.is_sorted_by_key(|line| line.recv_us));
        }
    }
}
