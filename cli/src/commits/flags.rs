//! Faults of a commit.

use std::fmt;

use serde::Serialize;
use yahtzee_core::commit::{Identity, IdentityMismatch};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::log::{Bounds, Log, LogError};

use super::report::Committed;

/// A commit is flagged if retention reaches it within this time.
const MARGIN_MS: i64 = 6 * 60 * 60 * 1_000;

/// A fault that an operator should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Flag {
    /// There are records, but no commit.
    NoCommit,
    /// The metadata cannot be decoded.
    Unreadable {
        /// Reason.
        reason: String,
    },
    /// The topic was deleted and created again.
    OtherTopic,
    /// The job has other dimensions.
    OtherDimensions,
    /// The commit was made with another value of a key of the configuration.
    OtherValue {
        /// The key.
        key: &'static str,
        /// Value in the commit.
        committed: u64,
    },
    /// The log has lost records that a restart would read.
    BelowLogStart,
    /// The log ends before what was read: it has lost records.
    AboveLogEnd {
        /// Next offset that had not been read at the commit.
        position: u64,
    },
    /// The log will soon lose records that a restart would read.
    NearLogStart,
}

impl fmt::Display for Flag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCommit => formatter.write_str("no commit: no worker has finished anything here; see `yahtzee assign`"),
            Self::Unreadable { reason } => write!(formatter, "unreadable metadata: {reason}"),
            Self::OtherTopic => formatter.write_str(
                "the commit belongs to a topic since deleted; workers refuse it: raise the job's generation",
            ),
            Self::OtherDimensions => formatter.write_str(
                "the commit was made with other dimensions; workers refuse it: raise the job's generation",
            ),
            Self::OtherValue { key: key @ "generation", committed } => {
                write!(formatter, "the commit was made with {key} = {committed}; workers refuse it")
            }
            Self::OtherValue { key, committed } => write!(
                formatter,
                "the commit was made with {key} = {committed}; workers refuse it: restore the value, or raise the job's \
                 generation"
            ),
            Self::BelowLogStart => formatter.write_str(
                "below the log start: input was lost, and the windows it may have hit will not be published",
            ),
            Self::AboveLogEnd { position } => write!(
                formatter,
                "the log ends below {position}, up to which it was read: it has lost records, and workers refuse the \
                 commit; raise the job's generation"
            ),
            Self::NearLogStart => formatter.write_str(
                "near the log start: retention deletes what a restart reads within hours; start a worker or raise \
                 topics.raw_retention_hours",
            ),
        }
    }
}

/// Returns the faults of one partition. `at_deadline` is the first offset that retention will not delete for some
/// hours.
pub(super) fn of(
    committed: Option<&Committed>,
    bounds: &Bounds,
    running: &Identity,
    at_deadline: Option<Offset>,
) -> Vec<Flag> {
    let Some(committed) = committed else {
        return if bounds.end > Offset(0) { vec![Flag::NoCommit] } else { Vec::new() };
    };
    let mut flags = match &committed.parts {
        Ok(parts) => running.mismatches(&parts.identity).into_iter().map(flag_of).collect(),
        Err(reason) => vec![Flag::Unreadable { reason: reason.to_string() }],
    };
    let read = committed.parts.as_ref().map_or(committed.offset, |parts| parts.commit.position());
    if read > bounds.end {
        flags.push(Flag::AboveLogEnd { position: read.0 });
    }
    let has_unread = committed.offset < bounds.end;
    if committed.offset < bounds.start {
        flags.push(Flag::BelowLogStart);
    } else if has_unread && at_deadline.is_some_and(|spared| committed.offset < spared) {
        flags.push(Flag::NearLogStart);
    }
    flags
}

fn flag_of(mismatch: IdentityMismatch) -> Flag {
    match mismatch {
        IdentityMismatch::Topic => Flag::OtherTopic,
        IdentityMismatch::Dimensions => Flag::OtherDimensions,
        IdentityMismatch::Number(number, committed, _) => Flag::OtherValue { key: number.key(), committed },
    }
}

/// Time before which records are deleted soon; `None` if they are kept for ever.
pub(super) struct Deadline(Option<i64>);

impl Deadline {
    /// Returns the deadline of a topic that keeps records for `retention_ms`.
    pub(super) fn of(retention_ms: Option<i64>, now_ms: i64) -> Self {
        // Where little is kept at all, a quarter of it counts as soon.
        Self(retention_ms.map(|kept_ms| now_ms - kept_ms + MARGIN_MS.min(kept_ms / 4)))
    }

