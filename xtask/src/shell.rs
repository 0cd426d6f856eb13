//! Commands as a person would type them into a POSIX shell.

use std::iter;
use std::process::Command;

/// `value` as one word of a shell: quoted only where it has to be.
pub(crate) fn word(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

/// The line that runs `command`: the environment set for it, the program, its arguments.
pub(crate) fn command_line(command: &Command) -> String {
    let assignments = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}={}", name.to_string_lossy(), word(&value?.to_string_lossy())))
    });
    let words = iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|argument| word(&argument.to_string_lossy()));
    assignments.chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_it_has_to_be() {
        let check = |value: &str, expected: &str| assert_eq!(word(value), expected);
        check("127.0.0.1:9092", "127.0.0.1:9092");
        check("two words", "'two words'");
        check("it's", r"'it'\''s'");
        check("", "''");
    }

    #[test]
    fn a_command_line_can_be_pasted() {
        let mut command = Command::new("cargo");
        command.args(["test", "a b"]).env("NAME", "$x").env_remove("GONE");
        assert_eq!(command_line(&command), "NAME='$x' cargo test 'a b'");
    }
}
