//! `[sink]`: the section of the configuration file on the stores that summaries are written to, and what it means.

mod delivery;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use yahtzee_runtime::config::{ConfigError, Environment, HIDDEN, Secret};

pub use self::delivery::DeliverySection;
use crate::delivery::DeliverySettings;
use crate::postgres::settings::{PostgresSettings, ShardSettings, Timeouts};
use crate::postgres::settings_error::SettingsError;
use crate::postgres::shard_map::{Epoch, ShardKey, ShardMap};
use crate::store::Day;

/// Prefix of the name of an environment variable that holds a connection string.
const IN_ENVIRONMENT: &str = "env:";

/// Longest name of a shard: a commit has room for the marks of a good thirty shards of such names.
const SHARD_NAME_BYTES_MAX: usize = 64;

/// The section as written in the file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinkSection {
    /// Days of summaries that stores keep (32); 0 keeps them for ever.
    pub retention_days: u32,
    /// Limits and times of the sink.
    pub delivery: DeliverySection,
    /// Limits and times of the retry process.
    pub retry: DeliverySection,
    /// The embedded store.
    pub embedded: EmbeddedStoreSection,
    /// PostgreSQL.
    pub postgres: PostgresSection,
}

impl Default for SinkSection {
    fn default() -> Self {
        Self {
            retention_days: 32,
            delivery: DeliverySection::default(),
            retry: DeliverySection::default(),
            embedded: EmbeddedStoreSection::default(),
            postgres: PostgresSection::default(),
        }
    }
}

/// The embedded store.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedStoreSection {
    /// Folder of the store; created if missing. One process at a time.
    pub folder: PathBuf,
}

impl Default for EmbeddedStoreSection {
    fn default() -> Self {
        Self { folder: "yahtzee-data/store".into() }
    }
}

/// PostgreSQL. Connection strings are not written, but the names of variables that hold them.
#[derive(Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresSection {
    /// Connection string of each shard, or `env:NAME` for one in an environment variable, by the shard's name.
    #[serde(serialize_with = "without_connection_strings")]
    pub shards: BTreeMap<String, String>,
    /// Shard maps and the days they begin with. Without any, all shards, in the order of their names, for all days.
    pub map: Vec<ShardMapSection>,
    /// PEM file with the certificates that sign those of the servers: connections are then encrypted and servers are
    /// verified. Needs a build with feature `tls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Time to establish a connection, authentication included (5,000).
    pub connect_timeout_ms: u64,
    /// Time that one statement may take (10,000).
    pub statement_timeout_ms: u64,
    /// Time to wait for a lock that another session holds (2,000).
    pub lock_timeout_ms: u64,
}

impl Default for PostgresSection {
    fn default() -> Self {
        let Timeouts { connect, statement, lock } = Timeouts::default();
        let ms = |time: Duration| u64::try_from(time.as_millis()).expect("defaults are seconds");
        Self {
            shards: BTreeMap::new(),
            map: Vec::new(),
            ca_file: None,
            connect_timeout_ms: ms(connect),
            statement_timeout_ms: ms(statement),
            lock_timeout_ms: ms(lock),
        }
    }
}

/// Hides connection strings.
impl std::fmt::Debug for PostgresSection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.shards.keys().collect();
        formatter
            .debug_struct("PostgresSection")
            .field("shards", &names)
            .field("map", &self.map)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

/// One part of the shard map.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ShardMapSection {
    /// First day (UTC), as in `2026-11-22`; absent in the first map, which has no beginning.
    #[serde(
        default,
        deserialize_with = "day",
        serialize_with = "day_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub from: Option<Day>,
    /// Names of the shards, in an order that must not change.
    pub shards: Vec<String>,
    /// The parts of a summary's key that decide its shard.
    #[serde(default)]
    pub key: ShardKey,
}

fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Day>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let day = text.parse().map_err(|error| format!("`from` of [[sink.postgres.map]]: {error}"));
    day.map(Some).map_err(de::Error::custom)
}

fn day_text<S: Serializer>(day: &Option<Day>, serializer: S) -> Result<S::Ok, S::Error> {
    match day {
        Some(day) => serializer.collect_str(day),
        None => serializer.serialize_none(),
    }
}

fn without_connection_strings<S: Serializer>(
    shards: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let shown =
        |text: &String| if text.starts_with(IN_ENVIRONMENT) { text.clone() } else { HIDDEN.to_owned() };
    serializer.collect_map(shards.iter().map(|(name, text)| (name, shown(text))))
}

/// The checked settings of the sink process.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// Days of summaries that stores keep; `None` for ever.
    pub retention_days: Option<u32>,
    /// Limits and times of the sink.
    pub delivery: DeliverySettings,
    /// Limits and times of the retry process.
    pub retry: DeliverySettings,
    /// Folder of the embedded store.
    pub embedded_folder: PathBuf,
    /// PostgreSQL.
    pub postgres: PostgresConfig,
}

