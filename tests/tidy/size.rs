//! Files have one subject. That functions fit a screen is clippy's rule (`too_many_lines`).

use crate::tree::{SourceFile, Tree};

const FILE_LINES_MAX: usize = 600;

pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    tree.rust().filter_map(long_file).collect()
}

fn long_file(file: &SourceFile) -> Option<String> {
    let lines = file.text.lines().count();
    (lines > FILE_LINES_MAX)
        .then(|| format!("{} has {lines} lines, {FILE_LINES_MAX} allowed: split it by subject", file.path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::check;

    #[test]
    fn a_long_file_is_found() {
        check(violations, "a.rs", &"// line\n".repeat(600), 0);
        check(violations, "a.rs", &"// line\n".repeat(601), 1);
    }
}
