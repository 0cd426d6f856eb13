//! The files of the repository, read once and handed to every rule.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file: its path from the root of the repository, with `/`, and what it holds.
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Every text file of the repository, sorted by path.
pub(crate) struct Tree {
    pub(crate) files: Vec<SourceFile>,
}

/// The root of the repository: the folder above this package's.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package lives in a folder of the repository").to_owned()
}

impl Tree {
    /// Reads the working tree without what `.gitignore` names. Files that are not UTF-8 are not source.
    pub(crate) fn read() -> Self {
        let root = root();
        let ignore = fs::read_to_string(root.join(".gitignore")).expect("there is a .gitignore");
        // This repository ignores folders of the root only, so a list of names is all there is to it.
        let mut ignored: Vec<_> = ignore.lines().map(|line| root.join(line.trim_matches('/'))).collect();
        ignored.push(root.join(".git"));
        let mut paths = Vec::new();
        collect_files(&root, &ignored, &mut paths);
        paths.sort();
        let read = |path: PathBuf| {
            let text = String::from_utf8(fs::read(&path).expect("a listed file can be read")).ok()?;
            let path = path.strip_prefix(&root).expect("it was found below the root");
            Some(SourceFile { path: path.to_string_lossy().replace('\\', "/"), text })
        };
        Self { files: paths.into_iter().filter_map(read).collect() }
    }

    /// The file at exactly this path.
    pub(crate) fn file(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust files that people write. What the protobuf compiler wrote follows its schema's names, not the house's.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &SourceFile> {
        self.with_extension("rs").filter(|file| !file.path.contains("/src/generated/"))
    }

    /// The files whose name ends so.
    pub(crate) fn with_extension(&self, extension: &str) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(move |file| file.extension() == Some(extension))
    }
}

impl SourceFile {
    /// What follows the last dot of the name.
    pub(crate) fn extension(&self) -> Option<&str> {
        Path::new(&self.path).extension()?.to_str()
    }

    /// Whether this file belongs to the rules, which have to name what they forbid.
    pub(crate) fn is_a_rule(&self) -> bool {
        self.path.starts_with("tests/tidy/")
    }

    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

fn collect_files(folder: &Path, ignored: &[PathBuf], paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository can be read") {
        let path = entry.expect("an entry of a folder can be read").path();
        if ignored.contains(&path) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect_files(&path, ignored, paths);
        } else {
            paths.push(path);
        }
    }
}

/// Runs a rule on a repository of one file and compares the number of violations.
#[track_caller]
pub(crate) fn check(rule: crate::Rule, path: &str, text: &str, expected: usize) {
    let tree = Tree { files: vec![SourceFile { path: path.to_owned(), text: text.to_owned() }] };
    let found = rule(&tree);
    assert_eq!(found.len(), expected, "{path}: {text}\nfound: {found:#?}");
}

#[test]
fn the_walk_finds_this_file_and_no_build_output() {
    let tree = Tree::read();
    assert!(tree.file("tests/tidy/tree.rs").is_some());
    assert!(
        !tree.files.iter().any(|file| file.path.starts_with("target/") || file.path.starts_with(".git/"))
    );
}
