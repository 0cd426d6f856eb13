//! The log on a real broker, named by `YAHTZEE_TEST_KAFKA=host:port`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use yahtzee_runtime::log::SharedLog;
use yahtzee_runtime::log::kafka::{KafkaLog, KafkaSettings};

use crate::conformance::Bench;
use crate::environment::named;

/// Names the broker that the tests may fill with topics.
const BROKER: &str = "YAHTZEE_TEST_KAFKA";

mod conforms {
    use super::KafkaBench;

    crate::conformance::each_property!(match KafkaBench::from_environment() {
        Some(bench) => bench,
        None => return,
    });
}

/// One broker, shared by all tests; each brings topics and groups of its own.
pub(crate) struct KafkaBench {
    brokers: String,
    log: SharedLog,
}

impl KafkaBench {
    /// The broker of this run. Without one the test ends here, loudly; on a build server it fails.
    pub(crate) fn from_environment() -> Option<Self> {
        let brokers = named(BROKER, "kafka")?;
        let log = connect(KafkaSettings::new(&brokers));
        Some(Self { brokers, log })
    }

    /// Settings of a client without prefix.
    pub(crate) fn settings(&self) -> KafkaSettings {
        KafkaSettings::new(&self.brokers)
    }
}

impl Bench for KafkaBench {
    fn log(&self) -> SharedLog {
        Arc::clone(&self.log)
    }

    fn reopen(&self) -> SharedLog {
        connect(self.settings())
    }

    fn topic(&self, hint: &str) -> String {
        unused(hint)
    }

    fn group(&self, hint: &str) -> String {
        unused(hint)
    }
}

/// Connects to the broker of this run.
pub(crate) fn connect(settings: KafkaSettings) -> SharedLog {
    Arc::new(KafkaLog::connect(settings).expect("the broker answers"))
}

/// Asks until the answer is yes. Gives up after a minute; nothing is asserted about time.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(60), "given up: {what}");
    }
}

/// A name that neither this run nor an earlier one on the same broker has used.
fn unused(hint: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_millis();
    format!("test-{}-{now}-{count}-{hint}", std::process::id())
}
