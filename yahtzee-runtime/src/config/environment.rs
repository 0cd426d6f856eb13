//! The environment: `YAHTZEE_SECTION__KEY` overrides a key of the file, and the platform's own variables.
//!
//! | variable                                      | sets                                                      |
//! |-----------------------------------------------|-----------------------------------------------------------|
//! | `YAHTZEE_WORKER__SLOTS=4`                     | `worker.slots`; sections nest with further `__`           |
//! | `KAFKA_URL`                                   | `log.kind = "kafka"` and the brokers (`kafka+ssl://..`)   |
//! | `KAFKA_TRUSTED_CERT`, `KAFKA_CLIENT_CERT`, `KAFKA_CLIENT_CERT_KEY` | certificates, for `kafka+ssl`        |
//! | `KAFKA_PREFIX`                                | `log.kafka.prefix`                                        |
//! | `PORT`                                        | `ingress.listen = "0.0.0.0:PORT"`                         |
//! | `DYNO=worker.3` with `YAHTZEE_WORKERS=8`      | worker index 2 of 8 (dynos count from 1)                  |
//!
//! A platform variable gives way to an override of the same key.

use toml::Value;
use yahtzee_core::assignment::WorkerIndex;

use super::file::{FileConfig, LogKind, malformed};
use super::{ConfigError, Environment};

const PREFIX: &str = "YAHTZEE_";
const NESTING: &str = "__";

/// A key path, lower case, the name of its variable, and the text it is set to.
pub(super) struct Override {
    variable: String,
    path: Vec<String>,
    text: String,
}

/// All variables of the form `YAHTZEE_SECTION__KEY`.
pub(super) fn overrides(environment: &Environment) -> Vec<Override> {
    let nested = environment.iter().filter_map(|(variable, text)| {
        let path = variable.strip_prefix(PREFIX)?;
        let path: Vec<String> = path.split(NESTING).map(str::to_ascii_lowercase).collect();
        (path.len() > 1).then(|| Override { variable: variable.clone(), path, text: text.clone() })
    });
    nested.collect()
}

/// The file with its keys overridden, parsed as strictly as the file itself.
pub(super) fn merge(text: &str, origin: &str, overrides: &[Override]) -> Result<FileConfig, ConfigError> {
    let mut root: toml::Table = toml::from_str(text).map_err(|error| malformed(origin, &error))?;
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
        FileConfig::deserialize_table(root.clone()).map_err(|error| malformed(variable, &error))?;
    }
    FileConfig::deserialize_table(root).map_err(|error| malformed(origin, &error))
}

impl FileConfig {
    fn deserialize_table(table: toml::Table) -> Result<Self, toml::de::Error> {
        Value::Table(table).try_into()
    }
}

