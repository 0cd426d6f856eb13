//! Jobs stay as short as the framework promises: types and `impl Job`, without imports, documentation and tests.

use crate::tree::{SourceFile, Tree};

/// How the implementation of a job begins.
const JOB: &str = "impl Job for";

/// Every job, and the lines that it may have: 30 of stock accumulators and few fields, 70 with more of either. The two
/// beyond that summarise the most fields; they may not grow.
const JOBS: &[(&str, usize)] = &[
    ("examples/slow-requests/src/lib.rs", 30),
    ("jobs/src/errors.rs", 30),
    ("jobs/src/app_events.rs", 35),
    ("jobs/src/dyno_load.rs", 70),
    ("jobs/src/dyno_memory.rs", 70),
    ("jobs/src/language_metrics.rs", 70),
    ("jobs/src/log_loss.rs", 70),
    ("jobs/src/dyno_events.rs", 80),
    ("jobs/src/router_latency.rs", 80),
];

pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    let too_long = JOBS.iter().filter_map(|&(path, lines_max)| fault(tree, path, lines_max));
    too_long.chain(tree.rust().filter_map(unlisted)).collect()
}

/// A job that no limit holds.
fn unlisted(file: &SourceFile) -> Option<String> {
    let is_job = file.path.starts_with("jobs/src/") && file.text.lines().any(|line| line.starts_with(JOB));
    let is_listed = JOBS.iter().any(|&(path, _)| path == file.path);
    (is_job && !is_listed)
        .then(|| format!("{}: a new job: give it a limit in tests/tidy/job_size.rs", file.path))
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
    use crate::tree::check;

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
        let (path, lines_max) = JOBS[0];
        let grown = |lines: usize| {
            let file = SourceFile { path: path.to_owned(), text: "x();\n".repeat(lines) };
            Tree { files: vec![file] }
        };
        assert_eq!(fault(&grown(lines_max), path, lines_max), None);
        assert!(fault(&grown(lines_max + 1), path, lines_max).is_some_and(|fault| fault.contains(path)));
        assert!(fault(&grown(1), "elsewhere.rs", lines_max).is_some());
    }

    #[test]
    fn a_job_without_a_limit_is_found() {
        let check = |path, expected| {
            check(|tree| tree.rust().filter_map(unlisted).collect(), path, "impl Job for X {}\n", expected);
        };
        check("jobs/src/new.rs", 1);
        check("jobs/src/errors.rs", 0);
        check("yahtzee-sim/src/job.rs", 0);
    }
}
