//! Appending with acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use super::kept::{Keep, KeptClient};
use super::outbox::Outbox;
use super::settings::KafkaSettings;
use crate::cause::Cause;
use crate::log::{AppendCallback, Appender, LogError, NewRecord};

/// An idempotent producer. At most [`super::outbox::MOST_IN_FLIGHT`] records wait for acknowledgement; beyond
/// that a call fails at once, so that the caller decides what to drop or to hold back. So does a call after a
/// record has timed out, until the last of those sent before has its answer: then the producer is made anew.
///
/// Dropping it waits until everything was answered for. `done` must not own the last reference to it: it runs
/// on the thread that dropping waits for.
pub(super) struct KafkaAppender {
    settings: Arc<KafkaSettings>,
    outbox: KeptClient<Outbox>,
    deadline: Duration,
}

impl KafkaAppender {
    pub(super) fn open(settings: Arc<KafkaSettings>, deadline: Duration) -> Result<Self, LogError> {
        let appender = Self { settings, outbox: KeptClient::default(), deadline };
        appender.outbox()?;
        Ok(appender)
    }

    /// Returns the producer that the next records go through.
    fn outbox(&self) -> Result<Arc<Outbox>, LogError> {
        let Self { settings, outbox, deadline } = self;
        let outbox =
            outbox.get(|| Outbox::open(&settings.appender(*deadline), &settings.prefix, "appender"))?;
        if outbox.verdict().has_timed_out() {
            let text = format!("records have timed out, and {} more are on their way", outbox.in_flight());
            let what = format!("the producer to {}", settings.brokers);
            return Err(LogError::unavailable(what, Cause::new("timed-out-before", text)));
        }
        Ok(outbox)
    }
}

impl Appender for KafkaAppender {
    fn append(&self, records: &[NewRecord], done: AppendCallback) {
        match self.outbox() {
            Ok(outbox) => outbox.send(records, done),
            Err(error) => done(Err(error)),
        }
    }
}

impl Drop for KafkaAppender {
    fn drop(&mut self) {
        // Those before it had nothing left on its way. librdkafka looks for timed-out records once per second.
        let flushed =
            self.outbox.present().map(|outbox| outbox.flush(self.deadline + Duration::from_secs(1)));
        if let Some(Err(failure)) = flushed {
            tracing::warn!(reason = failure.reason, "closed an appender with unacknowledged records");
        }
    }
}