/// A number, boolean or list where the text reads as one, else the text itself.
fn value(text: &str) -> Value {
    let as_toml = toml::from_str::<toml::Table>(&format!("value = {text}")).ok();
    let parsed = as_toml.and_then(|mut table| table.remove("value"));
    parsed.filter(|value| !value.is_datetime()).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Applies the platform's variables where no override of the same key stands.
pub(super) fn apply_platform(file: &mut FileConfig, environment: &Environment) -> Result<(), ConfigError> {
    let get = |platform: &str, key: &str| {
        let is_overridden = environment.contains_key(&format!("{PREFIX}{key}"));
        environment.get(platform).filter(|_| !is_overridden).cloned()
    };
    if let Some(url) = get("KAFKA_URL", "LOG__KAFKA__BROKERS") {
        file.log.kind = LogKind::Kafka;
        let (brokers, is_encrypted) = brokers(&url)?;
        file.log.kafka.brokers = brokers;
        if is_encrypted {
            let kafka = &mut file.log.kafka;
            kafka.ca_pem = get("KAFKA_TRUSTED_CERT", "LOG__KAFKA__CA_PEM").or_else(|| kafka.ca_pem.take());
            kafka.client_cert_pem = get("KAFKA_CLIENT_CERT", "LOG__KAFKA__CLIENT_CERT_PEM")
                .or_else(|| kafka.client_cert_pem.take());
            kafka.client_key_pem = get("KAFKA_CLIENT_CERT_KEY", "LOG__KAFKA__CLIENT_KEY_PEM")
                .or_else(|| kafka.client_key_pem.take());
            if kafka.ca_pem.is_none() {
                return Err(ConfigError::Malformed {
                    origin: "KAFKA_URL".to_owned(),
                    reason: "asks for encryption; set KAFKA_TRUSTED_CERT, KAFKA_CLIENT_CERT and \
                             KAFKA_CLIENT_CERT_KEY"
                        .to_owned(),
                });
            }
        }
    }
    if let Some(prefix) = get("KAFKA_PREFIX", "LOG__KAFKA__PREFIX") {
        file.log.kafka.prefix = prefix;
    }
    if let Some(port) = get("PORT", "INGRESS__LISTEN") {
        file.ingress.listen = format!("0.0.0.0:{port}");
    }
    Ok(())
}

/// `kafka+ssl://a:9096,kafka+ssl://b:9096` as `a:9096,b:9096`, and whether it is encrypted.
fn brokers(url: &str) -> Result<(String, bool), ConfigError> {
    let mut hosts = Vec::new();
    let mut encrypted = Vec::new();
    for part in url.split(',').map(str::trim) {
        let (scheme, host) = part.split_once("://").unwrap_or(("kafka", part));
        match scheme {
            "kafka" => encrypted.push(false),
            "kafka+ssl" => encrypted.push(true),
            other => {
                return Err(ConfigError::Malformed {
                    origin: "KAFKA_URL".to_owned(),
                    reason: format!("scheme `{other}` is not known; `kafka://` and `kafka+ssl://` are"),
                });
            }
        }
        hosts.push(host.trim_end_matches('/'));
    }
    let is_encrypted = encrypted.contains(&true);
    if is_encrypted && encrypted.contains(&false) {
        return Err(ConfigError::Malformed {
            origin: "KAFKA_URL".to_owned(),
            reason: "names both encrypted and plain brokers".to_owned(),
        });
    }
    Ok((hosts.join(","), is_encrypted))
}

/// The worker's place: from `argument` (`3/8`), else from the platform: `DYNO=worker.4` or a StatefulSet's
/// `HOSTNAME=worker-3`, each with `YAHTZEE_WORKERS=8`. Without any of them the worker is alone.
///
/// # Errors
/// Text of what is wrong and what to write.
pub fn worker_index_from(argument: Option<&str>, environment: &Environment) -> Result<WorkerIndex, String> {
    if let Some(text) = argument {
        let example = format!("worker `{text}` is not of the form INDEX/COUNT, as in `0/2`");
        let (index, count) = text.split_once('/').ok_or_else(|| example.clone())?;
        let (Ok(index), Ok(count)) = (index.trim().parse(), count.trim().parse()) else {
            return Err(example);
        };
        return WorkerIndex::new(index, count).map_err(|error| error.to_string());
    }
    let Some(workers) = environment.get("YAHTZEE_WORKERS") else { return Ok(WorkerIndex::ALONE) };
    let count = workers.parse().map_err(|_| format!("YAHTZEE_WORKERS=`{workers}` is not a number"))?;
    let number_after = |variable: &str, separator: char| {
        environment.get(variable)?.rsplit_once(separator)?.1.parse::<u32>().ok()
    };
    let from_dyno = number_after("DYNO", '.').and_then(|number| number.checked_sub(1));
    let index = from_dyno.or_else(|| number_after("HOSTNAME", '-')).ok_or(
        "YAHTZEE_WORKERS is set, but neither DYNO (as in `worker.1`) nor HOSTNAME (as in `worker-0`) tells \
         which worker this is; use `--worker 0/2`",
    )?;
    WorkerIndex::new(index, count).map_err(|error| error.to_string())
}
