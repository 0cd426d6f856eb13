//! `[sink]`: the stores that summaries are carried into.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{ConfigError, Environment, Secret};

/// Put before the name of the environment variable that holds a connection string.
const IN_ENVIRONMENT: &str = "env:";

/// The sink process, as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinkSection {
    /// Days of summaries that stores keep (32); 0 keeps them for ever.
    pub retention_days: u32,
    /// The embedded store.
    pub embedded: EmbeddedStoreSection,
    /// PostgreSQL.
    pub postgres: PostgresSection,
}

impl Default for SinkSection {
    fn default() -> Self {
        Self {
            retention_days: 32,
            embedded: EmbeddedStoreSection::default(),
            postgres: PostgresSection::default(),
        }
    }
}

/// The embedded store.
#[derive(Clone, Debug, Deserialize)]
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

/// PostgreSQL.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresSection {
    /// Connection string of each shard, or `env:NAME` for one in an environment variable, by the shard's name.
    pub shards: BTreeMap<String, String>,
    /// Which shards hold the days from which on. Without it all shards, in the order of their names, since ever.
    pub map: Vec<MapSection>,
    /// PEM file with the certificates that sign those of the servers: connections are then encrypted and servers are
    /// checked. Needs a build with feature `tls`.
    pub ca_file: Option<PathBuf>,
}

/// Connection strings are not shown.
impl std::fmt::Debug for PostgresSection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.shards.keys().collect();
        formatter
            .debug_struct("PostgresSection")
            .field("shards", &names)
            .field("map", &self.map)
            .field("ca_file", &self.ca_file)
            .finish()
    }
}

/// One part of the shard map.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapSection {
    /// First day (UTC), as in `2026-11-22`; without it since ever.
    #[serde(default)]
    pub from: Option<String>,
    /// Names of the shards, in an order that must not change.
    pub shards: Vec<String>,
    /// What spreads summaries over them.
    #[serde(default)]
    pub key: ShardKey,
}

/// What spreads summaries over shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShardKey {
    /// The app: all its rows in one shard.
    #[default]
    Owner,
    /// The app and the first dimension of its series (process type): a large app is spread, and a part of it stays
    /// readable while a shard is down.
    OwnerAndProcessType,
}

/// The sink process, checked.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// Days of summaries that stores keep; `None` for ever.
    pub retention_days: Option<u32>,
    /// Folder of the embedded store.
    pub embedded_folder: PathBuf,
    /// Shards of PostgreSQL by name, each with its connection string; empty where none is configured.
    pub postgres_shards: Vec<(String, Secret)>,
    /// Which of them hold which days; the store checks it against them.
    pub postgres_map: Vec<MapSection>,
    /// Certificates that sign those of the servers.
    pub postgres_ca_file: Option<PathBuf>,
}

/// Checks the section and looks up what it takes from the environment.
pub(super) fn check(section: SinkSection, environment: &Environment) -> Result<SinkConfig, ConfigError> {
    let PostgresSection { shards, map, ca_file } = section.postgres;
    let shards = shards.into_iter().map(|(name, text)| {
        let url = connection_string(&name, text, environment)?;
        Ok((name, Secret::new(url)))
    });
    let postgres_shards: Vec<(String, Secret)> = shards.collect::<Result<_, ConfigError>>()?;
    let every_shard = || MapSection {
        from: None,
        shards: postgres_shards.iter().map(|(name, _)| name.clone()).collect(),
        key: ShardKey::default(),
    };
    Ok(SinkConfig {
        retention_days: (section.retention_days > 0).then_some(section.retention_days),
        embedded_folder: section.embedded.folder,
        postgres_map: if map.is_empty() { vec![every_shard()] } else { map },
        postgres_shards,
        postgres_ca_file: ca_file,
    })
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
