//! Functions fit a screen, files have one subject.

use crate::tree::{SourceFile, Tree};

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;

pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    tree.rust().flat_map(|file| long_file(file).into_iter().chain(long_functions(file))).collect()
}

fn long_file(file: &SourceFile) -> Option<String> {
    let lines = file.text.lines().count();
    (lines > FILE_LINES_MAX)
        .then(|| format!("{} has {lines} lines, {FILE_LINES_MAX} allowed: split it by subject", file.path))
}

fn long_functions(file: &SourceFile) -> Vec<String> {
    let lines: Vec<_> = file.text.lines().collect();
    let long_function = |start: usize| {
        let length = function_length(&lines[start..])?;
        (length > FUNCTION_LINES_MAX).then(|| {
            let at = format!("{}:{}", file.path, start + 1);
            format!("{at}: a function of {length} lines, {FUNCTION_LINES_MAX} allowed: split it by step")
        })
    };
    (0..lines.len()).filter_map(long_function).collect()
}

/// Lines of the function that starts on the first line: to the first line of the same indent that closes it.
/// Relies on rustfmt.
fn function_length(lines: &[&str]) -> Option<usize> {
    let (first, _) = lines.split_first().filter(|(first, _)| starts_function(first))?;
    let indent = indent_of(first);
    let closes = |line: &&str| indent_of(line) == indent && (line.ends_with('}') || line.ends_with(';'));
    Some(lines.iter().position(closes)? + 1)
}

fn starts_function(line: &str) -> bool {
    let Some((before, _)) = line.split_once("fn ") else { return false };
    let is_qualifier = |word: &str| {
        word.starts_with("pub") || ["const", "async", "unsafe", "extern", "\"C\""].contains(&word)
    };
    before.split_whitespace().all(is_qualifier)
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::check;

    fn function(head: &str, length: usize) -> String {
        let body = "        step();\n".repeat(length - 2);
        format!("impl X {{\n    {head} {{\n{body}    }}\n}}\n")
    }

    #[test]
    fn a_long_function_is_found_whatever_it_starts_with() {
        for head in ["fn a()", "pub(crate) async fn a()", "pub const unsafe extern \"C\" fn a()"] {
            check(violations, "a.rs", &function(head, 70), 0);
            check(violations, "a.rs", &function(head, 71), 1);
        }
    }

    #[test]
    fn a_declaration_ends_where_it_ends() {
        let declarations = "trait T {\n    fn a();\n    fn b(\n        x: u8,\n    ) -> u8;\n";
        check(violations, "a.rs", &format!("{declarations}{}}}\n", "    // more\n".repeat(90)), 0);
    }

    #[test]
    fn a_long_file_is_found() {
        check(violations, "a.rs", &"// line\n".repeat(600), 0);
        check(violations, "a.rs", &"// line\n".repeat(601), 1);
    }
}
