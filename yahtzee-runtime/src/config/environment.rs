//! The environment: `YAHTZEE_SECTION__KEY` overrides a key of the file (`YAHTZEE_WORKER__SLOTS=4` sets `worker.slots`;
//! sections nest with further `__`, and `YAHTZEE_JOBS__ROUTER_LATENCY__GENERATION` means job `router-latency`). Sections look at the platform's own variables too, which give way to an override
//! of the same key.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use toml::Value;

use super::error::ConfigError;

const PREFIX: &str = "YAHTZEE_";
const NESTING: &str = "__";
/// Section whose sections are named by jobs.
const JOBS: &str = "jobs";

/// The environment variables that are looked at: handed in, so that tests need not touch the process's own.
pub type Environment = BTreeMap<String, String>;

/// Returns the process's own environment. What is not UTF-8 has replacement characters, which no override may have.
#[must_use]
pub fn process_environment() -> Environment {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect()
}

/// Returns a platform's own variable, unless an override of the same `key`, as in `log.kafka.brokers`, is set too.
pub fn platform_variable(environment: &Environment, variable: &str, key: &str) -> Option<String> {
    let overriding = format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', NESTING));
    environment.get(variable).filter(|_| !environment.contains_key(&overriding)).cloned()
}

/// A key and the text that a variable sets it to.
pub(super) struct Override {
    variable: String,
    /// Sections and key, in lower case.
    path: Vec<String>,
    text: String,
}

/// Variables that options of the command line read, and those of the project's own tests: they name no key.
const NO_KEYS: [&str; 7] = ["CONFIG", "WORKERS", "TEST_", "PROMTOOL", "SERVICES_DIR", "VECTORS", "XTASK"];

/// Returns all variables of the form `YAHTZEE_SECTION__KEY`.
///
/// # Errors
/// If one is of another form: it was meant to set something, and would set nothing.
pub(super) fn overrides(environment: &Environment) -> Result<Vec<Override>, ConfigError> {
    let mut overrides = Vec::new();
    for (variable, text) in environment {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        let mut path: Vec<String> = name.split(NESTING).map(str::to_ascii_lowercase).collect();
        if let [section, job, _, ..] = path.as_mut_slice()
            && section == JOBS
        {
            // A job's name has dashes, which a shell does not allow in a variable.
            *job = job.replace('_', "-");
        }
        let is_known = NO_KEYS.iter().any(|known| match known.ends_with('_') {
            true => name.starts_with(known),
            false => name == *known,
        });
        if !is_known && text.contains(char::REPLACEMENT_CHARACTER) {
            let reason = "its value is not UTF-8; encode it, or set the key in the file".to_owned();
            return Err(ConfigError::Malformed { origin: variable.clone(), reason });
        }
        match path.len() {
            1 if is_known => {}
            1 => {
                let reason = format!(
                    "it names no key: two underscores stand between section and key, as in {PREFIX}WORKER{NESTING}SLOTS"
                );
                return Err(ConfigError::Malformed { origin: variable.clone(), reason });
            }
            _ => overrides.push(Override { variable: variable.clone(), path, text: text.clone() }),
        }
    }
    Ok(overrides)
}

/// Returns the file with its keys overridden, parsed as strictly as the file itself.
pub(super) fn merge<T: DeserializeOwned>(
    text: &str,
    origin: &str,
    overrides: &[Override],
) -> Result<T, ConfigError> {
    let mut root: toml::Table =
        toml::from_str(text).map_err(|error| ConfigError::malformed(origin, &error))?;
    for Override { variable, path, text } in overrides {
        let (key, sections) = path.split_last().expect("a path has two parts or more");
        let mut table = &mut root;
        for section in sections {
            let entry = table.entry(section.clone()).or_insert_with(|| Value::Table(toml::Table::new()));
            table = entry.as_table_mut().ok_or_else(|| ConfigError::Malformed {
                origin: variable.clone(),
                reason: format!("`{section}` is a value, not a section"),
            })?;
        }
        table.insert(key.clone(), value(text));
        // Parsed one by one, so that the error names the variable.
        let parsed: Result<T, _> = Value::Table(root.clone()).try_into();
        parsed.map_err(|error| ConfigError::malformed(variable, &error))?;
    }
    Value::Table(root).try_into().map_err(|error| ConfigError::malformed(origin, &error))
}

/// Returns a number, boolean or list if the text reads as one and nothing else, else the text itself.
fn value(text: &str) -> Value {
    let as_toml = toml::from_str::<toml::Table>(&format!("value = {text}")).ok();
    let parsed = as_toml.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    parsed.filter(|value| !value.is_datetime()).unwrap_or_else(|| Value::String(text.to_owned()))
}
