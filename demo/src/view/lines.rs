//! The view without a terminal: one line per snapshot.

use std::fmt::Write as _;

use super::numbers::{decimal, grouped};
use crate::snapshot::{AppRow, PipelineFigures, Snapshot};
use yahtzee_runtime::utc;

/// Number of the busiest apps in a line.
const NAMED_APPS: usize = 3;

/// Returns `snapshot` as one line, without its newline.
pub(crate) fn line(snapshot: &Snapshot) -> String {
    let mut text = format!("{:>4} s  {}", snapshot.elapsed.as_secs(), pipeline(&snapshot.pipeline));
    if let Some(minutes) = snapshot.minutes {
        let _ = write!(text, "  | {} so far:", utc::hour_and_minute(minutes.running_start_ms));
    }
    for row in snapshot.apps.iter().take(NAMED_APPS) {
        text.push_str(&app(row));
    }
    text
}

fn pipeline(pipeline: &PipelineFigures) -> String {
    let PipelineFigures { frames, lines, late, future, duplicates, poison, position_lag, replay_lag, .. } =
        pipeline;
    let rate = pipeline.measurements_per_s.round();
    let commit =
        pipeline.commit_age_s.map(|age_s| format!("{age_s:.0}s")).unwrap_or_else(|| "none".to_owned());
    format!(
        "{rate} measurements/s  frames {} lines {}  late {late} future {future} duplicates {duplicates} \
         poison {poison}  unread {position_lag} replay {replay_lag} commit age {commit}",
        grouped(*frames),
        grouped(*lines)
    )
}

fn app(row: &AppRow) -> String {
    let minute = &row.running;
    let mark = if minute.is_incomplete { "*" } else { "" };
    let mut text = format!("  {}{mark}", row.name);
    if let Some(requests) = minute.requests {
        let _ = write!(text, " {requests} req");
        let _ = write!(text, " {} failed", minute.by_class[4]);
    }
    for (name, value_ms) in [("p50", minute.p50_ms), ("p95", minute.p95_ms), ("p99", minute.p99_ms)] {
        if let Some(value_ms) = value_ms {
            let _ = write!(text, " {name} {value_ms:.0}ms");
        }
    }
    if let Some(load) = minute.load_mean {
        let _ = write!(text, " load {}", decimal(load));
    }
    text
}
