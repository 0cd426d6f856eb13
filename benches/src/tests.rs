//! Every case runs small, so that none rots. Nothing is asserted about time.

use std::collections::BTreeSet;
use std::io::Write as _;

use super::case::{Case, Source};
use super::oracle::{Decoded, Output, Totals};
use super::rounds::{Bed, Isolation};
use super::traffic::{PARTITIONS, Shape, records};
use yahtzee_loadgen::population::Mix;

const FRAMES: usize = 500;

fn check_output(cases: &[Case], brokers: Option<String>) {
    let mut bed = Bed::new(FRAMES, brokers).unwrap();
    let all = bed.run(cases, 1, Isolation::None, |_| {}).unwrap();
    assert_eq!(all.len(), cases.len());
    for runs in all {
        let found: Vec<_> = runs.runs.iter().map(|run| run.output).collect();
        assert_eq!(found, [runs.expected], "{}", runs.case.name());
    }
}

fn cases_of(source: Source) -> Vec<Case> {
    Case::all().filter(|case| case.source == source).collect()
}

#[test]
fn memory_cases_find_what_the_oracle_finds() {
    check_output(&cases_of(Source::Memory), None);
}

#[test]
fn embedded_cases_find_what_the_oracle_finds() {
    check_output(&cases_of(Source::Embedded), None);
}

#[test]
fn kafka_cases_find_what_the_oracle_finds() {
    let Ok(brokers) = std::env::var("YAHTZEE_TEST_KAFKA") else {
        let advice = "NOT TESTED: no Kafka. Run `cargo xtask services up kafka`, then \
                      `export YAHTZEE_TEST_KAFKA=host:port`.";
        assert!(std::env::var_os("CI").is_none(), "{advice}");
        // Not through `eprintln!`, which the test harness keeps to itself.
        writeln!(std::io::stderr(), "{advice}").unwrap();
        return;
    };
    check_output(&cases_of(Source::Kafka), Some(brokers));
}

#[test]
fn a_wrong_output_is_void() {
    let case = Case::named("decode/single").unwrap();
    let mut bed = Bed::new(10, None).unwrap();
    let mut all = bed.run(&[case], 2, Isolation::None, |_| {}).unwrap();
    assert_eq!(all[0].void(), 0);
    all[0].runs[0].output = Output::Decoded(Decoded { measurements: 50, ..Decoded::default() });
    assert_eq!(all[0].void(), 1);
    let report = super::report::Report::of(&all);
    assert!(report.is_void() && report.to_string().contains("VOID"), "{report}");
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let names: BTreeSet<_> = Case::all().map(|case| case.name()).collect();
    assert_eq!(names.len(), Case::all().count());
    assert!(Case::all().all(|case| Case::named(&case.name()) == Some(case)));
}

#[test]
fn traffic_is_as_described() {
    fn check(shape: Shape, records_expected: usize, mean: std::ops::Range<f64>) {
        let traffic = records(shape, FRAMES);
        assert_eq!(traffic, records(shape, FRAMES), "equal every time");
        assert_eq!(traffic.len(), records_expected);
        let measurements = super::oracle::measurements(&traffic);
        assert!(mean.contains(&(measurements as f64 / traffic.len() as f64)), "{measurements}");
        let partitions: BTreeSet<_> = traffic.iter().map(|record| record.partition).collect();
        assert_eq!(partitions.len(), PARTITIONS as usize);
        assert!(traffic.is_sorted_by_key(|record| record.timestamp_ms));
    }
    check(Shape::Frames, FRAMES, 9.5..11.5);
    check(Shape::Single, FRAMES * 5, 1.0..1.000_001);
}

#[test]
fn short_windows_leave_more_measurements_behind() {
    let traffic = records(Shape::Frames, FRAMES);
    let measurements = super::oracle::measurements(&traffic);
    let late = |name| match Case::named(name).unwrap().expected(&traffic) {
        Output::Folded(Totals { accepted, late, series, .. }) => {
            assert_eq!(accepted + late, measurements);
            assert!((1..=accepted).contains(&series));
            late
        }
        other => panic!("{other:?}"),
    };
    assert!(late("worker-kafka-fenced-1s/frames") > late("worker-kafka-fenced/frames"));
}

#[test]
fn a_state_is_weighed_with_every_series_of_every_window() {
    fn check(
        mix: Mix,
        series_windows: std::ops::RangeInclusive<u64>,
        requests: std::ops::RangeInclusive<u64>,
    ) {
        let run = super::state::fill(mix, 1_000).unwrap();
        assert_eq!(run.series, 1_000);
        assert!(series_windows.contains(&run.series_windows), "{run}");
        assert!(requests.contains(&run.measurements), "{run}");
        // An accumulator alone has 152 bytes, and a frame id is 32 bytes with its owner.
        assert!(run.states_bytes > 152 * run.series_windows && run.frames_bytes > 32 * run.series_windows);
        assert!(run.to_string().contains("would take"), "{run}");
    }
    check(Mix::Flat, 5_000..=5_000, 5_000..=5_000);
    check(Mix::Zipf, 2_500..=4_500, 28_000..=32_000);
}

#[test]
fn the_spread_of_rounds_is_ordered() {
    fn check(figures: &[f64], expected: Option<[f64; 3]>) {
        let spread = super::report::Spread::of(figures.iter().copied());
        assert_eq!(spread.map(|spread| [spread.min, spread.median, spread.max]), expected);
    }
    check(&[], None);
    check(&[7.0], Some([7.0, 7.0, 7.0]));
    check(&[9.0, 1.0, 2.0], Some([1.0, 2.0, 9.0]));
    check(&[4.0, 1.0, 9.0, 2.0], Some([1.0, 3.0, 9.0]));
}
