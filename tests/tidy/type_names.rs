//! A type name stands for one thing within the product crates, so that a reader who knows it knows it everywhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{SourceFile, Tree};

/// Sources of the product; simulator, tests, benches, examples and tools have words of their own.
const PRODUCT: [&str; 11] = [
    "cli/src/",
    "demo/src/",
    "ingress/src/",
    "jobs/src/",
    "proto/src/",
    "storage/src/",
    "yahtzee/src/",
    "yahtzee-core/src/",
    "yahtzee-proto/src/",
    "yahtzee-runtime/src/",
    "yahtzee-testkit/src/",
];

pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    let mut places: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in tree.rust().filter(|file| is_product(file)) {
        let (code, _) = file.text.split_once("#[cfg(test)]").unwrap_or((&file.text, ""));
        for name in code.lines().filter_map(defined) {
            places.entry(name).or_default().insert(&file.path);
        }
    }
    let twice = places.into_iter().filter(|(_, files)| files.len() > 1);
    let fault = |(name, files): (&str, BTreeSet<&str>)| {
        format!(
            "`{name}` is defined in {files:?}: give the one in the higher crate a name that says its subject"
        )
    };
    twice.map(fault).collect()
}

fn is_product(file: &SourceFile) -> bool {
    let is_test =
        file.path.contains("/tests/") || file.path.contains("test_world") || file.path.ends_with("tests.rs");
    !is_test && PRODUCT.iter().any(|folder| file.path.starts_with(folder))
}

/// The type that a line of formatted source begins to define; associated types are none.
fn defined(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let code = match code.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => code,
    };
    let is_indented = line.starts_with(' ');
    let (keyword, rest) = code.split_once(' ')?;
    let defines =
        ["struct", "enum", "trait", "union"].contains(&keyword) || (keyword == "type" && !is_indented);
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    (defines && end > 0).then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_recognised() {
        let check = |line, expected| assert_eq!(defined(line), expected, "{line}");
        check("pub(crate) struct Row<'a> {", Some("Row"));
        check("pub enum Row {", Some("Row"));
        check("trait Row: Sized {", Some("Row"));
        check("type Row = u8;", Some("Row"));
        check("    type Row = u8;", None);
        check("/// struct Row", None);
        check("impl Row {", None);
    }

    #[test]
    fn a_second_type_of_the_same_name_is_found() {
        let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
        let check = |second: &str, text: &str, expected: usize| {
            let tree = Tree { files: vec![file("cli/src/a.rs", "struct Row;\n"), file(second, text)] };
            assert_eq!(violations(&tree).len(), expected, "{second}: {text}");
        };
        check("storage/src/a.rs", "pub enum Row {}\n", 1);
        check("storage/src/a.rs", "#[cfg(test)]\nmod tests {\n    struct Row;\n}\n", 0);
        check("benches/src/a.rs", "struct Row;\n", 0);
        check("storage/src/a/tests.rs", "struct Row;\n", 0);
    }
}
