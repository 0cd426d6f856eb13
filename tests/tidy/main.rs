//! Rules of the house that no compiler checks, read from the files of the repository.
//!
//! A rule is a pure function from the [`Tree`] to its violations, next to a test that feeds it a bad sample.
//! To add one, write it and put it into [`RULES`]. A message says what is wrong, where, and what to do instead.

mod bans;
mod circles;
mod code;
mod dependencies;
mod documents;
mod job_size;
mod manifests;
mod size;
mod style;
mod tree;
mod type_names;

use tree::Tree;

type Rule = fn(&Tree) -> Vec<String>;

const RULES: &[(&str, Rule)] = &[
    ("files are small", size::violations),
    ("jobs are short", job_size::violations),
    ("files are written the house way", style::violations),
    ("nothing uses what is banned where it is", bans::violations),
    ("crates know whom they may know", manifests::violations),
    ("documents are there and have a title", documents::violations),
    ("files import downwards", circles::violations),
    ("a type name stands for one thing", type_names::violations),
    ("dependencies are free to use and from crates.io", dependencies::violations),
];

#[test]
fn the_repository_is_tidy() {
    let tree = Tree::read();
    let mut report = String::new();
    for (rule, violations) in RULES {
        for violation in violations(&tree) {
            report.push_str(&format!("\n  {rule}: {violation}"));
        }
    }
    assert!(report.is_empty(), "the repository is not tidy:{report}");
}
