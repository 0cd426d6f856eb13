//! Names and settings of the topics of one measurement type.

use crate::log::{Cleanup, TopicSpec};

/// Prefix of the topics of summaries that wait for a store.
pub const RETRY_PREFIX: &str = "RETRY.";

/// Prefix of the topics of summaries that a store never takes.
pub const QUARANTINE_PREFIX: &str = "QUARANTINE.";

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Names, sizes and retention of topics: the same for all measurement types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicLayout {
    /// Last part of every topic name, as in `v1`.
    pub version: String,
    /// Partitions of every topic.
    pub partitions: u32,
    /// Copies of every partition.
    pub replication: u32,
    /// Retention of raw and LATE topics in milliseconds; `None` keeps for ever.
    pub raw_retention_ms: Option<i64>,
    /// Retention of summary, RETRY and DLQ topics in milliseconds; `None` keeps for ever.
    pub summary_retention_ms: Option<i64>,
    /// Retention of summaries in stores, in milliseconds; `None` for ever. What waits for a store waits as long: after
    /// that it would be dropped there too.
    pub store_retention_ms: Option<i64>,
    /// Whether compaction may keep the last summary of a key for the newest: not without a fence (`at-least-once`), where a
    /// worker that was taken for dead can write an older one behind it.
    pub compacts_summaries: bool,
    /// Milliseconds by which stamps in raw topics may lie ahead of the log's clock; `None` for any number.
    pub timestamp_ahead_max_ms: Option<i64>,
}

impl Default for TopicLayout {
    fn default() -> Self {
        Self {
            version: "v1".to_owned(),
            partitions: 32,
            replication: 1,
            raw_retention_ms: Some(2 * DAY_MS),
            summary_retention_ms: Some(7 * DAY_MS),
            store_retention_ms: Some(32 * DAY_MS),
            compacts_summaries: true,
            timestamp_ahead_max_ms: Some(60_000),
        }
    }
}

impl TopicLayout {
    /// Returns the name of the raw topic, as in `ROUTER_REQUEST.v1`.
    #[must_use]
    pub fn raw(&self, measurement: &str) -> String {
        format!("{measurement}.{}", self.version)
    }

    /// Returns the name of the summary topic of a stem, as in `ROUTER_REQUEST_SUMMARY.v1`.
    #[must_use]
    pub fn summary(&self, stem: &str) -> String {
        format!("{stem}_SUMMARY.{}", self.version)
    }

    /// Returns the name of the topic of records that could not be used, as in `DLQ.ROUTER_REQUEST.v1`.
    #[must_use]
    pub fn dead_letters(&self, measurement: &str) -> String {
        format!("DLQ.{}", self.raw(measurement))
    }

    /// Returns the name of the topic of records outside their windows, as in `LATE.ROUTER_REQUEST.v1`.
    #[must_use]
    pub fn late(&self, measurement: &str) -> String {
        format!("LATE.{}", self.raw(measurement))
    }

    /// Returns the name of the topic of summaries that a store could not take yet, as in
    /// `RETRY.ROUTER_REQUEST_SUMMARY.v1`.
    #[must_use]
    pub fn retry(&self, stem: &str) -> String {
        format!("{RETRY_PREFIX}{}", self.summary(stem))
    }

    /// Returns the name of the topic of summaries that a store never takes, as in
    /// `QUARANTINE.ROUTER_REQUEST_SUMMARY.v1`. An operator settles one with a later record under the same key.
    #[must_use]
    pub fn quarantine(&self, stem: &str) -> String {
        format!("{QUARANTINE_PREFIX}{}", self.summary(stem))
    }

