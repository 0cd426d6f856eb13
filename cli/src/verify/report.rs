//! Report of a verification.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use yahtzee_core::owner::Partition;
use yahtzee_core::summary::{Revision, SummaryKey};
use yahtzee_runtime::replay::Subject;

use super::compare::{Difference, JobComparison, Kind};
use crate::replay::ReplayedPartition;
use yahtzee_runtime::utc;

/// Place where a summary was found, or is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ComparedPlace {
    /// The summary topic.
    Topic,
    /// The store.
    Store,
}

impl fmt::Display for ComparedPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Topic => "topic",
            Self::Store => "store",
        })
    }
}

/// The whole report.
#[derive(Default, Serialize)]
pub(super) struct VerifyReport {
    pub(super) jobs: Vec<JobVerification>,
}

/// Report of one job.
#[derive(Serialize)]
pub(super) struct JobVerification {
    job: &'static str,
    generation: u32,
    raw_topic: String,
    summaries: u64,
    /// Records of the range that no worker has committed; they were not read.
    uncommitted_records: u64,
    /// Summaries of days that the store has dropped; they were not compared with it.
    expired_summaries: u64,
    partitions: Vec<ReplayedPartition>,
    places: BTreeMap<ComparedPlace, RowCounts>,
    /// The first differences.
    differences: Vec<ShownDifference>,
    #[serde(skip)]
    show: usize,
}

/// Counts of summaries of one place.
#[derive(Default, Serialize)]
struct RowCounts {
    equal: u64,
    different: BTreeMap<Kind, u64>,
}

/// A difference as it is shown.
#[derive(Serialize)]
struct ShownDifference {
    place: ComparedPlace,
    partition: u32,
    kind: Kind,
    owner: String,
    dimensions: Vec<String>,
    window: String,
    recomputed: Option<String>,
    found: Option<String>,
}

impl VerifyReport {
    pub(super) fn differences(&self) -> u64 {
        self.jobs.iter().map(JobVerification::count).sum()
    }

    fn equal(&self) -> u64 {
        self.jobs.iter().flat_map(|job| job.places.values()).map(|counts| counts.equal).sum()
    }

    pub(super) fn text(&self) -> String {
        let mut text: String = self.jobs.iter().map(JobVerification::text).collect();
        if self.differences() > 0 {
            text += "what readers see is the newest revision; to publish what was recomputed as a newer one: yahtzee replay \
                     --as-generation G, with the same range\n";
        } else if self.equal() > 0 {
            text += "all is equal\n";
        } else {
            text += "nothing was compared: the range has no window that is closed and that the raw log holds whole; --open \
                     compares open ones too\n";
        }
        text
    }
}

impl JobVerification {
    /// Creates the report of a job, which keeps at most `show` differences.
    pub(super) fn of(subject: &Subject, show: usize) -> Self {
        Self {
            job: subject.plan.job.name(),
            generation: subject.identity.generation,
            raw_topic: subject.raw.clone(),
            summaries: 0,
            uncommitted_records: 0,
            expired_summaries: 0,
            partitions: Vec::new(),
            places: BTreeMap::new(),
            differences: Vec::new(),
            show,
        }
    }

    /// Adds the records that a partition was recomputed from.
    pub(super) fn read(&mut self, part: ReplayedPartition, summaries: u64, uncommitted_records: u64) {
        self.summaries += summaries;
        self.uncommitted_records += uncommitted_records;
        self.partitions.push(part);
    }

    /// Adds summaries that are not compared with the store, because it has dropped their days.
    pub(super) fn leave_out_expired(&mut self, summaries: u64) {
        self.expired_summaries += summaries;
    }

    /// Adds the result of a comparison.
    pub(super) fn add(&mut self, place: ComparedPlace, partition: Partition, outcome: JobComparison) {
        let counts = self.places.entry(place).or_default();
        counts.equal += outcome.equal;
        for difference in outcome.differences {
            *counts.different.entry(difference.kind).or_default() += 1;
            if self.differences.len() < self.show {
                self.differences.push(ShownDifference::of(place, partition, &difference));
            }
        }
    }

