//! Appending with acknowledgement.

use std::time::Duration;

use super::outbox::Outbox;
use super::settings::KafkaSettings;
use crate::log::{AppendCallback, Appender, LogError, NewRecord};

/// An idempotent producer. At most [`super::outbox::MOST_IN_FLIGHT`] records wait for acknowledgement; beyond
/// that a call fails at once, so that the caller decides what to drop or to hold back.
///
/// Dropping it waits until everything was answered for. `done` must not own the last reference to it: it runs
/// on the thread that dropping waits for.
pub(super) struct KafkaAppender {
    outbox: Outbox,
    deadline: Duration,
}

impl KafkaAppender {
    pub(super) fn open(settings: &KafkaSettings, deadline: Duration) -> Result<Self, LogError> {
        let outbox = Outbox::open(&settings.appender(deadline), &settings.prefix, "appender")?;
        Ok(Self { outbox, deadline })
    }
}

impl Appender for KafkaAppender {
    fn append(&self, records: &[NewRecord], done: AppendCallback) {
        self.outbox.send(records, done);
    }
}

impl Drop for KafkaAppender {
    fn drop(&mut self) {
        // librdkafka looks for timed-out records once per second.
        if let Err(failure) = self.outbox.flush(self.deadline + Duration::from_secs(1)) {
            tracing::warn!(reason = failure.reason, "closed an appender with unacknowledged records");
        }
    }
}
