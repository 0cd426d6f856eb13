//! One thread of the retry process: opens its partitions, works, and opens them again where the log fails.

use std::sync::Arc;
use std::time::Duration;

use yahtzee_runtime::back_off::{self, BackOff};
use yahtzee_runtime::health::Condition;
use yahtzee_runtime::log::LogError;

use super::session::Session;
use super::{Place, RetryFailure, Shared};

/// First and greatest wait before the log is tried again.
const LOG_BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// A thread and what it has to do with.
pub(super) struct Lane {
    pub(super) shared: Arc<Shared>,
    pub(super) place: Place,
    /// Of its shards, for operators.
    pub(super) name: String,
}

impl Lane {
    pub(super) fn new(shared: &Arc<Shared>, place: Place) -> Self {
        let names: Vec<&str> =
            place.shards.iter().map(|shard| shared.shard_names[shard.index()].as_str()).collect();
        let name = names.join("+");
        if names.len() > 1 {
            tracing::warn!(shards = %name, "these shards share a partition of the RETRY topics, and a thread: give the \
                topics at least as many partitions as the store has shards");
        }
        Self { shared: Arc::clone(shared), place, name }
    }

    /// Works until the stop.
    ///
    /// # Errors
    /// Where the log fails for good.
    pub(super) fn run(self) -> Result<(), RetryFailure> {
        let Shared { health, stop, .. } = &*self.shared;
        let part = format!("retry-{}", self.name);
        let mut back_off = BackOff::new(LOG_BACK_OFF.0, LOG_BACK_OFF.1, back_off::seed());
        while !stop.is_stopped() {
            let ended = Session::open(&self).and_then(|mut session| {
                health.set(&part, Condition::Ready);
                session.run(&mut back_off)
            });
            match ended {
                Ok(()) => break,
                Err(error) if error.is_transient() || matches!(error, LogError::OffsetOutOfRange { .. }) => {
                    tracing::warn!(shard = self.name, %error, "retry begins again at its last commit");
                    health.set(&part, Condition::Troubled(error.to_string()));
                    stop.wait(back_off.next_wait());
                }
                Err(error) => {
                    let failure = RetryFailure { shard: self.name.clone(), error };
                    tracing::error!(%failure, "retry stopped");
                    health.set(&part, Condition::Failed(failure.to_string()));
                    stop.stop();
                    return Err(failure);
                }
            }
        }
        Ok(())
    }
}
