//! Report of a replay.

use std::fmt::Write as _;

use serde::Serialize;
use yahtzee_core::window::Window;
use yahtzee_runtime::replay::{ReplaySpan, ReplayTally, Subject};

use super::target::ReplayTarget;
use yahtzee_runtime::utc;

/// The whole report.
#[derive(Serialize)]
pub(super) struct ReplayReport {
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    pub(super) jobs: Vec<JobReplay>,
}

/// Report of one job.
#[derive(Serialize)]
pub(super) struct JobReplay {
    job: &'static str,
    generation: u32,
    raw_topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary_topic: Option<String>,
    /// Whether an earlier attempt had begun it; the counts are those of this attempt.
    is_continued: bool,
    pub(super) partitions: Vec<ReplayedPartition>,
}

/// Report of one partition. Windows are given by their starts.
#[derive(Debug, Serialize)]
pub(crate) struct ReplayedPartition {
    pub(crate) partition: u32,
    pub(crate) start_offset: u64,
    pub(crate) end_offset: u64,
    pub(crate) records: u64,
    pub(crate) poison: u64,
    pub(crate) accepted: u64,
    pub(crate) late: u64,
    pub(crate) future: u64,
    pub(crate) duplicate: u64,
    pub(crate) incomplete: u64,
    pub(crate) capped: u64,
    pub(crate) windows: usize,
    pub(crate) first_window: Option<String>,
    pub(crate) last_window: Option<String>,
    pub(crate) summaries: u64,
    pub(crate) failed_summaries: u64,
    pub(crate) incomplete_through: Option<String>,
    pub(crate) incomplete_windows: Vec<String>,
    pub(crate) open_windows: Vec<String>,
}

impl ReplayedPartition {
    /// `length_ms` is that of a window.
    pub(crate) fn of(span: &ReplaySpan, tally: &ReplayTally, length_ms: u32) -> Self {
        let text = |window: &Window| utc::window_start(*window, length_ms);
        let outcomes = &tally.outcomes;
        Self {
            partition: span.partition.0,
            start_offset: span.start.0,
            end_offset: span.end.0,
            records: tally.records,
            poison: tally.poison,
            accepted: outcomes.accepted,
            late: outcomes.late(),
            future: outcomes.future,
            duplicate: outcomes.duplicate,
            incomplete: outcomes.incomplete,
            capped: outcomes.capped,
            windows: tally.windows.len(),
            first_window: tally.windows.first().map(text),
            last_window: tally.windows.last().map(text),
            summaries: tally.summaries,
            failed_summaries: tally.failed,
            incomplete_through: tally.incomplete_through.as_ref().map(text),
            incomplete_windows: tally.incomplete.iter().map(text).collect(),
            open_windows: tally.still_open.iter().map(text).collect(),
        }
    }

    /// Returns what was left out and why; empty if nothing was.
    pub(crate) fn left_out(&self) -> String {
        let mut text = String::new();
        let partition = self.partition;
        if let Some(last) = &self.incomplete_through {
            writeln!(
                text,
                "  partition {partition}: windows up to {last} may lack input before offset {}",
                self.start_offset
            )
            .expect("a String takes any text");
        }
        if !self.incomplete_windows.is_empty() {
            let windows = self.incomplete_windows.join(" ");
            writeln!(text, "  partition {partition}: windows {windows} have lost input")
                .expect("a String takes any text");
        }
        if self.failed_summaries > 0 {
            let failed = self.failed_summaries;
            writeln!(
                text,
                "  partition {partition}: {failed} summaries cannot be published, the job's code panics on them or they are too large"
            )
            .expect("a String takes any text");
        }
        if let (Some(first), Some(last)) = (self.open_windows.first(), self.open_windows.last()) {
            let (end, is_one) = (self.end_offset, first == last);
            let windows =
                if is_one { format!("window {first} is") } else { format!("windows {first} to {last} are") };
            writeln!(text, "  partition {partition}: {windows} not closed before offset {end}")
                .expect("a String takes any text");
        }
        text
    }
}

impl ReplayReport {
    pub(super) fn of(target: &ReplayTarget, id: Option<&str>) -> Self {
        Self { target: target.asked(), id: id.map(str::to_owned), jobs: Vec::new() }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for job in &self.jobs {
            text += &job.text();
        }
        match (&*self.target, &self.id) {
            (_, None) => {
                text +=
                    "dry run: nothing was published; choose --into TOPIC or --as-generation G to publish\n"
            }
            (target, Some(id)) => {
                text += &format!(
                    "published {target} as replay {id}; the same command again has nothing left to do\n"
                );
            }
        }
        text
    }
}

impl JobReplay {
    pub(super) fn of(subject: &Subject, summary_topic: Option<String>, is_continued: bool) -> Self {
        Self {
            job: subject.plan.job.name(),
            generation: subject.identity.generation,
            raw_topic: subject.raw.clone(),
            summary_topic,
            is_continued,
            partitions: Vec::new(),
        }
    }

    fn text(&self) -> String {
        let Self { job, generation, raw_topic, partitions, .. } = self;
        let to = self.summary_topic.as_deref().unwrap_or("nowhere");
        let mut text = format!("{job} (generation {generation})  {raw_topic} -> {to}\n");
        if self.is_continued {
            text += "  continued: counts are those of this attempt\n";
        }
        text += "  partition  offsets                records   accepted       late   windows  summaries\n";
        for part in partitions.iter().filter(|part| part.end_offset > part.start_offset) {
            text += &row(
                &part.partition.to_string(),
                &format!("{}..{}", part.start_offset, part.end_offset),
                part.counts(),
            );
        }
        let sums = partitions.iter().map(ReplayedPartition::counts);
        let sums = sums.fold([0; 5], |sums, counts| std::array::from_fn(|index| sums[index] + counts[index]));
        text += &row("all", "", sums);
        partitions.iter().for_each(|part| text += &part.left_out());
        text
    }
}

impl ReplayedPartition {
    /// Returns the counts of records, accepted, late, windows and summaries.
    fn counts(&self) -> [u64; 5] {
        [self.records, self.accepted, self.late, self.windows as u64, self.summaries]
    }
}

fn row(partition: &str, offsets: &str, counts: [u64; 5]) -> String {
    let [records, accepted, late, windows, summaries] = counts;
    format!(
        "  {partition:>9}  {offsets:<20} {records:>9} {accepted:>10} {late:>10} {windows:>9} {summaries:>10}\n"
    )
}