    /// Returns all topics of a job that reads `measurement` and publishes under the stem `summary`, the raw topic
    /// first. The LATE topic only if `publishes_late`.
    #[must_use]
    pub fn specs(&self, measurement: &str, summary: &str, publishes_late: bool) -> Vec<TopicSpec> {
        let delete = |name| self.spec(name, Cleanup::Delete, self.raw_retention_ms);
        // Compaction alone never shrinks a topic whose keys carry a time, so old summaries are deleted as well.
        let cleanup = if self.compacts_summaries { Cleanup::CompactAndDelete } else { Cleanup::Delete };
        let mut specs = vec![
            TopicSpec {
                timestamp_ahead_max_ms: self.timestamp_ahead_max_ms,
                ..delete(self.raw(measurement))
            },
            self.spec(self.summary(summary), cleanup, self.summary_retention_ms),
            self.spec(self.retry(summary), Cleanup::Delete, self.store_retention_ms),
            // Not compacted either: of two revisions of a row the older may be refused later.
            self.spec(self.quarantine(summary), Cleanup::Delete, self.store_retention_ms),
            self.spec(self.dead_letters(measurement), Cleanup::Delete, self.summary_retention_ms),
        ];
        if publishes_late {
            specs.push(delete(self.late(measurement)));
        }
        specs
    }

    fn spec(&self, name: String, cleanup: Cleanup, retention_ms: Option<i64>) -> TopicSpec {
        TopicSpec {
            name,
            partitions: self.partitions,
            replication: self.replication,
            cleanup,
            retention_ms,
            timestamp_ahead_max_ms: None,
        }
    }
}

/// Returns the consumer group of a job's generation: never shared, never subscribed with.
#[must_use]
pub fn group(job: &str, generation: u32, version: &str) -> String {
    format!("yahtzee.{job}.g{generation}.{version}")
}

/// Returns the generation of which `name` is the group for this job and version; `None` for any other group.
#[must_use]
pub fn generation_of(name: &str, job: &str, version: &str) -> Option<u32> {
    let rest = name.strip_prefix("yahtzee.")?.strip_prefix(job)?.strip_prefix(".g")?;
    let generation = rest.strip_suffix(version)?.strip_suffix('.')?.parse().ok()?;
    // Numbers with a sign or leading zeros are somebody else's.
    (group(job, generation, version) == name).then_some(generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_a_job_are_known_by_their_names() {
        fn check(name: &str, expected: Option<u32>) {
            assert_eq!(generation_of(name, "errors", "v1"), expected, "{name}");
        }
        check(&group("errors", 7, "v1"), Some(7));
        check(&group("errors", 7, "v2"), None);
        check(&group("slow-errors", 7, "v1"), None);
        check("yahtzee.errors.g.v1", None);
        check("yahtzee.errors.g+7.v1", None);
        check("yahtzee.errors.g07.v1", None);
        check("yahtzee.errors.g7.v1.slot-3", None);
        check("errors.g7.v1", None);
    }

    #[test]
    fn a_job_has_these_topics() {
        use Cleanup::{CompactAndDelete, Delete};
        let check = |compacts_summaries, publishes_late, expected: &[(&str, Cleanup, Option<i64>)]| {
            let layout =
                TopicLayout { summary_retention_ms: None, compacts_summaries, ..TopicLayout::default() };
            let specs = layout.specs("REQUEST", "SLOW", publishes_late);
            assert!(specs.iter().all(|spec| (spec.partitions, spec.replication) == (32, 1)), "{specs:?}");
            let bounded: Vec<_> =
                specs.iter().filter(|spec| spec.timestamp_ahead_max_ms == Some(60_000)).collect();
            assert_eq!(bounded, [&specs[0]], "stamps of the raw topic decide lateness");
            let found: Vec<_> =
                specs.iter().map(|spec| (spec.name.as_str(), spec.cleanup, spec.retention_ms)).collect();
            assert_eq!(found, expected);
        };
        let days = |days: i64| Some(days * 86_400_000);
        let always = [
            ("REQUEST.v1", Delete, days(2)),
            ("SLOW_SUMMARY.v1", CompactAndDelete, None),
            ("RETRY.SLOW_SUMMARY.v1", Delete, days(32)),
            ("QUARANTINE.SLOW_SUMMARY.v1", Delete, days(32)),
            ("DLQ.REQUEST.v1", Delete, None),
        ];
        check(true, false, &always);
        let late = ("LATE.REQUEST.v1", Delete, days(2));
        check(true, true, &[&always[..], &[late]].concat());
        let mut without_a_fence = always;
        without_a_fence[1].1 = Delete;
        check(false, false, &without_a_fence);
    }
}
