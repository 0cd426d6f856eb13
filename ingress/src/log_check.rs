//! Whether the log takes records: shown by the health of the process, so that drains are sent where they are taken.
//! Heartbeats find out when it takes them again, where nothing is sent here any more.

use yahtzee_runtime::health::Health;
use yahtzee_runtime::log::LogError;

use crate::trouble::Trouble;

/// Part of the health report.
const PART: &str = "ingress-log";

/// Whether the newest append was answered by the log.
#[derive(Debug)]
pub(crate) struct LogCheck(Trouble);

impl LogCheck {
    pub(crate) fn new(health: Health) -> Self {
        Self(Trouble::new(PART, health))
    }

    /// Notes the outcome of an append, and whether the log is away if it has failed so. Any other failure says nothing: the
    /// record may have been at fault.
    pub(crate) fn note(&self, written: &Result<(), LogError>, is_away: impl FnOnce(&LogError) -> bool) {
        match written {
            Err(error) if is_away(error) => {
                if self.0.begin(error.to_string()) {
                    tracing::warn!(target: "yahtzee::ingress", %error, "the log does not take records");
                }
            }
            Ok(()) if self.0.end() => {
                tracing::info!(target: "yahtzee::ingress", "the log takes records again");
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
    fn the_process_is_ready_unless_the_newest_answer_is_that_there_is_none() {
        let health = Health::default();
        health.set("ingress", Condition::Ready);
        let check = LogCheck::new(health.clone());
        let away = LogError::unavailable("the log", Cause::new("down", "broker down"));
        let refused = LogError::refused("a record", Cause::new("invalid-record", "too large"));
        let steps = [
            (Ok(()), true),
            (Err(away.clone()), false),
            (Err(away.clone()), false),
            (Ok(()), true),
            (Err(refused.clone()), true),
            (Err(away), false),
            (Err(refused), false),
        ];
        for (number, (written, is_ready)) in steps.into_iter().enumerate() {
            check.note(&written, LogError::is_transient);
            assert_eq!((health.is_ready(), health.is_alive()), (is_ready, true), "step {number}");
        }
    }
}
