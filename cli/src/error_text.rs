//! The text that a failed command prints: the error, its causes, and what to do next.

use yahtzee_runtime::log::LogError;

/// Returns the error with those causes that say something new, and with the next command to type if one helps.
pub(crate) fn error_text(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            text += if text.is_empty() { "" } else { ": " };
            text += &cause;
        }
    }
    let of_log = error.chain().find_map(|cause| cause.downcast_ref::<LogError>());
    if let Some(advice) = of_log.and_then(advice) {
        text += "; ";
        text += advice;
    }
    text
}

/// Returns advice on an error of the log, which does not know the commands that use it.
fn advice(error: &LogError) -> Option<&'static str> {
    match error {
        LogError::NoSuchTopic { .. } => Some("create the topics with `yahtzee topics create`"),
        LogError::TopicExists(_) => Some("compare it with `yahtzee topics check`"),
        LogError::FolderInUse(_) => {
            Some("stop it, or choose another folder: `log.embedded.folder`, or `--data` of `yahtzee demo`")
        }
        LogError::NoFolder(_) => Some(
            "compare its name with `log.embedded.folder`, or create a new log with `yahtzee topics create`",
        ),
        LogError::Unavailable { .. } if error.code().starts_with("kafka:") => {
            Some("is the broker running and reachable?")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};
    use yahtzee_runtime::cause::Cause;
    use yahtzee_runtime::worker::JobFailure;

    use super::*;

    #[track_caller]
    fn check(error: &anyhow::Error, expected: &str) {
        assert_eq!(error_text(error), expected);
    }

    #[test]
    fn causes_appear_once_and_errors_of_the_log_with_what_to_type() {
        check(&anyhow!("no such job"), "no such job");
        let missing = LogError::NoSuchTopic { topic: "RAW.v1".to_owned(), partition: None };
        let advised = "topic RAW.v1 does not exist; create the topics with `yahtzee topics create`";
        check(&missing.clone().into(), advised);
        check(&JobFailure::Log(missing.clone()).into(), advised);
        let in_context = Err::<(), _>(missing).context("job errors").unwrap_err();
        check(&in_context, &format!("job errors: {advised}"));
        let exists = LogError::TopicExists("RAW.v1".to_owned());
        check(&exists.into(), "topic RAW.v1 exists already; compare it with `yahtzee topics check`");
    }

    #[test]
    fn only_a_silent_broker_is_asked_for() {
        let refused = || std::io::Error::other("connection refused");
        let error = |code: &'static str| {
            let cause = Cause::new(code, refused().to_string()).with_source(refused());
            anyhow::Error::from(LogError::unavailable("127.0.0.1:9092", cause))
        };
        let text = "no answer from 127.0.0.1:9092: connection refused";
        check(&error("kafka:Resolve"), &format!("{text}; is the broker running and reachable?"));
        check(&error("queue-full"), text);
    }
}
