//! Events that librdkafka raises by itself, log lines and connection errors, passed on without flooding the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::kept::Verdict;

/// Shortest time between two warnings of a client: a broker that is away causes several a second.
const QUIET: Duration = Duration::from_secs(10);

/// What librdkafka says of answers for which the brokers must first load, or make, what they keep of transactions and groups.
const USUAL_AT_START: [&str; 3] =
    ["Coordinator load in progress", "Coordinator not available", "Not coordinator"];

/// Time after the creation of a client in which these are no warnings.
const START: Duration = Duration::from_secs(10);

/// Events served with each batch of a reader: enough that none pile up, few enough to cost nothing.
const SERVED: usize = 8;

/// Events served before a question: more than come together while nobody asks.
const SERVED_IDLE: usize = 512;

/// Passes on the log lines and connection errors of a consumer that is polled nowhere else.
pub(super) fn serve(consumer: &BaseConsumer<ClientEvents>) {
    serve_some(consumer, SERVED);
}

/// Passes on what came while nobody asked, so that the client's verdict is that of now.
pub(super) fn catch_up(consumer: &BaseConsumer<ClientEvents>) {
    serve_some(consumer, SERVED_IDLE);
}

fn serve_some(consumer: &BaseConsumer<ClientEvents>, count: usize) {
    // A poll serves one event and does not tell whether there was one. Errors have gone to `ClientEvents` by then.
    for _ in 0..count {
        drop(consumer.poll(Duration::ZERO));
    }
}

/// Receives the events of one client.
pub(super) struct ClientEvents {
    role: &'static str,
    created: Instant,
    limit: WarningLimit,
    last_error: Mutex<Option<String>>,
    verdict: Verdict,
}

impl ClientEvents {
    /// Creates the receiver of a client that log lines call `role`.
    pub(super) fn of(role: &'static str) -> Self {
        let (limit, last_error, verdict) = Default::default();
        Self { role, created: Instant::now(), limit, last_error, verdict }
    }

    /// Returns the verdict on the client that these events are of.
    pub(super) fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// Returns the newest error that the client reported by itself about a broker.
    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs a condition that librdkafka recovers from.
    pub(super) fn warn(&self, message: &str) {
        if !is_worth_a_warning(message, self.created.elapsed()) {
            tracing::debug!(target: "librdkafka", client = self.role, "{message}");
            return;
        }
        if let Some(suppressed) = self.limit.admit(Instant::now()) {
            tracing::warn!(target: "librdkafka", client = self.role, suppressed, "{message}");
        }
    }
}

impl ClientContext for ClientEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            // Configured properties go to every client; librdkafka notes those that its kind ignores.
            _ if facility == "CONFWARN" => {
                tracing::debug!(target: "librdkafka", client = self.role, "{message}");
            }
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => self.warn(message),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", client = self.role, facility, "{message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.warn(&format!("{error}: {reason}"));
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.verdict.lost_brokers();
        } else {
            // That all are down follows from what was said of each, and says less.
            *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for ClientEvents {}

fn is_worth_a_warning(message: &str, age: Duration) -> bool {
    age >= START || !USUAL_AT_START.iter().any(|usual| message.contains(usual))
}

/// Admits one event per [`QUIET`] and counts the others.
#[derive(Default)]
struct WarningLimit(Mutex<(Option<Instant>, u64)>);

impl WarningLimit {
    /// Returns the number of events suppressed since the last admitted one, or `None` if this one is suppressed.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, suppressed) = &mut *state;
        if last.is_some_and(|last| now.saturating_duration_since(last) < QUIET) {
            *suppressed += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_on_a_new_cluster_is_a_warning_only_where_it_lasts() {
        let check = |message: &str, age: Duration, expected: bool| {
            assert_eq!(is_worth_a_warning(message, age), expected, "{message} {age:?}");
        };
        let loading = "Failed to acquire idempotence PID from broker b:9092/1: Broker: Coordinator load in progress: retrying";
        check(loading, Duration::ZERO, false);
        check(loading, START, true);
        for code in [
            RDKafkaErrorCode::CoordinatorLoadInProgress,
            RDKafkaErrorCode::CoordinatorNotAvailable,
            RDKafkaErrorCode::NotCoordinator,
        ] {
            check(&KafkaError::Global(code).to_string(), Duration::ZERO, false);
        }
        check(&RDKafkaErrorCode::AllBrokersDown.to_string(), Duration::ZERO, true);
    }

    #[test]
    fn one_warning_per_interval_with_the_number_held_back() {
        let (limit, start) = (WarningLimit::default(), Instant::now());
        assert_eq!(limit.admit(start), Some(0));
        assert_eq!(limit.admit(start + QUIET / 3), None);
        assert_eq!(limit.admit(start + QUIET / 2), None);
        assert_eq!(limit.admit(start + QUIET), Some(2));
        assert_eq!(limit.admit(start + 3 * QUIET), Some(0));
    }
}
