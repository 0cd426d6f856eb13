//! What a file looks like: a doc line first, nothing unfinished, no tabs, no paths of somebody's machine.

use crate::code::has_word;
use crate::tree::{SourceFile, Tree};

const MARKERS: [&str; 3] = ["TODO", "FIXME", "XXX"];
/// Folders in which people and build machines keep their checkouts.
const MACHINE_FOLDERS: [&str; 4] = ["home", "root", "Users", "work"];
/// Files that people write, as opposed to test vectors, licence texts and the lock file.
const WRITTEN_EXTENSIONS: [&str; 8] = ["rs", "toml", "md", "proto", "properties", "xml", "sh", "yml"];

pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    let headless = tree.rust().filter(|file| !file.text.starts_with("//!")).map(|file| {
        format!("{}: the first line must be a `//!` line that says what the file is for", file.path)
    });
    let written = tree.files.iter().filter(|file| is_written(file) && !file.is_a_rule());
    headless.chain(written.flat_map(lines_at_fault)).collect()
}

fn is_written(file: &SourceFile) -> bool {
    file.path.starts_with(".ci/") || file.extension().is_some_and(|it| WRITTEN_EXTENSIONS.contains(&it))
}

fn lines_at_fault(file: &SourceFile) -> Vec<String> {
    let at_fault = |(number, line)| Some(format!("{}:{number}: {}", file.path, fault_of(line)?));
    file.lines().filter_map(at_fault).collect()
}

fn fault_of(line: &str) -> Option<String> {
    if let Some(marker) = MARKERS.into_iter().find(|marker| is_unfinished(line, marker)) {
        return Some(format!("{marker} without an issue: finish it, or write `{marker}(#123)`"));
    }
    if line.contains('\t') {
        return Some("a tab: indent with spaces".to_owned());
    }
    let folder = MACHINE_FOLDERS.into_iter().find(|folder| names_machine_folder(line, folder))?;
    Some(format!("a path below /{folder}, which is somebody's machine: make it relative"))
}

fn is_unfinished(line: &str, marker: &str) -> bool {
    let issue =
        |after: &str| after.strip_prefix("(#").is_some_and(|it| it.starts_with(|c: char| c.is_ascii_digit()));
    has_word(line, marker) && !line.split(marker).skip(1).all(issue)
}

/// Whether an absolute path into the folder is on the line; `target/root/bin` is a relative one.
fn names_machine_folder(line: &str, folder: &str) -> bool {
    let path = format!("/{folder}/");
    line.match_indices(&path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_.-/}".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::check;

    #[test]
    fn a_rust_file_starts_with_its_purpose() {
        check(violations, "a.rs", "//! Adds.\nfn a() {}\n", 0);
        check(violations, "a.rs", "fn a() {}\n", 1);
        check(violations, "a.rs", "", 1);
    }

    #[test]
    fn unfinished_work_names_its_issue() {
        check(violations, "a.toml", "# TODO: later\n", 1);
        check(violations, "a.toml", "# FIXME(#) no number\n# XXX\n", 2);
        check(violations, "a.toml", "# TODO(#12): later\n", 0);
        check(violations, "a.toml", "mastodon = \"TODOS\"\n", 0);
    }

    #[test]
    fn tabs_are_refused_where_people_write() {
        check(violations, "a.md", "a\tb\n", 1);
        check(violations, ".ci/run", "\tcargo\n", 1);
        check(violations, "tests/vectors/a.tsv", "a\tb\n", 0);
    }

    #[test]
    fn machine_paths_are_refused() {
        for folder in MACHINE_FOLDERS {
            check(violations, "a.md", &format!("see `/{folder}/me/a`\n"), 1);
            check(violations, "a.md", &format!("see target/{folder}/a and https://x.org/{folder}/a\n"), 0);
        }
    }
}
