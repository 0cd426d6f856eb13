//! What `--json` prints is what `docs/json.md` says, field by field.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::log::{CommittedOffset, Log as _, OffsetCommit};

use crate::operators::{self, GROUP, JOB, RAW};
use crate::support::{Process, yahtzee};
use crate::waiting::{self, RETRY, quarantined_record, trail, waiting_record};

/// A field of the page.
struct Field {
    /// As in `jobs[].places.{place}.equal`.
    path: String,
    types: Vec<String>,
    may_be_missing: bool,
}

/// The tables of the page, by the command in the heading.
fn documented() -> BTreeMap<String, Vec<Field>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/json.md");
    let (mut forms, mut command) = (BTreeMap::<String, Vec<Field>>::new(), String::new());
    for line in fs::read_to_string(page).unwrap().lines() {
        if let Some(heading) = line.strip_prefix("## `").and_then(|rest| rest.strip_suffix(" --json`")) {
            heading.clone_into(&mut command);
        }
        let Some((path, rest)) = line.strip_prefix("| `").and_then(|rest| rest.split_once("` | ")) else {
            continue;
        };
        let (types, _) = rest.split_once(" |").unwrap_or_else(|| panic!("{path} has no type"));
        let (types, missing) = types.split_once(", ").unwrap_or((types, ""));
        assert!(["", "may be missing"].contains(&missing), "{path}: {missing}");
        forms.entry(command.clone()).or_default().push(Field {
            path: path.to_owned(),
            types: types.split(" or ").map(str::to_owned).collect(),
            may_be_missing: !missing.is_empty(),
        });
    }
    forms
}

/// Compares documents with the fields of their form.
struct Comparison<'a> {
    fields: &'a [Field],
    found: BTreeSet<&'a str>,
}

impl<'a> Comparison<'a> {
    fn of(fields: &'a [Field]) -> Self {
        Self { fields, found: BTreeSet::new() }
    }

    /// Adds what is found at a path of a document.
    fn add(&mut self, path: &str, value: &Value) {
        let name = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        };
        let field = self.fields.iter().find(|field| matches(&field.path, path));
        match field {
            Some(Field { types, path: documented, .. }) => {
                let is_type = |of: &String| of == name || (of == "number" && name == "integer");
                assert!(types.iter().any(is_type), "{path} is {name}, documented is {types:?}");
                self.found.insert(documented);
            }
            // What is in them is documented.
            None => assert!(["list", "object"].contains(&name), "{path} ({name}) is not documented"),
        }
        match value {
            Value::Array(entries) => entries.iter().for_each(|entry| self.add(&format!("{path}[]"), entry)),
            Value::Object(entries) => {
                let below =
                    |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                for key in self.required(path) {
                    assert!(entries.contains_key(key), "{} is missing", below(key));
                }
                entries.iter().for_each(|(key, entry)| self.add(&below(key), entry));
            }
            _ => {}
        }
    }

    /// The keys that an object at this path must have.
    fn required(&self, path: &str) -> BTreeSet<&'a str> {
        let depth = if path.is_empty() { 0 } else { path.split('.').count() };
        let is_optional = |of: &str| self.fields.iter().any(|field| field.path == of && field.may_be_missing);
        let key_of = |field: &'a Field| {
            let mut ends = field.path.match_indices('.').map(|(at, _)| at).chain([field.path.len()]);
            let (begin, end) = match depth {
                0 => (0, ends.next()?),
                _ => (ends.nth(depth - 1)? + 1, ends.next()?),
            };
            let is_below = depth == 0 || matches(&field.path[..begin - 1], path);
            let key = field.path.get(begin..end)?.trim_end_matches("[]");
            let of_key = &field.path[..begin + key.len()];
            (is_below && !key.starts_with('{') && !is_optional(of_key)).then_some(key)
        };
        let certain = self.fields.iter().filter(|field| !field.may_be_missing);
        certain.filter_map(key_of).filter(|key| !key.is_empty()).collect()
    }
}

/// Whether a path is one that the page means: `{place}` stands for any key.
fn matches(documented: &str, path: &str) -> bool {
    let same = |(documented, found): (&str, &str)| {
        documented == found || (documented.starts_with('{') && !found.ends_with("[]"))
    };
    documented.split('.').count() == path.split('.').count()
        && documented.split('.').zip(path.split('.')).all(same)
}