/// The PostgreSQL store, as far as it can be checked without its shards.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// Shards by name, each with its connection string; empty if none is configured.
    pub shards: Vec<(String, Secret)>,
    /// Days that the shards hold.
    pub map: Vec<ShardMapSection>,
    /// File with the certificates that sign those of the servers.
    pub ca_file: Option<PathBuf>,
    /// Timeouts of every shard.
    pub timeouts: Timeouts,
}

impl SinkSection {
    /// Returns the section with every key that has a value in force.
    #[must_use]
    pub fn in_force(mut self, config: &SinkConfig) -> Self {
        self.delivery = DeliverySection::of(&config.delivery);
        self.retry = DeliverySection::of(&config.retry);
        if !self.postgres.shards.is_empty() {
            self.postgres.map.clone_from(&config.postgres.map);
        }
        self
    }

    /// Checks the section and looks up what it takes from the environment.
    ///
    /// # Errors
    /// If a variable that should hold a connection string is not set, or a limit or time is out of range.
    pub fn check(self, environment: &Environment) -> Result<SinkConfig, ConfigError> {
        Ok(SinkConfig {
            retention_days: (self.retention_days > 0).then_some(self.retention_days),
            delivery: self.delivery.check("sink.delivery", DeliverySettings::of_sink())?,
            retry: self.retry.check("sink.retry", DeliverySettings::of_retry())?,
            embedded_folder: self.embedded.folder,
            postgres: self.postgres.check(environment)?,
        })
    }
}

impl PostgresSection {
    fn check(self, environment: &Environment) -> Result<PostgresConfig, ConfigError> {
        let timeouts = self.timeouts()?;
        let Self { shards, map, ca_file, .. } = self;
        let shards = shards.into_iter().map(|(name, text)| {
            check_shard_name(&name)?;
            let url = connection_string(&name, text, environment)?;
            Ok((name, Secret::new(url)))
        });
        let shards: Vec<(String, Secret)> = shards.collect::<Result<_, ConfigError>>()?;
        let every_shard = || ShardMapSection {
            from: None,
            shards: shards.iter().map(|(name, _)| name.clone()).collect(),
            key: ShardKey::default(),
        };
        let map = if map.is_empty() { vec![every_shard()] } else { map };
        Ok(PostgresConfig { shards, map, ca_file, timeouts })
    }

    fn timeouts(&self) -> Result<Timeouts, ConfigError> {
        let check = |key: &str, time_ms: u64| match time_ms {
            0 => Err(ConfigError::Contradiction(format!("sink.postgres.{key} = 0 must be at least 1"))),
            _ => Ok(Duration::from_millis(time_ms)),
        };
        Ok(Timeouts {
            connect: check("connect_timeout_ms", self.connect_timeout_ms)?,
            statement: check("statement_timeout_ms", self.statement_timeout_ms)?,
            lock: check("lock_timeout_ms", self.lock_timeout_ms)?,
        })
    }
}

/// Refuses names that cannot stand in metrics, messages and the command line.
fn check_shard_name(name: &str) -> Result<(), ConfigError> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if (1..=SHARD_NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(ConfigError::Contradiction(format!(
        "sink.postgres.shards: a shard is called {name:?}; a name is 1 to {SHARD_NAME_BYTES_MAX} letters, digits, -, _ or ."
    )))
}

fn connection_string(shard: &str, text: String, environment: &Environment) -> Result<String, ConfigError> {
    let Some(variable) = text.strip_prefix(IN_ENVIRONMENT) else { return Ok(text) };
    environment.get(variable).cloned().ok_or_else(|| {
        ConfigError::Contradiction(format!(
            "sink.postgres.shards.{shard} = {text:?}, but the environment has no {variable}; set it, or write the \
             connection string itself"
        ))
    })
}

impl PostgresConfig {
    /// Returns the settings of the store.
    ///
    /// # Errors
    /// If the shard map is out of order, or has an empty part.
    pub fn settings(&self) -> Result<PostgresSettings, SettingsError> {
        let shard = |(name, url): &(String, Secret)| ShardSettings { name: name.clone(), url: url.clone() };
        let epoch = |section: &ShardMapSection| Epoch {
            from: section.from.unwrap_or(Day::MIN),
            shards: section.shards.clone(),
            key: section.key,
        };
        Ok(PostgresSettings {
            shards: self.shards.iter().map(shard).collect(),
            map: ShardMap::new(self.map.iter().map(epoch).collect())?,
            timeouts: self.timeouts,
            ca_file: self.ca_file.clone(),
        })
    }
}
