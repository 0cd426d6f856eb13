//! What a store made of a summary, and what is done about it.

/// What became of one summary in a write, without the store's words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutcomeKind {
    /// It is stored; nothing newer was there.
    Stored,
    /// The same or a newer revision was there, or is in the same batch.
    Stale,
    /// Its day is below the floor: it was dropped on purpose and is not created again.
    Expired,
    /// Not stored: the shard, or a part of it, does not work now.
    Retryable,
    /// Not stored and never will be as it is.
    Poison,
    /// Not stored until somebody repairs the configuration.
    Misconfigured,
}

/// What is done with a summary after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposal {
    /// Nothing is left to be done for it.
    Settle,
    /// It is written again, together with others; `is_own_failure` if others of its batch did not fail.
    Again {
        /// Whether the failure counts among its tries.
        is_own_failure: bool,
    },
    /// It goes to RETRY, and is settled once it is durable there.
    HandOver,
    /// It goes to QUARANTINE, and is settled once it is durable there.
    Quarantine,
    /// It stays in the log until somebody has repaired the configuration.
    Hold,
}
