//! The documents a newcomer looks for are there, and every page has one title.

use crate::tree::{SourceFile, Tree};

const REQUIRED: [&str; 5] = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];

pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    missing(tree).into_iter().chain(tree.with_extension("md").filter_map(wrong_title)).collect()
}

fn missing(tree: &Tree) -> Vec<String> {
    let is_missing = |path: &&str| tree.file(path).is_none();
    REQUIRED.into_iter().filter(is_missing).map(|path| format!("{path} is missing")).collect()
}

fn wrong_title(file: &SourceFile) -> Option<String> {
    let mut in_code = false;
    let mut titles = 0;
    for line in file.text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        titles += usize::from(!in_code && line.starts_with("# "));
    }
    (titles != 1)
        .then(|| format!("{} has {titles} lines that start with `# `, a page has one title", file.path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::check;

    fn titles(tree: &Tree) -> Vec<String> {
        tree.with_extension("md").filter_map(wrong_title).collect()
    }

    #[test]
    fn a_page_has_one_title() {
        check(titles, "a.md", "# A\n## B\n", 0);
        check(titles, "a.md", "# A\n```\n# a comment\n```\n", 0);
        check(titles, "a.md", "# A\n# B\n", 1);
        check(titles, "a.md", "A\n", 1);
    }

    #[test]
    fn a_missing_document_is_named() {
        check(missing, "README.md", "# Yahtzee\n", REQUIRED.len() - 1);
        check(missing, "jobs/README.md", "# Jobs\n", REQUIRED.len());
    }
}
