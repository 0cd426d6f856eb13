//! Rows from summaries.

use super::*;

const MINUTE_MS: i64 = 60_000;
const OWNER: Owner = Owner([1; 16]);

fn key(owner: Owner, dimensions: &[&str], minute: i64) -> SummaryKey {
    SummaryKey {
        owner,
        dimensions: dimensions.iter().map(|&dimension| dimension.to_owned()).collect(),
        window_start_ms: minute * MINUTE_MS,
        window_length_ms: 60_000,
    }
}

fn figures(pairs: &[(&str, f64)]) -> Figures {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value)).collect()
}

fn rows() -> AppRows {
    AppRows::new(HashMap::from([(OWNER, "proud-river-0001".to_owned())]))
}

fn add_requests(rows: &mut AppRows, owner: Owner, minute: i64, requests: f64) {
    rows.update("router-latency", &key(owner, &["web"], minute), &figures(&[("requests", requests)]));
}

#[test]
fn all_jobs_meet_in_one_row() {
    let mut rows = rows();
    let latency = figures(&[
        ("requests", 10.0),
        ("status_101", 1.0),
        ("status_200", 5.0),
        ("status_204", 2.0),
        ("status_503", 2.0),
        ("service_ms_p50", 12.0),
        ("service_ms_p95", 80.0),
        ("service_ms_p99", 90.0),
        ("service_ms_max", 95.0),
    ]);
    rows.update("router-latency", &key(OWNER, &["web"], 7), &latency);
    for (process_type, load) in [("clock", 9.0), ("web", 0.5)] {
        rows.update("dyno-load", &key(OWNER, &[process_type], 7), &figures(&[("load_1m_mean", load)]));
    }
    let memory =
        figures(&[("total_bytes_mean", 3.0 * 1_048_576.0), ("quota_bytes_max", 512.0 * 1_048_576.0)]);
    rows.update("dyno-memory", &key(OWNER, &["worker"], 7), &memory);
    for (process_type, code, count) in [("web", "H12", 2.0), ("web", "R14", 1.0), ("worker", "R14", 3.0)] {
        let occurrences = figures(&[("occurrences", count)]);
        rows.update("errors", &key(OWNER, &[process_type, code], 7), &occurrences);
    }
    let expected = Minute {
        requests: Some(10),
        p50_ms: Some(12.0),
        p95_ms: Some(80.0),
        p99_ms: Some(90.0),
        max_ms: Some(95.0),
        by_class: [1, 7, 0, 0, 2],
        load_mean: Some(0.5),
        memory_mean_mb: Some(3.0),
        memory_quota_mb: Some(512.0),
        errors: BTreeMap::from([("H12".to_owned(), 2), ("R14".to_owned(), 4)]),
        is_incomplete: false,
    };
    let name = "proud-river-0001".to_owned();
    let previous = Minute::default();
    assert_eq!(rows.apps(), [AppRow { name, owner: OWNER, running: expected, previous }]);
}

#[test]
fn a_newer_summary_replaces_the_older() {
    let mut rows = rows();
    add_requests(&mut rows, OWNER, 7, 3.0);
    add_requests(&mut rows, OWNER, 7, 5.0);
    assert_eq!(rows.apps()[0].running.requests, Some(5));
}

#[test]
fn the_newest_minute_runs_and_the_one_before_is_previous() {
    let mut rows = rows();
    assert_eq!(rows.minutes(), None);
    let silent = Owner([2; 16]);
    add_requests(&mut rows, OWNER, 7, 3.0);
    add_requests(&mut rows, silent, 7, 4.0);
    add_requests(&mut rows, OWNER, 8, 5.0);
    // Late summaries of older minutes are none of the two, and take nothing away.
    add_requests(&mut rows, Owner([3; 16]), 5, 100.0);
    let minutes = rows.minutes().unwrap();
    assert_eq!((minutes.running_start_ms, minutes.previous_start_ms()), (8 * MINUTE_MS, 7 * MINUTE_MS));
    let seen: Vec<_> =
        rows.apps().into_iter().map(|row| (row.owner, row.running.requests, row.previous.requests)).collect();
    assert_eq!(seen, [(OWNER, Some(5), Some(3)), (silent, None, Some(4))]);

    add_requests(&mut rows, OWNER, 11, 1.0);
    assert_eq!(rows.apps().len(), 1, "minutes between that nobody saw are not previous");
    assert_eq!(rows.apps()[0].previous, Minute::default());
}

#[test]
fn announced_loss_makes_a_minute_incomplete() {
    fn check(code: &str, expected: bool) {
        let mut rows = rows();
        rows.update("errors", &key(OWNER, &["logplex", code], 7), &figures(&[("occurrences", 1.0)]));
        assert_eq!(rows.apps()[0].running.is_incomplete, expected, "{code}");
    }
    check("L10", true);
    check("L13", true);
    check("L14", false);
    check("H12", false);
}

#[test]
fn an_app_without_a_name_goes_by_its_uuid() {
    let mut rows = rows();
    add_requests(&mut rows, Owner([0xab; 16]), 7, 1.0);
    assert_eq!(rows.apps()[0].name, "abababab-abab-abab-abab-abababababab");
}

#[test]
fn history_keeps_the_newest_points() {
    let mut history = ThroughputHistory::default();
    for point in 0..1_000 {
        history.push(f64::from(point));
    }
    assert_eq!(history.points().last(), Some(&999));
    assert_eq!(history.points().len(), HISTORY_POINTS);
}
