//! The final report of the demo: one text for people, one JSON document for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_jobs::figures::Figures;

use crate::poster::PosterCounts;
use yahtzee_runtime::utc;

/// Number of the busiest app's newest windows that the text form shows.
const TEXT_WINDOWS: usize = 3;

/// The final report. Its JSON form has exactly these fields, under these names.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct DemoReport {
    /// Drain frames received.
    pub(crate) frames: u64,
    /// Log lines received.
    pub(crate) lines: u64,
    /// Lines of recordings that could not be read.
    pub(crate) unreadable_lines: u64,
    /// Inputs that could not be read, or not to their end.
    pub(crate) unreadable_inputs: Vec<UnreadableInput>,
    /// Whether it ended before everything was read from its inputs.
    pub(crate) input_ended_early: bool,
    /// Measurements folded into summaries, by measurement type (`ROUTER_REQUEST`).
    pub(crate) measurements: BTreeMap<String, u64>,
    /// Measurements rejected: too far behind the watermark.
    pub(crate) late: u64,
    /// Measurements rejected: too far ahead of their record.
    pub(crate) future: u64,
    /// Frames and measurements dropped as duplicates.
    pub(crate) duplicates: u64,
    /// Records that could not be decoded.
    pub(crate) poison: u64,
    /// Summaries stored, one per series and window.
    pub(crate) summaries: u64,
    /// Apps with at least one summary.
    pub(crate) owners: u64,
    /// Commits acknowledged.
    pub(crate) commits: u64,
    /// Seconds from start to end.
    pub(crate) elapsed_s: f64,
    /// Outcomes of the generator's frames; absent without a generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) posting: Option<PosterCounts>,
    /// The app with the most measurements in its summaries; absent without summaries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) busiest_owner: Option<OwnerReport>,
    /// Apps with summaries that this report leaves out.
    pub(crate) owners_left_out: u64,
    /// All other apps, on request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) other_owners: Vec<OwnerReport>,
}

/// An input that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct UnreadableInput {
    /// The file, as it was named.
    pub(crate) file: String,
    /// Why it could not.
    pub(crate) reason: String,
}

/// All summaries of one app.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct OwnerReport {
    /// Its UUID.
    pub(crate) owner: String,
    /// Its name, or its UUID if no name is known.
    pub(crate) name: String,
    /// Its summaries, in the order in which they were added.
    pub(crate) summaries: Vec<SummaryReport>,
}

/// One summary.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SummaryReport {
    /// The job's name.
    pub(crate) job: String,
    /// Values of the job's dimensions, in their order.
    pub(crate) dimensions: Vec<String>,
    /// Start of the window, RFC 3339 in UTC.
    pub(crate) window_start: String,
    /// Length of the window in seconds.
    pub(crate) window_length_s: f64,
    /// Its revision among the summaries of this series and window.
    pub(crate) revision: RevisionReport,
    /// Offset of the raw record that opened the series in this window.
    pub(crate) first_offset: u64,
    /// Measurements folded in.
    pub(crate) count: u64,
    /// Whether no further measurement can be accepted.
    #[serde(rename = "final")]
    pub(crate) is_final: bool,
    /// Figures by name, with their units in the names.
    pub(crate) figures: Figures,
}

/// A revision, which orders the summaries of one series and window, except for `final`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RevisionReport {
    /// Version of the fold.
    pub(crate) generation: u32,
    /// Offset of the last raw record folded in.
    pub(crate) last_offset: u64,
}

impl SummaryReport {
    /// Creates the report of one summary of the job named `job`.
    pub(crate) fn new(job: &str, key: &SummaryKey, provenance: &Provenance, figures: Figures) -> Self {
        Self {
            job: job.to_owned(),
            dimensions: key.dimensions.clone(),
            window_start: utc::date_and_time(key.window_start_ms),
            window_length_s: f64::from(key.window_length_ms) / 1_000.0,
            revision: RevisionReport {
                generation: provenance.generation,
                last_offset: provenance.last_offset,
            },
            first_offset: provenance.first_offset,
            count: provenance.count,
            is_final: provenance.is_final,
            figures,
        }
    }
}

impl DemoReport {
    /// Returns the report as one JSON document of several lines, without a newline at its end.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self)
            .expect("strings, numbers and maps with string keys have a JSON form")
    }

    /// Returns the report as text for people, each line with its newline.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut total = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<24}{value:>14}");
        };
        total("elapsed", format!("{:.1} s", self.elapsed_s));
        total("frames", self.frames.to_string());
        total("lines", self.lines.to_string());
        if self.unreadable_lines > 0 {
            total("unreadable lines", self.unreadable_lines.to_string());
        }
        for (measurement, count) in &self.measurements {
            total(measurement, count.to_string());
        }
        for (name, value) in [
            ("late", self.late),
            ("future", self.future),
            ("duplicates", self.duplicates),
            ("poison", self.poison),
            ("summaries", self.summaries),
            ("owners", self.owners),
            ("commits", self.commits),
        ] {
            total(name, value.to_string());
        }
        for UnreadableInput { file, reason } in &self.unreadable_inputs {
            let _ = writeln!(text, "unreadable: {file}: {reason}");
        }
        if self.input_ended_early {
            text.push_str("partial: it ended before everything was read\n");
        }
        if let Some(posting) = &self.posting {
            text.push_str(&posting_text(posting));
        }
        if let Some(owner) = &self.busiest_owner {
            text.push_str(&owner.text("busiest app"));
        }
        self.other_owners.iter().for_each(|owner| text.push_str(&owner.text("app")));
        if self.owners_left_out > 0 {
            let _ = writeln!(text, "\n{} more apps; --all-apps reports each", self.owners_left_out);
        }
        text
    }
}

