//! Whether the log accepts the stamps of this process: shown by its health, since a clock that is ahead is an operator's to
//! set right.

use yahtzee_runtime::health::Health;
use yahtzee_runtime::log::{LogError, TIMESTAMP_AHEAD};

use crate::metric_names::INGRESS_STAMPS_REFUSED;
use crate::trouble::Trouble;

/// Part of the health report.
const PART: &str = "ingress-clock";

/// The newest verdict of the log on the stamps of this process.
#[derive(Debug)]
pub(crate) struct StampCheck(Trouble);

impl StampCheck {
    pub(crate) fn new(health: Health) -> Self {
        Self(Trouble::new(PART, health))
    }

    /// Notes the outcome of an append. One that failed for another reason says nothing of the clock.
    pub(crate) fn note(&self, written: &Result<(), LogError>) {
        match written {
            Ok(()) if self.0.end() => {
                tracing::info!(target: "yahtzee::ingress", "the log accepts the stamps of this process again");
            }
            Err(error) if error.code() == TIMESTAMP_AHEAD => {
                INGRESS_STAMPS_REFUSED.with(&[]).increment(1);
                let reason = format!("the clock of this machine is ahead of the log's; set it: {error}");
                if self.0.begin(reason) {
                    tracing::error!(
                        target: "yahtzee::ingress", %error,
                        "the clock of this machine is ahead: drains are answered with 503 until it is set"
                    );
                }
            }
            Ok(()) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use yahtzee_runtime::cause::Cause;
    use yahtzee_runtime::health::Condition;

    use super::*;

    #[test]
    fn only_refused_stamps_make_the_process_unready_until_one_is_accepted() {
        let health = Health::default();
        health.set("ingress", Condition::Ready);
        let check = StampCheck::new(health.clone());
        let refused = LogError::refused("a record", Cause::new(TIMESTAMP_AHEAD, "61 s ahead"));
        let down = LogError::unavailable("the log", Cause::new("down", "broker down"));
        let steps = [
            (Err(down.clone()), true),
            (Err(refused.clone()), false),
            (Err(down), false),
            (Err(refused), false),
            (Ok(()), true),
        ];
        for (number, (written, is_ready)) in steps.into_iter().enumerate() {
            check.note(&written);
            assert_eq!((health.is_ready(), health.is_alive()), (is_ready, true), "step {number}");
        }
    }
}
