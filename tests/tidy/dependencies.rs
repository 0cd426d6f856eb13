//! Licences, sources and bans of `deny.toml`, held with nothing but `cargo metadata`.
//!
//! `cargo deny` says more and better; this runs wherever the tests run, and from the same lists.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value as Json;
use spdx::{Expression, ParseMode};
use toml::{Table, Value};

use crate::tree::{Tree, root};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Workers run on Linux; without a platform cargo would fetch the crates of all of them.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    let Some(policy) = tree.file("deny.toml") else { return vec!["deny.toml is missing".to_owned()] };
    violations_of(&metadata(), &Policy::parse(&policy.text))
}

fn metadata() -> Json {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version=1", "--locked", "--filter-platform", PLATFORM]);
    let output = cargo.current_dir(root()).output().expect("cargo built this test, so it can be run");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`cargo metadata --locked` failed: {message}");
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn violations_of(metadata: &Json, policy: &Policy) -> Vec<String> {
    let members: Vec<_> = items(metadata, "workspace_members").collect();
    let packages: Vec<_> = items(metadata, "packages").collect();
    let names: BTreeMap<_, _> = packages.iter().map(|it| (text(it, "id"), text(it, "name"))).collect();
    let foreign = packages.iter().filter(|package| !members.contains(&&package["id"]));
    let per_package = foreign.flat_map(|package| [policy.licence_fault(package), source_fault(package)]);
    let nodes = items(&metadata["resolve"], "nodes");
    let per_node = nodes.flat_map(|node| policy.graph_faults(node, &names));
    per_package.flatten().chain(per_node).collect()
}

/// The part of `deny.toml` that can be checked without the tool.
struct Policy {
    licences: Vec<String>,
    /// Banned crate, and who may depend on it nevertheless.
    bans: BTreeMap<String, Vec<String>>,
    /// Crate, and the features it may not have.
    features: BTreeMap<String, Vec<String>>,
}

impl Policy {
    fn parse(text: &str) -> Self {
        let policy: Table = text.parse().expect("deny.toml is TOML");
        let (licences, bans) = (&policy["licenses"], &policy["bans"]);
        Self {
            licences: strings(licences, "allow"),
            bans: by_crate(bans, "deny", "wrappers"),
            features: by_crate(bans, "features", "deny"),
        }
    }

    fn licence_fault(&self, package: &Json) -> Option<String> {
        let licence = text(package, "license");
        let is_allowed = |required: &spdx::LicenseReq| self.licences.contains(&required.to_string());
        // Lax, since old crates write `MIT/Apache-2.0`.
        let expression = Expression::parse_mode(licence, ParseMode::LAX);
        let is_free = expression.is_ok_and(|expression| expression.evaluate(is_allowed));
        let name = text(package, "name");
        (!is_free).then(|| format!("{name}: licence `{licence}` is not in deny.toml: replace the crate"))
    }

    fn graph_faults(&self, node: &Json, names: &BTreeMap<&str, &str>) -> Vec<String> {
        let name = names[text(node, "id")];
        let banned = items(node, "deps").filter_map(|dependency| {
            let banned = names[text(dependency, "pkg")];
            let wrappers = self.bans.get(banned)?;
            let is_wrapped = wrappers.iter().any(|wrapper| wrapper == name);
            (!is_wrapped).then(|| format!("{name} depends on `{banned}`, which deny.toml bans"))
        });
        let refused = self.features.get(name).into_iter().flatten();
        let refused = refused.filter(|feature| items(node, "features").any(|it| it == feature.as_str()));
        let refused =
            refused.map(|feature| format!("{name} has the feature `{feature}`, which deny.toml bans"));
        banned.chain(refused).collect()
    }
}

fn source_fault(package: &Json) -> Option<String> {
    let (name, source) = (text(package, "name"), text(package, "source"));
    (source != CRATES_IO).then(|| format!("{name} comes from `{source}`: use a release from crates.io"))
}

/// The text under a key; empty where cargo has none to give.
fn text<'j>(object: &'j Json, key: &str) -> &'j str {
    object[key].as_str().unwrap_or_default()
}

fn items<'j>(object: &'j Json, key: &str) -> impl Iterator<Item = &'j Json> {
    object[key].as_array().into_iter().flatten()
}

fn strings(table: &Value, key: &str) -> Vec<String> {
    let array = table.get(key).and_then(Value::as_array).into_iter().flatten();
    array.filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

/// `[{ crate = "a", value = ["b"] }]` as a map from crate to values.
fn by_crate(table: &Value, list: &str, value: &str) -> BTreeMap<String, Vec<String>> {
    let entries = table.get(list).and_then(Value::as_array).into_iter().flatten();
    let entry = |entry: &Value| Some((entry.get("crate")?.as_str()?.to_owned(), strings(entry, value)));
    entries.filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POLICY: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0", "Zlib"]
        [bans]
        deny = [{ crate = "bad" }, { crate = "rare", wrappers = ["wrapper"] }]
        [[bans.features]]
        crate = "user"
        deny = ["reckless"]
    "#;

    #[track_caller]
    fn check(metadata: &Json, expected: usize) {
        let found = violations_of(metadata, &Policy::parse(POLICY));
        assert_eq!(found.len(), expected, "{metadata:#}\nfound: {found:#?}");
    }

    fn one_package(licence: Option<&str>, source: Option<&str>) -> Json {
        json!({ "packages": [{ "id": "a", "name": "a", "license": licence, "source": source }] })
    }

    #[test]
    fn a_licence_is_free_if_a_choice_of_it_is_allowed() {
        let check_licence = |licence, expected| check(&one_package(licence, Some(CRATES_IO)), expected);
        check_licence(Some("MIT"), 0);
        check_licence(Some("GPL-3.0-only OR MIT"), 0);
        check_licence(Some("MIT/Apache-2.0"), 0);
        check_licence(Some("(MIT OR BSD-3-Clause) AND Zlib"), 0);
        check_licence(Some("MIT AND GPL-3.0-only"), 1);
        check_licence(Some("Apache-2.0 WITH LLVM-exception"), 1);
        check_licence(Some("our own"), 1);
        check_licence(None, 1);
    }

    #[test]
    fn a_dependency_comes_from_crates_io() {
        check(&one_package(Some("MIT"), Some("git+https://example.org/a")), 1);
        check(&one_package(Some("MIT"), None), 1);
        let mut own = one_package(None, None);
        own["workspace_members"] = json!(["a"]);
        check(&own, 0);
    }

    fn edge(from: &str, to: &str, features: &[&str]) -> Json {
        let package = |name| json!({ "id": name, "name": name, "license": "MIT", "source": CRATES_IO });
        let node = json!({ "id": from, "deps": [{ "pkg": to }], "features": features });
        json!({ "packages": [package(from), package(to)], "resolve": { "nodes": [node] } })
    }

    #[test]
    fn a_banned_crate_or_feature_is_found() {
        check(&edge("user", "good", &["std"]), 0);
        check(&edge("user", "bad", &[]), 1);
        check(&edge("user", "rare", &[]), 1);
        check(&edge("wrapper", "rare", &[]), 0);
        check(&edge("user", "good", &["reckless"]), 1);
    }

    #[test]
    fn the_real_policy_is_understood() {
        let policy = Policy::parse(&std::fs::read_to_string(root().join("deny.toml")).unwrap());
        assert!(policy.licences.iter().any(|licence| licence == "MIT"));
        assert!(policy.bans.contains_key("openssl-sys") && policy.features.contains_key("prost"));
    }
}
