//! Who may know whom, read from each `Cargo.toml`.

use toml::{Table, Value};

use crate::tree::{SourceFile, Tree};

enum Knows {
    Only(&'static [&'static str]),
    Everyone,
}

/// Folder of a crate, and the packages of this workspace it may be built from. Tests may know more.
const KNOWS: &[(&str, Knows)] = &[
    ("proto", Knows::Only(&["yahtzee-core"])),
    ("yahtzee-core", Knows::Only(&[])),
    ("yahtzee-proto", Knows::Only(&[])),
    ("yahtzee", Knows::Only(&["yahtzee-core"])),
    ("yahtzee-sim", Knows::Only(&["yahtzee-core"])),
    ("yahtzee-testkit", Knows::Only(&["yahtzee-core"])),
    ("yahtzee-runtime", Knows::Only(&["yahtzee-core", "yahtzee-proto"])),
    ("jobs", Knows::Only(&["yahtzee", "yahtzee-pipeline-proto"])),
    ("ingress", Knows::Only(&["yahtzee-core", "yahtzee-pipeline-proto", "yahtzee-runtime"])),
    ("storage", Knows::Only(&["yahtzee-core", "yahtzee-pipeline-proto", "yahtzee-runtime"])),
    ("metrics-api", Knows::Only(&["yahtzee-core", "yahtzee-pipeline-proto", "yahtzee-storage"])),
    ("loadgen", Knows::Only(&["yahtzee-core", "yahtzee-pipeline-proto"])),
    (
        "demo",
        Knows::Only(&[
            "yahtzee-core",
            "yahtzee-ingress",
            "yahtzee-jobs",
            "yahtzee-loadgen",
            "yahtzee-runtime",
            "yahtzee-storage",
        ]),
    ),
    (
        "cli",
        Knows::Only(&[
            "yahtzee-core",
            "yahtzee-demo",
            "yahtzee-ingress",
            "yahtzee-jobs",
            "yahtzee-runtime",
            "yahtzee-storage",
        ]),
    ),
    ("tests", Knows::Everyone),
    ("benches", Knows::Everyone),
    ("xtask", Knows::Only(&[])),
];

/// Crates that cannot do I/O because nothing they are built from can.
const PURE: &[(&str, &[&str])] = &[
    ("yahtzee-core", &["base64", "hashbrown", "prost", "xxhash-rust"]),
    ("yahtzee", &["prost", "serde", "serde_json", "yahtzee-core"]),
    ("yahtzee-proto", &["prost"]),
    ("proto", &["prost", "yahtzee-core"]),
    ("jobs", &["yahtzee", "yahtzee-pipeline-proto"]),
];

/// Packages that only some folders may name, in their tests neither.
const RESERVED: &[(&str, &[&str])] = &[
    ("rdkafka", &["yahtzee-runtime", "benches", "tests"]),
    ("rdkafka-sys", &["yahtzee-runtime", "benches"]),
];

const BUILT_FROM: &[&str] = &["dependencies", "build-dependencies"];
const ANY_USE: &[&str] = &["dependencies", "build-dependencies", "dev-dependencies"];

pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    let manifests = tree.files.iter().filter_map(Manifest::of);
    let faults = |manifest: Manifest<'_>| {
        let faults =
            [wrong_name(&manifest), forbidden_knowledge(&manifest), impure(&manifest), reserved(&manifest)];
        let place = format!("{}/Cargo.toml", manifest.folder);
        faults.concat().into_iter().map(move |fault| format!("{place}: {fault}"))
    };
    manifests.flat_map(faults).collect()
}

/// The manifest of a crate in a folder of the root.
struct Manifest<'a> {
    folder: &'a str,
    table: Table,
}

impl<'a> Manifest<'a> {
    fn of(file: &'a SourceFile) -> Option<Self> {
        let (folder, name) = file.path.split_once('/')?;
        let table = || file.text.parse().expect("cargo has read this manifest before");
        (name == "Cargo.toml").then(|| Self { folder, table: table() })
    }

    fn package(&self) -> &str {
        let name = self.table.get("package").and_then(|package| package.get("name"));
        name.and_then(Value::as_str).unwrap_or_default()
    }

    /// Names of the packages in dependency tables of these kinds, those of single platforms included.
    fn dependencies(&self, kinds: &[&str]) -> Vec<&str> {
        let targets = self.table.get("target").and_then(Value::as_table);
        let targets = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
        let tables = std::iter::once(&self.table).chain(targets);
        let tables = tables.flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()));
        tables.flatten().map(|(name, value)| package_of(name, value)).collect()
    }
}

/// The package of a dependency, which may have been given another name.
fn package_of<'t>(name: &'t str, value: &'t Value) -> &'t str {
    value.get("package").and_then(Value::as_str).unwrap_or(name)
}

