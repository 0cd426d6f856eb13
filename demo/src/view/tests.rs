//! Renders the view on terminals of several sizes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use yahtzee_core::owner::Owner;

use super::*;
use crate::snapshot::{AppRow, Minute, Minutes, PipelineFigures};

fn minute(requests: u64) -> Minute {
    Minute {
        requests: Some(requests),
        p50_ms: Some(31.0),
        p95_ms: Some(1_240.0),
        p99_ms: Some(30_000.0),
        max_ms: Some(30_001.0),
        by_class: [0, 611, 72, 43, 19],
        load_mean: Some(2.46),
        memory_mean_mb: Some(590.0),
        memory_quota_mb: Some(512.0),
        errors: BTreeMap::from([("H12".to_owned(), 17), ("R14".to_owned(), 2)]),
        is_incomplete: false,
    }
}

fn row(index: u8) -> AppRow {
    AppRow {
        name: format!("calm-bay-{index:04}"),
        owner: Owner([index; 16]),
        running: minute(745),
        previous: minute(801),
    }
}

fn snapshot(apps: u8) -> Snapshot {
    Snapshot {
        elapsed: Duration::from_secs(83),
        minutes: Some(Minutes { running_start_ms: 1_772_600_760_000, length_ms: 60_000 }),
        apps: (0..apps).map(row).collect(),
        pipeline: PipelineFigures {
            measurements_per_s: 512.4,
            frames: 1_234,
            lines: 56_789,
            late: 3,
            future: 1,
            duplicates: 4,
            poison: 2,
            position_lag: 5,
            replay_lag: 8_765,
            commit_age_s: Some(6.2),
            summaries: 345,
            commits: 12,
        },
        throughput: (0..200).collect(),
    }
}

fn screen(snapshot: &Snapshot, shown: ShownMinute, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| render::render(frame, snapshot, shown)).unwrap();
    let buffer = terminal.backend().buffer();
    let symbols: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
    symbols.chunks(width.into()).map(|line| line.concat().trim_end().to_owned()).collect()
}

fn check(lines: &[String], expected: &str) {
    assert!(lines.iter().any(|line| line.contains(expected)), "{expected:?} in\n{}", lines.join("\n"));
}

#[test]
fn eighty_by_twenty_four_shows_everything() {
    let lines = screen(&snapshot(40), ShownMinute::Running, 80, 24);
    check(&lines, "83 s   minute 05:06 UTC, so far");
    check(&lines, "app             req  p50  p95  p99  max  2xx  3xx  4xx  5xx load  mem errors");
    check(&lines, "calm-bay-0000   745   31 1.2s  30s  30s  611   72   43   19 2.46 115% H12:17");
    check(&lines, "512 measurements/s   1,234 frames   56,789 lines");
    check(&lines, "3 late   1 future   4 duplicates   2 poison");
    check(&lines, "lag: 5 unread, 8,765 to replay   commit 6 s ago");
    check(&lines, "345 summaries   12 commits   40 apps");
    check(&lines, "q quit");
    let apps = lines.iter().filter(|line| line.starts_with("calm-bay-")).count();
    assert_eq!(apps, 24 - 1 - 1 - 5 - 1, "all lines but header, titles, panel and footer");
}

#[test]
fn a_wide_terminal_shows_the_other_minute_too() {
    let lines = screen(&snapshot(3), ShownMinute::Running, 120, 30);
    check(&lines, " req prev ");
    check(&lines, " 745  801 ");
    check(&lines, "H12:17 R14:2");
}

#[test]
fn the_previous_minute_is_named_and_shown() {
    let lines = screen(&snapshot(3), ShownMinute::Previous, 120, 30);
    check(&lines, "previous minute, 05:05 UTC");
    check(&lines, "  req  now ");
    check(&lines, " 801  745 ");
}

#[test]
fn absent_figures_are_blank() {
    let mut snapshot = snapshot(1);
    snapshot.apps[0].running = Minute::default();
    let lines = screen(&snapshot, ShownMinute::Running, 80, 24);
    let line = lines.iter().find(|line| line.starts_with("calm-bay-0000"));
    assert_eq!(line.map(String::as_str), Some("calm-bay-0000"));
}

#[test]
fn an_incomplete_minute_is_marked() {
    let mut snapshot = snapshot(1);
    snapshot.apps[0].running.is_incomplete = true;
    check(&screen(&snapshot, ShownMinute::Running, 80, 24), "calm-bay-0000* ");
    assert!(line(&snapshot).contains("calm-bay-0000* "));
}

#[test]
fn before_the_first_summary_the_view_says_so() {
    let lines = screen(&Snapshot::default(), ShownMinute::Running, 80, 24);
    check(&lines, "waiting for the first summaries");
    check(&lines, "no commit yet");
}

#[test]
fn keys_are_few() {
    fn check(code: KeyCode, modifiers: KeyModifiers, expected: Option<KeyCommand>) {
        assert_eq!(KeyCommand::of(KeyEvent::new(code, modifiers)), expected, "{code:?}");
    }
    check(KeyCode::Char('q'), KeyModifiers::NONE, Some(KeyCommand::Exit));
    check(KeyCode::Esc, KeyModifiers::NONE, Some(KeyCommand::Exit));
    check(KeyCode::Char('c'), KeyModifiers::CONTROL, Some(KeyCommand::Exit));
    check(KeyCode::Char('c'), KeyModifiers::NONE, None);
    check(KeyCode::Char('m'), KeyModifiers::NONE, Some(KeyCommand::OtherMinute));
}

#[test]
fn one_line_has_the_pipeline_and_the_busiest_apps() {
    let line = line(&snapshot(9));
    assert!(!line.contains('\n'));
    for expected in [
        "  83 s  512 measurements/s  frames 1,234 lines 56,789  late 3 future 1 duplicates 4 poison 2",
        "unread 5 replay 8765 commit age 6s",
        "| 05:06 so far:",
        "calm-bay-0000 745 req 19 failed p50 31ms p95 1240ms p99 30000ms load 2.46",
        "calm-bay-0002",
    ] {
        assert!(line.contains(expected), "{expected:?} in {line}");
    }
    assert!(!line.contains("calm-bay-0003"));
}

proptest! {
    #[test]
    fn any_size_can_be_drawn(width in 1_u16..140, height in 1_u16..50, apps in 0_u8..60) {
        for shown in [ShownMinute::Running, ShownMinute::Previous] {
            prop_assert_eq!(screen(&snapshot(apps), shown, width, height).len(), usize::from(height));
        }
    }
}
