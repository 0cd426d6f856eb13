//! Nothing but the commit module decides from which offset a restart reads.

use crate::code::{code_of, has_word};
use crate::tree::Tree;

const FIELD: &str = "replay_offset";
const COMMIT_MODULE: [&str; 2] = ["yahtzee-core/src/commit.rs", "yahtzee-core/src/commit/"];

pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    let is_commit = |path: &str| COMMIT_MODULE.iter().any(|module| path.starts_with(module));
    let core = tree.rust().filter(|file| file.path.starts_with("yahtzee-core/src/"));
    let decided_elsewhere = core.filter(|file| !is_commit(&file.path)).flat_map(|file| {
        let lines = file.lines().filter(|(_, line)| decides(&code_of(line)));
        lines.map(|(number, _)| {
            format!("{}:{number}: `{FIELD}` is decided in commit.rs only: take it from a commit", file.path)
        })
    });
    decided_elsewhere.collect()
}

/// Whether the line gives the offset a value of its own; passing on a commit's is no decision.
fn decides(code: &str) -> bool {
    let is_given = |after: &str| {
        let after = after.trim_start();
        let is_field = after.starts_with(':') && !after.starts_with("::");
        let is_assigned = after.starts_with('=') && !after.starts_with("==") && !after.starts_with("=>");
        is_field || is_assigned
    };
    has_word(code, FIELD) && code.split(FIELD).skip(1).any(is_given) && !code.contains(&format!(".{FIELD}()"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::check;

    #[test]
    fn only_the_commit_module_gives_the_offset_a_value() {
        for text in
            ["replay_offset = 7;\n", "Commit { replay_offset: next }\n", "let replay_offset = next;\n"]
        {
            check(violations, "yahtzee-core/src/partition.rs", text, 1);
            check(violations, "yahtzee-core/src/commit.rs", text, 0);
            check(violations, "yahtzee-core/src/commit/metadata.rs", text, 0);
        }
    }

    #[test]
    fn reading_it_is_fine() {
        for text in [
            "let replay_offset = commit.replay_offset();\n",
            "if replay_offset == end {}\n",
            "read(replay_offset)\n",
            "// replay_offset = c\n",
        ] {
            check(violations, "yahtzee-core/src/partition.rs", text, 0);
        }
    }
}