fn wrong_name(manifest: &Manifest<'_>) -> Vec<String> {
    let folder = manifest.folder;
    let expected = match folder {
        "xtask" | "yahtzee" => folder.to_owned(),
        // The framework's own schema has the plain name.
        "proto" => "yahtzee-pipeline-proto".to_owned(),
        framework if framework.starts_with("yahtzee-") => framework.to_owned(),
        plain => format!("yahtzee-{plain}"),
    };
    let is_right = manifest.package() == expected;
    let fault =
        || format!("the package is called `{}`, in this folder it is `{expected}`", manifest.package());
    (!is_right).then(fault).into_iter().collect()
}

fn forbidden_knowledge(manifest: &Manifest<'_>) -> Vec<String> {
    let Some((_, knows)) = KNOWS.iter().find(|(folder, _)| *folder == manifest.folder) else {
        return vec!["a new crate: say in tests/tidy/manifests.rs whom it may know".to_owned()];
    };
    let Knows::Only(allowed) = knows else { return Vec::new() };
    let dependencies = manifest.dependencies(BUILT_FROM).into_iter();
    let ours = dependencies.filter(|package| package.starts_with("yahtzee") || *package == "xtask");
    ours.filter(|package| !allowed.contains(package))
        .map(|package| format!("may not know `{package}`: only {allowed:?} of this workspace"))
        .collect()
}

fn impure(manifest: &Manifest<'_>) -> Vec<String> {
    let Some((_, allowed)) = PURE.iter().find(|(folder, _)| *folder == manifest.folder) else {
        return Vec::new();
    };
    let dependencies = manifest.dependencies(BUILT_FROM).into_iter();
    dependencies
        .filter(|package| !allowed.contains(package))
        .map(|package| format!("`{package}`: this crate is pure and built from {allowed:?} only"))
        .collect()
}

fn reserved(manifest: &Manifest<'_>) -> Vec<String> {
    let dependencies = manifest.dependencies(ANY_USE).into_iter();
    let reserved = dependencies.filter_map(|package| {
        let (_, folders) = RESERVED.iter().find(|(name, _)| *name == package)?;
        let fault = || format!("may not depend on `{package}`, only {folders:?} may");
        (!folders.contains(&manifest.folder)).then(fault)
    });
    reserved.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(folder: &str, package: &str, dependencies: &str, expected: usize) {
        let text = format!("[package]\nname = \"{package}\"\n{dependencies}");
        crate::tree::check(violations, &format!("{folder}/Cargo.toml"), &text, expected);
    }

    #[test]
    fn a_package_is_called_after_its_folder() {
        check("storage", "yahtzee-storage", "", 0);
        check("yahtzee-core", "yahtzee-core", "", 0);
        check("xtask", "xtask", "", 0);
        check("yahtzee", "yahtzee", "", 0);
        check("proto", "yahtzee-pipeline-proto", "", 0);
        check("proto", "yahtzee-proto", "", 1);
        check("storage", "storage", "", 1);
        check("yahtzee-core", "yahtzee-yahtzee-core", "", 1);
    }

    #[test]
    fn knowledge_flows_one_way() {
        check("ingress", "yahtzee-ingress", "[dependencies]\nyahtzee-core.workspace = true\n", 0);
        check("ingress", "yahtzee-ingress", "[dependencies]\nyahtzee-storage.workspace = true\n", 1);
        check(
            "yahtzee-runtime",
            "yahtzee-runtime",
            "[build-dependencies]\nyahtzee-pipeline-proto.workspace = true\n",
            1,
        );
        check("cli", "yahtzee-cli", "[dependencies]\nyahtzee-storage.workspace = true\n", 0);
        check("cli", "yahtzee-cli", "[dependencies]\nyahtzee-sim.workspace = true\n", 1);
        check("yahtzee-sim", "yahtzee-sim", "[dev-dependencies]\nyahtzee-jobs.workspace = true\n", 0);
        check("novelty", "yahtzee-novelty", "", 1);
    }

    #[test]
    fn neither_a_new_name_nor_a_platform_hides_a_dependency() {
        let renamed = "[dependencies]\ncore = { package = \"yahtzee-storage\", path = \"../storage\" }\n";
        check("ingress", "yahtzee-ingress", renamed, 1);
        let on_unix = "[target.'cfg(unix)'.dependencies]\nyahtzee-storage.workspace = true\n";
        check("ingress", "yahtzee-ingress", on_unix, 1);
    }

    #[test]
    fn pure_crates_are_built_from_pure_crates() {
        check("yahtzee-core", "yahtzee-core", "[dependencies]\nprost = \"1\"\n", 0);
        check("yahtzee-core", "yahtzee-core", "[dependencies]\ntokio = \"1\"\n", 1);
        check("jobs", "yahtzee-jobs", "[build-dependencies]\nureq = \"1\"\n", 1);
        check("jobs", "yahtzee-jobs", "[dev-dependencies]\nproptest = \"1\"\n", 0);
    }

    #[test]
    fn the_kafka_client_is_reserved() {
        check("yahtzee-runtime", "yahtzee-runtime", "[dependencies]\nrdkafka = \"1\"\n", 0);
        check("ingress", "yahtzee-ingress", "[dependencies]\nrdkafka = \"1\"\n", 1);
        check("storage", "yahtzee-storage", "[dev-dependencies]\nrdkafka = \"1\"\n", 1);
    }
}
