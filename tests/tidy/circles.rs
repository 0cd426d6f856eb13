//! Files are read downwards: none imports another that imports it, by whatever way round. A module and what lies in its
//! folder count as one room here.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{SourceFile, Tree};

/// Crates whose walk from record to commit, and on into a store, must have a direction.
const CRATES: [&str; 4] = ["ingress/src/", "storage/src/", "yahtzee-core/src/", "yahtzee-runtime/src/"];

/// Names of modules from the root of a crate downwards.
type ModulePath = Vec<String>;

pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    CRATES.iter().flat_map(|folder| circles_of(tree, folder)).collect()
}

fn circles_of(tree: &Tree, folder: &str) -> Vec<String> {
    let files: Vec<(ModulePath, &SourceFile)> = tree
        .rust()
        .filter(|file| !file.path.contains("/tests/") && !file.path.ends_with("tests.rs"))
        .filter_map(|file| Some((module_path(file.path.strip_prefix(folder)?), file)))
        .collect();
    let modules: BTreeSet<&ModulePath> = files.iter().map(|(path, _)| path).collect();
    let mut imports: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> = BTreeMap::new();
    for (path, file) in &files {
        let (code, _) = file.text.split_once("#[cfg(test)]\nmod tests").unwrap_or((&file.text, ""));
        let imported = imported(path, code);
        let targets = imported.iter().filter_map(|target| file_of(target, &modules));
        let targets: BTreeSet<_> =
            targets.filter(|target| !target.starts_with(path) && !path.starts_with(target)).collect();
        imports.insert(path, targets);
    }
    leave_circles(&mut imports);
    let fault = |(path, targets): (&ModulePath, &BTreeSet<&ModulePath>)| {
        let targets: Vec<String> = targets.iter().map(|target| target.join("::")).collect();
        format!(
            "{folder}: `{}` and {targets:?} import each other: move what both need below them",
            path.join("::")
        )
    };
    imports.iter().map(|(path, targets)| fault((path, targets))).collect()
}

/// Takes away, until nothing changes, what imports nothing that is left and what nothing that is left imports.
fn leave_circles(imports: &mut BTreeMap<&ModulePath, BTreeSet<&ModulePath>>) {
    loop {
        let count = imports.len();
        let imported: BTreeSet<&ModulePath> = imports.values().flatten().copied().collect();
        imports.retain(|path, targets| !targets.is_empty() && imported.contains(path));
        let left: BTreeSet<&ModulePath> = imports.keys().copied().collect();
        imports.values_mut().for_each(|targets| targets.retain(|target| left.contains(target)));
        if imports.len() == count {
            return;
        }
    }
}

/// `log/kafka/mod.rs` and `log/kafka.rs` are the module `log::kafka`.
fn module_path(path: &str) -> ModulePath {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').filter(|name| !["lib", "main"].contains(name)).map(str::to_owned).collect()
}

/// The file that an imported item stands in: the deepest module on the way to it.
fn file_of<'m>(item: &[String], modules: &BTreeSet<&'m ModulePath>) -> Option<&'m ModulePath> {
    (1..=item.len()).rev().find_map(|depth| modules.get(&item[..depth].to_vec()).copied())
}

/// Paths of all items that a module imports from its own crate.
fn imported(path: &ModulePath, code: &str) -> Vec<ModulePath> {
    let mut items = Vec::new();
    let statements = code.split(';').filter_map(|statement| {
        let line = statement.rfind("use ").filter(|&at| statement[..at].lines().last().is_none_or(is_use))?;
        Some(&statement[line + "use ".len()..])
    });
    for tree in statements {
        let tree: String = tree.split_whitespace().collect::<Vec<_>>().join(" ");
        expand(&tree, &mut Vec::new(), &mut |item| items.extend(absolute(path, item)));
    }
    items
}

/// Whether what stands before `use` lets it be an import.
fn is_use(before: &str) -> bool {
    ["", "pub ", "pub(crate) ", "pub(super) "].contains(&before.trim_start())
}

/// Calls `each` for every item of a tree such as `a::{b, c::{d, e}}`.
fn expand(tree: &str, before: &mut Vec<String>, each: &mut impl FnMut(&[String])) {
    let tree = tree.trim();
    match tree.split_once("::") {
        Some((first, rest)) if !first.contains('{') => {
            before.push(first.trim().to_owned());
            expand(rest, before, each);
            before.pop();
        }
        _ if tree.starts_with('{') => {
            for part in parts(tree.trim_start_matches('{').strip_suffix('}').unwrap_or(tree)) {
                expand(part, before, each);
            }
        }
        _ => {
            before.push(tree.split(" as ").next().unwrap_or(tree).to_owned());
            each(before);
            before.pop();
        }
    }
}

/// Splits at the commas outside braces.
fn parts(list: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[from..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// The path from the root of the crate; `None` for items of other crates.
fn absolute(module: &ModulePath, item: &[String]) -> Option<ModulePath> {
    let ups = item.iter().take_while(|name| *name == "super").count();
    match item.first()?.as_str() {
        "crate" => Some(item[1..].to_vec()),
        "self" => Some([module.as_slice(), &item[1..]].concat()),
        "super" => Some([&module[..module.len().checked_sub(ups)?], &item[ups..]].concat()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_import_each_other_are_found() {
        fn check(files: &[(&str, &str)], expected: &[&str]) {
            let file = |(path, text): &(&str, &str)| SourceFile {
                path: format!("storage/src/{path}"),
                text: (*text).to_owned(),
            };
            let found = violations(&Tree { files: files.iter().map(file).collect() });
            let named: Vec<&str> = found.iter().filter_map(|text| text.split('`').nth(1)).collect();
            assert_eq!(named, expected, "{files:?}: {found:?}");
        }
        check(&[("a.rs", "use crate::b::B;\n"), ("b.rs", "use std::fmt;\n")], &[]);
        check(&[("a.rs", "use crate::b::B;\n"), ("b.rs", "use super::a::{self, A};\n")], &["a", "b"]);
        // Round three corners, through braces over several lines; d only leads there.
        let b = "use crate::{\n    c::{C, D},\n    owner,\n};\n";
        let files = [
            ("a.rs", "use crate::b;\n"),
            ("b.rs", b),
            ("c.rs", "pub use crate::a::A;\n"),
            ("d.rs", "use crate::a::A;\n"),
        ];
        check(&files, &["a", "b", "c"]);
        // A module and its folder are one room; what lies in it is not.
        check(&[("a.rs", "use self::b::B;\n"), ("a/b.rs", "use super::A;\n")], &[]);
        check(&[("a/b.rs", "use super::c::C;\n"), ("a/c.rs", "use super::b::B;\n")], &["a::b", "a::c"]);
        check(
            &[
                ("a.rs", "use crate::b::B;\n"),
                ("b.rs", "#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n"),
            ],
            &[],
        );
        check(&[("a.rs", "use crate::b::B;\n"), ("b.rs", "//! We use crate::a::A;\n")], &[]);
    }
}
