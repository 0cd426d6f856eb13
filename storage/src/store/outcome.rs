//! The outcome of writing a summary to a store.

use yahtzee_core::delivery::OutcomeKind;
use yahtzee_runtime::cause::Cause;

/// Outcome of one summary. What was not stored carries the reason; rows of a failed batch share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Stored; the store had nothing newer.
    Stored,
    /// Stored, as [`Self::Stored`], but the row it replaced cannot have come before it: see
    /// [`yahtzee_core::summary::Provenance::can_be_followed_by`].
    StoredAgainstChain,
    /// Not stored: the store, or the same batch, has the same or a newer revision.
    Stale,
    /// Not stored, as [`Self::Stale`], but the store, or the same batch, has the same revision with other bytes: two folds of
    /// one window do not agree.
    StaleAgainstChain,
    /// Not stored: its day is below the floor; it was dropped on purpose and is not created again.
    Expired,
    /// Not stored: the shard, or a part of it, does not work now.
    Retryable(Cause),
    /// Not stored: no store takes it as it is.
    Poison(Cause),
    /// Not stored until the configuration is corrected: a wrong password, a missing right, another shard map.
    Misconfigured(Cause),
}

impl Outcome {
    /// Returns what it means for the delivery of the summary.
    #[must_use]
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::Stored | Self::StoredAgainstChain => OutcomeKind::Stored,
            Self::Stale | Self::StaleAgainstChain => OutcomeKind::Stale,
            Self::Expired => OutcomeKind::Expired,
            Self::Retryable(_) => OutcomeKind::Retryable,
            Self::Poison(_) => OutcomeKind::Poison,
            Self::Misconfigured(_) => OutcomeKind::Misconfigured,
        }
    }

    /// Returns the reason why the summary was not stored; `None` if it is settled.
    #[must_use]
    pub fn fault(&self) -> Option<&Cause> {
        match self {
            Self::Retryable(fault) | Self::Poison(fault) | Self::Misconfigured(fault) => Some(fault),
            Self::Stored
            | Self::StoredAgainstChain
            | Self::Stale
            | Self::StaleAgainstChain
            | Self::Expired => None,
        }
    }

    /// Returns whether the summary is settled: nothing is left to be done for it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.fault().is_none()
    }

    /// Returns the stable name for metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::StoredAgainstChain => "stored_against_chain",
            Self::Stale => "stale",
            Self::StaleAgainstChain => "stale_against_chain",
            Self::Expired => "expired",
            Self::Retryable(_) => "retryable",
            Self::Poison(_) => "poison",
            Self::Misconfigured(_) => "misconfigured",
        }
    }
}