    /// Returns the first offset that retention spares.
    pub(super) fn offset(
        &self,
        log: &dyn Log,
        topic: &str,
        partition: Partition,
    ) -> Result<Option<Offset>, LogError> {
        self.0.map(|time_ms| log.offset_for_time(topic, partition, time_ms.max(0))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use yahtzee_core::commit::OwnerTag;
    use yahtzee_core::erased::AnyJob as _;
    use yahtzee_core::partition::{History, Start};
    use yahtzee_core::window::{Policy, Window};
    use yahtzee_jobs::errors::Errors;
    use yahtzee_runtime::log::CommittedOffset;

    use super::*;

    const RUNNING: Identity = Identity {
        generation: 3,
        topic_id: [1; 16],
        partition_count: 8,
        window_length_ms: 60_000,
        acceptance: None,
        owner_tag: OwnerTag { worker: 0, workers: 1, incarnation: 0 },
    };

    /// Returns the commit of a partition that has read up to `offset`.
    fn committed(offset: u64, identity: &Identity) -> Committed {
        let offset = Offset(offset);
        let start = Start::Time { offset, first_window: Window(0) };
        let history = History {
            partition: Partition(0),
            start,
            log_start: offset,
            log_end: offset,
            poisoned: &[],
            losses: &[],
        };
        let mut opened = Arc::new(Errors).open(Policy::default(), *identity, history).unwrap();
        let commit = opened.core.acknowledged(0).expect("nothing waits for an acknowledgement");
        Committed::read(&CommittedOffset { offset, metadata: commit.metadata(identity) })
    }

    #[test]
    fn what_is_wrong_is_flagged() {
        fn check(committed: Option<Committed>, at_deadline: Option<u64>, expected: &[Flag]) {
            let bounds = Bounds { start: Offset(10), end: Offset(90) };
            assert_eq!(of(committed.as_ref(), &bounds, &RUNNING, at_deadline.map(Offset)), expected);
        }
        check(None, None, &[Flag::NoCommit]);
        check(Some(committed(50, &RUNNING)), None, &[]);
        check(Some(committed(9, &RUNNING)), None, &[Flag::BelowLogStart]);
        check(Some(committed(50, &RUNNING)), Some(51), &[Flag::NearLogStart]);
        check(Some(committed(50, &RUNNING)), Some(50), &[]);
        // All has been read: nothing can be lost.
        check(Some(committed(90, &RUNNING)), Some(95), &[]);
        check(Some(committed(91, &RUNNING)), None, &[Flag::AboveLogEnd { position: 91 }]);
        let other = Identity { generation: 2, topic_id: [2; 16], ..RUNNING };
        check(
            Some(committed(50, &other)),
            None,
            &[Flag::OtherTopic, Flag::OtherValue { key: "generation", committed: 2 }],
        );
        let other = Identity { partition_count: 4, window_length_ms: 1_000, ..RUNNING };
        let value = |key, committed| Flag::OtherValue { key, committed };
        let expected = [value("topics.partitions", 4), value("window_length_ms", 1_000)];
        check(Some(committed(50, &other)), None, &expected);
        let foreign =
            Committed::read(&CommittedOffset { offset: Offset(50), metadata: "by hand".to_owned() });
        let flags = of(Some(&foreign), &Bounds { start: Offset(0), end: Offset(90) }, &RUNNING, None);
        assert!(matches!(&*flags, [Flag::Unreadable { .. }]), "{flags:?}");
    }

    #[test]
    fn soon_is_six_hours_or_a_quarter_of_what_is_kept_at_all() {
        fn check(kept_hours: Option<i64>, expected_hours: Option<i64>) {
            let (now_ms, hour_ms) = (1_700_000_000_000, 3_600_000);
            let deadline = Deadline::of(kept_hours.map(|hours| hours * hour_ms), now_ms);
            assert_eq!(deadline.0, expected_hours.map(|hours| now_ms - hours * hour_ms), "{kept_hours:?}");
        }
        check(None, None);
        check(Some(48), Some(42));
        check(Some(24), Some(18));
        check(Some(4), Some(3));
    }

    #[test]
    fn an_empty_partition_needs_no_commit() {
        let bounds = Bounds { start: Offset(0), end: Offset(0) };
        assert_eq!(of(None, &bounds, &RUNNING, None), []);
    }
}