fn posting_text(posting: &PosterCounts) -> String {
    format!(
        "posting: {} posted ({} again, {} broken), {} requests repeated, {} refused, {} given up, {} abandoned, \
         {} waits for room\n",
        posting.posted,
        posting.posted_again,
        posting.posted_broken,
        posting.retried,
        posting.refused,
        posting.failed,
        posting.abandoned,
        posting.queue_full,
    )
}

impl OwnerReport {
    fn text(&self, title: &str) -> String {
        let mut text = format!("\n{title}: {} ({})\n", self.name, self.owner);
        let mut windows: Vec<&str> =
            self.summaries.iter().map(|summary| summary.window_start.as_str()).collect();
        windows.sort_unstable();
        windows.dedup();
        let shown = windows.split_off(windows.len().saturating_sub(TEXT_WINDOWS));
        if !windows.is_empty() {
            let _ = writeln!(text, "(earlier windows, only in the JSON form: {})", windows.len());
        }
        for summary in self.summaries.iter().filter(|summary| shown.contains(&summary.window_start.as_str()))
        {
            text.push_str(&summary.text());
        }
        text
    }
}

impl SummaryReport {
    fn text(&self) -> String {
        let Self { job, dimensions, window_start, count, .. } = self;
        let state = if self.is_final { "final" } else { "open" };
        let series = dimensions.join(" ");
        let figures: Vec<String> =
            self.figures.iter().map(|(name, value)| format!("{name}={}", short(*value))).collect();
        format!(
            "{window_start}  {job:<15} {series:<14} {state:<5} {count:>7} measurements\n    {}\n",
            figures.join(" ")
        )
    }
}

/// Formats a number with at most two decimals, and none for integers.
fn short(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use yahtzee_core::owner::Owner;

    use super::*;

    fn report() -> DemoReport {
        let key = SummaryKey {
            owner: Owner([1; 16]),
            dimensions: vec!["web".to_owned()],
            window_start_ms: 1_772_600_700_000,
            window_length_ms: 60_000,
        };
        let provenance =
            Provenance { generation: 1, first_offset: 3, last_offset: 9, count: 4, is_final: true };
        let figures = Figures::from([("requests".to_owned(), 4.0), ("service_ms_mean".to_owned(), 12.345)]);
        DemoReport {
            frames: 7,
            lines: 40,
            measurements: BTreeMap::from([("ROUTER_REQUEST".to_owned(), 30)]),
            elapsed_s: 60.04,
            posting: Some(PosterCounts { posted: 7, retried: 2, ..PosterCounts::default() }),
            busiest_owner: Some(OwnerReport {
                owner: key.owner.to_string(),
                name: "proud-river-0001".to_owned(),
                summaries: vec![SummaryReport::new("router-latency", &key, &provenance, figures)],
            }),
            ..DemoReport::default()
        }
    }

    #[test]
    fn json_has_the_documented_fields() {
        let read: Value = serde_json::from_str(&report().json()).unwrap();
        let expected = json!({
            "frames": 7, "lines": 40, "unreadable_lines": 0,
            "unreadable_inputs": [],
            "input_ended_early": false,
            "owners_left_out": 0, "measurements": {"ROUTER_REQUEST": 30},
            "late": 0, "future": 0, "duplicates": 0, "poison": 0,
            "summaries": 0, "owners": 0, "commits": 0, "elapsed_s": 60.04,
            "posting": {
                "posted": 7, "posted_again": 0, "posted_broken": 0, "retried": 2,
                "refused": 0, "failed": 0, "abandoned": 0, "queue_full": 0,
            },
            "busiest_owner": {
                "owner": "01010101-0101-0101-0101-010101010101",
                "name": "proud-river-0001",
                "summaries": [{
                    "job": "router-latency",
                    "dimensions": ["web"],
                    "window_start": "2026-03-04T05:05:00Z",
                    "window_length_s": 60.0,
                    "revision": {"generation": 1, "last_offset": 9},
                    "first_offset": 3,
                    "count": 4,
                    "final": true,
                    "figures": {"requests": 4.0, "service_ms_mean": 12.345},
                }],
            },
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_absent_is_left_out() {
        let read: Value = serde_json::from_str(&DemoReport::default().json()).unwrap();
        assert_eq!((read.get("posting"), read.get("busiest_owner")), (None, None));
        assert!(!DemoReport::default().text().contains("busiest"));
    }

    #[test]
    fn text_shows_the_newest_windows_only() {
        let mut report = report();
        let owner = report.busiest_owner.as_mut().unwrap();
        let first = owner.summaries[0].clone();
        for minute in ["06", "07", "08"] {
            let window_start = format!("2026-03-04T05:{minute}:00Z");
            owner.summaries.push(SummaryReport { window_start, ..first.clone() });
        }
        let text = report.text();
        assert!(text.contains("(earlier windows, only in the JSON form: 1)"), "{text}");
        assert!(!text.contains("05:05:00Z") && text.contains("05:06:00Z"), "{text}");
    }

    #[test]
    fn text_shows_totals_and_the_busiest_app() {
        let text = report().text();
        for expected in [
            "elapsed                         60.0 s\n",
            "ROUTER_REQUEST                      30\n",
            "posting: 7 posted (0 again, 0 broken), 2 requests repeated,",
            "busiest app: proud-river-0001 (01010101-",
            "2026-03-04T05:05:00Z  router-latency  web            final       4 measurements\n",
            "    requests=4 service_ms_mean=12.35\n",
        ] {
            assert!(text.contains(expected), "{expected:?} in\n{text}");
        }
    }
}