    fn count(&self) -> u64 {
        self.places.values().flat_map(|counts| counts.different.values()).sum()
    }

    fn text(&self) -> String {
        let Self { job, generation, raw_topic, summaries, partitions, .. } = self;
        let records: u64 = partitions.iter().map(|part| part.records).sum();
        let mut text = format!(
            "{job} (generation {generation})  {summaries} summaries recomputed from {records} records of {raw_topic}\n"
        );
        for (place, RowCounts { equal, different }) in &self.places {
            text += &format!("  {place}: {equal} equal");
            different.iter().for_each(|(kind, count)| text += &format!(", {count} {kind}"));
            text += "\n";
        }
        if self.uncommitted_records > 0 {
            text += &format!(
                "  not read: {} records that no worker has committed yet\n",
                self.uncommitted_records
            );
        }
        if self.expired_summaries > 0 {
            text += &format!(
                "  not compared with the store: {} summaries of days that it has dropped\n",
                self.expired_summaries
            );
        }
        let left_out: String = partitions.iter().map(ReplayedPartition::left_out).collect();
        if !left_out.is_empty() {
            text += &format!("  not compared:\n{left_out}");
        }
        self.differences.iter().for_each(|difference| text += &format!("  {difference}\n"));
        let hidden = self.count() - self.differences.len() as u64;
        if hidden > 0 {
            text += &format!("  and {hidden} more; list them with --show {}\n", self.count());
        }
        text
    }
}

impl ShownDifference {
    fn of(place: ComparedPlace, partition: Partition, difference: &Difference) -> Self {
        let Difference { kind, key, expected, found } = difference;
        let key = SummaryKey::decode(key).ok();
        let owner = key.as_ref().map_or_else(|| "(unreadable key)".to_owned(), |key| key.owner.to_string());
        let window = key.as_ref().map(|key| utc::date_and_time(key.window_start_ms));
        Self {
            place,
            partition: partition.0,
            kind: *kind,
            owner,
            window: window.unwrap_or_default(),
            dimensions: key.map(|key| key.dimensions).unwrap_or_default(),
            recomputed: expected.map(revision_text),
            found: found.map(revision_text),
        }
    }
}

fn revision_text(revision: Revision) -> String {
    let Revision { generation, last_offset, is_final } = revision;
    let state = if is_final { "final" } else { "open" };
    format!("generation {generation}, offset {last_offset}, {state}")
}

impl fmt::Display for ShownDifference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, partition, kind, owner, dimensions, window, recomputed, found } = self;
        let none = || "none".to_owned();
        write!(
            formatter,
            "{place}/{partition} {kind}: {owner} {} {window}: recomputed {}, found {}",
            dimensions.join("/"),
            recomputed.clone().unwrap_or_else(none),
            found.clone().unwrap_or_else(none),
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Missing => "missing",
            Self::Different => "different",
            Self::Older => "older",
            Self::Newer => "newer",
            Self::Extra => "extra",
            Self::Ambiguous => "ambiguous",
            Self::Unreadable => "unreadable",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_of_nothing_is_not_called_equal() {
        fn check(equal: u64, different: u64, expected: &str) {
            let different =
                if different > 0 { BTreeMap::from([(Kind::Missing, different)]) } else { BTreeMap::new() };
            let job = JobVerification {
                job: "errors",
                generation: 1,
                raw_topic: "ERROR.v1".to_owned(),
                summaries: equal,
                uncommitted_records: 0,
                expired_summaries: 0,
                partitions: Vec::new(),
                places: BTreeMap::from([(ComparedPlace::Topic, RowCounts { equal, different })]),
                differences: Vec::new(),
                show: 0,
            };
            let text = VerifyReport { jobs: vec![job] }.text();
            let last = text.lines().last().unwrap_or_default();
            assert!(last.starts_with(expected), "{text}");
        }
        check(3, 0, "all is equal");
        check(0, 0, "nothing was compared");
        check(3, 1, "what readers see");
        check(0, 1, "what readers see");
    }
}
