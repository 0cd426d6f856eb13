//! Limits and timeouts of sinks and retry processes.

use std::time::Duration;

use yahtzee_core::delivery::{QueuePolicy, WaitBounds};

use super::DeliveryRole;

/// Limits and timeouts of a sink or a retry process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliverySettings {
    /// Maximum number of summaries per write.
    pub batch_max: usize,
    /// Maximum time that a summary waits for its batch to fill.
    pub linger: Duration,
    /// Maximum number of summaries that wait for one shard.
    pub queue_max: usize,
    /// Maximum size of their keys and values, in bytes.
    pub queue_bytes_max: usize,
    /// Maximum number of offsets between the lowest record that is not settled and the read position of a partition,
    /// which a restart reads again.
    pub span_max: u64,
    /// Time that a write may take before summaries that do not fit into the queue of a sink go to RETRY.
    pub patience: Duration,
    /// Time that a shard may be down before all its summaries go from a sink to RETRY.
    pub retry_after: Duration,
    /// Waits between tries of a shard that is down.
    pub back_off: WaitBounds,
    /// Waits between tries of a configuration that is wrong.
    pub repair_back_off: WaitBounds,
    /// Time between commits.
    pub commit_interval: Duration,
    /// Time that the log may take to acknowledge RETRY and QUARANTINE records.
    pub append_deadline: Duration,
    /// Time between lines in which a retry process reports its progress.
    pub report_interval: Duration,
    /// Time that stopping may take.
    pub stop_deadline: Duration,
}

impl DeliverySettings {
    /// Returns the default settings of a sink.
    #[must_use]
    pub fn of_sink() -> Self {
        Self {
            batch_max: 1_024,
            linger: Duration::from_millis(50),
            queue_max: 8 * 1_024,
            queue_bytes_max: 32 << 20,
            span_max: 100_000,
            patience: Duration::from_millis(500),
            retry_after: Duration::from_secs(2),
            back_off: WaitBounds { base: Duration::from_millis(200), cap: Duration::from_secs(10) },
            repair_back_off: WaitBounds { base: Duration::from_secs(10), cap: Duration::from_secs(300) },
            commit_interval: Duration::from_millis(250),
            append_deadline: Duration::from_secs(30),
            report_interval: Duration::from_secs(10),
            stop_deadline: Duration::from_secs(10),
        }
    }

    /// Returns the default settings of a retry process: nothing waits behind it, so that it has more patience, and only
    /// its memory limits how far it reads ahead.
    #[must_use]
    pub fn of_retry() -> Self {
        let back_off = WaitBounds { base: Duration::from_millis(200), cap: Duration::from_mins(1) };
        Self { span_max: u64::MAX, back_off, ..Self::of_sink() }
    }

    pub(super) fn policy(&self, role: DeliveryRole) -> QueuePolicy {
        let (has_retry, is_retry) = match role {
            DeliveryRole::Sink { has_retry } => (has_retry, false),
            DeliveryRole::Retry { .. } => (true, true),
        };
        QueuePolicy {
            batch_max: self.batch_max,
            linger: self.linger,
            queue_max: self.queue_max,
            queue_bytes_max: self.queue_bytes_max,
            patience: self.patience,
            hand_over_after: (has_retry && !is_retry).then_some(self.retry_after),
            has_retry,
            keeps_newest: is_retry,
            waits_after_failures: is_retry,
            back_off: self.back_off,
            repair_back_off: self.repair_back_off,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number is another one, so that none stands for its neighbour.
    #[test]
    fn a_queue_has_the_bounds_and_times_of_its_task_and_what_its_role_asks_for() {
        let ms = Duration::from_millis;
        let settings = DeliverySettings {
            batch_max: 1,
            linger: ms(2),
            queue_max: 3,
            queue_bytes_max: 4,
            span_max: 5,
            patience: ms(6),
            retry_after: ms(7),
            back_off: WaitBounds { base: ms(8), cap: ms(9) },
            repair_back_off: WaitBounds { base: ms(10), cap: ms(11) },
            commit_interval: ms(12),
            append_deadline: ms(13),
            report_interval: ms(14),
            stop_deadline: ms(15),
        };
        let waits_in_place = QueuePolicy {
            batch_max: 1,
            linger: ms(2),
            queue_max: 3,
            queue_bytes_max: 4,
            patience: ms(6),
            hand_over_after: None,
            has_retry: false,
            keeps_newest: false,
            waits_after_failures: false,
            back_off: WaitBounds { base: ms(8), cap: ms(9) },
            repair_back_off: WaitBounds { base: ms(10), cap: ms(11) },
        };
        let hands_over = QueuePolicy { hand_over_after: Some(ms(7)), has_retry: true, ..waits_in_place };
        let is_handed =
            QueuePolicy { has_retry: true, keeps_newest: true, waits_after_failures: true, ..waits_in_place };
        let check = |role, expected| assert_eq!(settings.policy(role), expected, "{role:?}");
        check(DeliveryRole::Sink { has_retry: false }, waits_in_place);
        check(DeliveryRole::Sink { has_retry: true }, hands_over);
        check(DeliveryRole::Retry { shard: None }, is_handed);
    }

    /// What waits for a shard that is down for days must not keep it from rows of others.
    #[test]
    fn only_its_memory_limits_how_far_a_retry_process_reads_ahead() {
        assert_eq!(DeliverySettings::of_retry().span_max, u64::MAX);
        assert!(DeliverySettings::of_sink().span_max < u64::MAX);
    }
}