/// What the commands print that read what a demo has left.
fn of_a_demo() -> Vec<(&'static str, Value)> {
    let world = operators::World::of_demo();
    let mut documents = vec![
        ("jobs", world.json(&["jobs"])),
        ("topics check", world.verdict(&["topics", "check"]).1),
        ("assign", world.json(&["assign"])),
        ("assign", world.json(&["assign", "--workers", "2", "--compare", "1"])),
        ("commits", world.json(&["commits"])),
        ("verify", world.json(&["verify"])),
        // Nothing that was published is of this generation.
        ("verify", world.verdict(&["verify", "--job", JOB, "--generation", "7"]).1),
        ("replay", world.json(&["replay", "--dry-run", "--from", "2016-05-04T10:03:30Z"])),
        ("replay", world.json(&["replay", "--into", "SHADOW.v1", "--job", JOB])),
    ];
    let committed = CommittedOffset { offset: Offset(1_000_000), metadata: "by hand".to_owned() };
    world.log().commit(GROUP, &[OffsetCommit { topic: RAW, partition: Partition(0), committed }]).unwrap();
    documents.push(("commits", world.json(&["commits", JOB])));
    documents
}

/// What the commands print that show what a store did not take.
fn of_refused_summaries() -> Vec<(&'static str, Value)> {
    let world = waiting::World::new();
    let mut documents = vec![("retry list", world.json(&["retry", "list"]))];
    let mut without_key = quarantined_record(2);
    without_key.key = b"postgres/".to_vec();
    let mut unreadable = waiting_record(0, 1, &trail("east", "connection refused"));
    (unreadable.key, unreadable.value) = (b"?".to_vec(), b"?".to_vec());
    world.append(vec![
        waiting_record(0, 1, &trail("east", "connection refused")),
        unreadable,
        quarantined_record(1),
        without_key,
    ]);
    documents.push(("retry list", world.json(&["retry", "list"])));
    for offset in [0, 1] {
        let place = format!("{RETRY}/0/{offset}");
        documents.push(("retry inspect PLACE", world.json(&["retry", "inspect", &place])));
    }
    documents.push(("quarantine list", world.json(&["quarantine", "list"])));
    documents
}

#[test]
fn what_is_printed_is_what_the_page_says() {
    let demo = Process::start(yahtzee(&["demo", "--for", "3s", "--json", "--rate", "400", "--all-apps"]));
    let mut documents = [of_a_demo(), of_refused_summaries()].concat();
    documents.push(("demo", serde_json::from_str(&demo.output()).unwrap()));
    let forms = documented();
    let mut compared: BTreeMap<&str, Comparison<'_>> = BTreeMap::new();
    for (command, document) in &documents {
        let fields = forms.get(&format!("yahtzee {command}"));
        let fields = fields.unwrap_or_else(|| panic!("{command} is not documented"));
        compared.entry(command).or_insert_with(|| Comparison::of(fields)).add("", document);
    }
    for (command, Comparison { fields, found }) in &compared {
        let certain = fields.iter().filter(|field| !field.may_be_missing);
        let never: Vec<&str> =
            certain.map(|field| field.path.as_str()).filter(|path| !found.contains(path)).collect();
        assert!(never.is_empty(), "{command} never prints {never:?}");
    }
    let commands: Vec<String> = compared.keys().map(|command| format!("yahtzee {command}")).collect();
    assert!(forms.keys().eq(&commands), "{:?}, but tried were {commands:?}", forms.keys());
}

#[test]
fn a_path_of_the_page_stands_for_those_of_documents() {
    let check = |documented: &str, path: &str, expected: bool| {
        assert_eq!(matches(documented, path), expected, "{documented} {path}");
    };
    check("[].job", "[].job", true);
    check("[].job", "[].jobs", false);
    check("places.{place}.equal", "places.topic.equal", true);
    check("places.{place}.equal", "places.equal", false);
    check("figures.{figure}", "figures.count", true);
    check("figures.{figure}", "figures.counts[]", false);
}

/// A comparison that finds nothing wrong would hold nothing.
#[test]
fn what_the_page_does_not_say_is_noticed() {
    let field = |path: &str, types: &str, may_be_missing| Field {
        path: path.to_owned(),
        types: types.split(" or ").map(str::to_owned).collect(),
        may_be_missing,
    };
    let fields = [
        field("list[].name", "string", false),
        field("list[].count", "integer or null", true),
        field("more", "object", true),
        field("more.of.{kind}", "number", false),
    ];
    let check = |text: &str, expected: bool| {
        let document: Value = serde_json::from_str(text).unwrap();
        let compared = std::panic::catch_unwind(|| Comparison::of(&fields).add("", &document));
        assert_eq!(compared.is_ok(), expected, "{text}");
    };
    check(r#"{"list": []}"#, true);
    check(r#"{"list": [{"name": "a"}, {"name": "b", "count": null}]}"#, true);
    check(r#"{"list": [{"name": "a", "count": 1}], "more": {"of": {"x": 1.5, "y": 2}}}"#, true);
    check(r#"{}"#, false);
    check(r#"{"list": [{"count": 1}]}"#, false);
    check(r#"{"list": [{"name": null}]}"#, false);
    check(r#"{"list": [{"name": "a", "count": 1.5}]}"#, false);
    check(r#"{"list": [{"name": "a", "other": 1}]}"#, false);
    check(r#"{"list": [], "more": {}}"#, false);
    check(r#"{"list": [], "more": {"of": {"x": "y"}}}"#, false);
}
