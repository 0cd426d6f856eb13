//! Error codes in the text of platform lines: `Error R14 (Memory quota exceeded)`, `Error L12: 2 messages ...`.

use yahtzee_pipeline_proto::raw::PlatformError;

use super::context::CommonFields;
use super::values::error_code;

/// The letter of the codes of dynos.
pub(super) const DYNO_LETTER: u8 = b'R';

/// The letter of the codes of the log system.
pub(super) const LOG_LETTER: u8 = b'L';

/// Reads the error at the start of `text`, if its code begins with `letter`: `R14`.
///
/// A code counts only with an explanation behind it (` (` or `:`), so that cut lines give none.
pub(super) fn read(text: &[u8], letter: u8, common: CommonFields<'_>) -> Option<PlatformError> {
    code(text, letter).map(|code| error(code, common))
}

/// Returns the error of this code.
pub(super) fn error(code: &str, common: CommonFields<'_>) -> PlatformError {
    let CommonFields { time_us, process_type, dyno_num, frame_index, flags } = common;
    let (process_type, code) = (process_type.to_owned(), code.to_owned());
    PlatformError { time_us, process_type, dyno_num, frame_index, flags, code }
}

fn code(text: &[u8], letter: u8) -> Option<&str> {
    let rest = text.strip_prefix(b"Error ")?;
    let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric())?;
    let (code, after) = rest.split_at(end);
    let explained = after.starts_with(b" (") || after.starts_with(b":");
    error_code(code, letter).filter(|_| explained)?;
    Some(std::str::from_utf8(code).expect("a letter and digits"))
}

/// Returns whether this code of the log system announces that log lines were lost.
pub(super) fn announces_loss(code: &str) -> bool {
    matches!(code, "L10" | "L11" | "L12" | "L13")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_need_their_letter_and_an_explanation() {
        fn check(text: &str, letter: u8, expected: Option<&str>) {
            assert_eq!(code(text.as_bytes(), letter), expected, "{text:?}");
        }
        check("Error R14 (Memory quota exceeded)\n", DYNO_LETTER, Some("R14"));
        check("Error R151 (Memory quota vastly exceeded)", DYNO_LETTER, Some("R151"));
        check("Error L12: 2 messages dropped since 2013-11-04T21:31:30+00:00", LOG_LETTER, Some("L12"));
        check("Error L10 (output buffer overflow): 3 messages", LOG_LETTER, Some("L10"));
        check("Error L10 (output buffer overflow): 3 messages", DYNO_LETTER, None);
        for text in [
            "",
            "Error R",
            "Error R\n",
            "Error R14",
            "Error R14\n",
            "Error R1x (Odd)",
            "error R14 (x)",
            "Error R1234 (x)",
        ] {
            check(text, DYNO_LETTER, None);
        }
    }
}
