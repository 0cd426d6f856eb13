//! Jobs stay as short as the framework promises: types and `impl Job`, without imports, documentation and tests.

use crate::tree::Tree;

/// Jobs composed of stock accumulators, and the lines that each may have.
const COMPOSED: &[(&str, usize)] = &[("examples/slow-requests/src/lib.rs", 30), ("jobs/src/errors.rs", 30)];

pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    COMPOSED.iter().filter_map(|&(path, lines_max)| fault(tree, path, lines_max)).collect()
}

fn fault(tree: &Tree, path: &str, lines_max: usize) -> Option<String> {
    let Some(file) = tree.file(path) else {
        return Some(format!("{path} is gone: name another job in tests/tidy/job_size.rs"));
    };
    let lines = job_lines(&file.text);
    let advice = "let the framework take over what every job repeats";
    (lines > lines_max).then(|| format!("{path}: a job of {lines} lines, {lines_max} allowed: {advice}"))
}

/// Lines of code that a job's author has to think up: not blank, no comment, no import, no module, no test. Relies on
/// rustfmt.
fn job_lines(text: &str) -> usize {
    let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((text, ""));
    let (mut lines, mut is_within_aside) = (0, false);
    for line in code.lines() {
        let is_code = !line.trim().is_empty() && !line.trim_start().starts_with("//");
        let begins_aside = ["use ", "pub use ", "mod ", "pub mod "].iter().any(|word| line.starts_with(word));
        lines += usize::from(is_code && !is_within_aside && !begins_aside);
        is_within_aside =
            (is_within_aside && !line.starts_with('}')) || (begins_aside && line.ends_with('{'));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::SourceFile;

    #[test]
    fn what_counts_is_types_and_impl() {
        fn check(text: &str, expected: usize) {
            assert_eq!(job_lines(text), expected, "{text}");
        }
        check("//! A job.\n\nuse a::b;\nuse a::{\n    c,\n    d,\n};\n\n/// Reads.\nstruct Job;\n", 1);
        check(
            "pub mod summary {\n    include!(\"a.rs\");\n}\n\nimpl Job for A {\n    // Why.\n    x\n}\n",
            3,
        );
        check("mod wire;\nstruct A;\n#[cfg(test)]\nmod tests {\n    fn a() {}\n}\n", 1);
    }

    #[test]
    fn a_job_that_has_grown_is_found() {
        let (path, lines_max) = COMPOSED[0];
        let grown = |lines: usize| {
            let file = SourceFile { path: path.to_owned(), text: "x();\n".repeat(lines) };
            Tree { files: vec![file] }
        };
        assert_eq!(fault(&grown(lines_max), path, lines_max), None);
        assert!(fault(&grown(lines_max + 1), path, lines_max).is_some_and(|fault| fault.contains(path)));
        assert!(fault(&grown(1), "elsewhere.rs", lines_max).is_some());
    }
}
