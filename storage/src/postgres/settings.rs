//! Settings of the store, checked before anything is connected.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use yahtzee_runtime::config::Secret;

use super::settings_error::SettingsError;
use super::shard_map::ShardMap;
use super::tls::Tls;

/// Settings of the store.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// Shards of all epochs of the map. Their order gives the numbers of [`Shard`](crate::store::Shard).
    pub shards: Vec<ShardSettings>,
    /// Map of rows to shards.
    pub map: ShardMap,
    /// Timeouts of every shard.
    pub timeouts: Timeouts,
    /// PEM file with the certificates that sign those of the shards: connections are then encrypted, and servers are
    /// verified. Without it `sslmode` in the url decides, and no server is verified, as in libpq. Needs the cargo
    /// feature `tls`.
    pub ca_file: Option<PathBuf>,
}

/// One shard: one database.
#[derive(Clone, Debug)]
pub struct ShardSettings {
    /// Name of the shard. Permanent: the database records it.
    pub name: String,
    /// Connection string, as libpq takes it: `postgres://user:password@host:5432/database`.
    pub url: Secret,
}

/// Timeouts after which a request to a shard counts as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Time to establish a connection, authentication included.
    pub connect: Duration,
    /// Time that one statement may take.
    pub statement: Duration,
    /// Time to wait for a lock that another session holds.
    pub lock: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            statement: Duration::from_secs(10),
            lock: Duration::from_secs(2),
        }
    }
}

impl PostgresSettings {
    /// Checks everything that needs no connection; returns the connection settings of the shards, in their order.
    pub(super) fn check(&self) -> Result<Vec<Config>, SettingsError> {
        if self.shards.is_empty() {
            return Err(SettingsError::NoShards);
        }
        let configs = self.shards.iter().map(|shard| self.config_of(shard));
        let configs = configs.collect::<Result<Vec<_>, _>>()?;
        for (index, shard) in self.shards.iter().enumerate() {
            for (earlier, other) in self.shards[..index].iter().enumerate() {
                if other.name == shard.name {
                    return Err(SettingsError::SameName { name: shard.name.clone() });
                }
                if is_same_database(&configs[earlier], &configs[index]) {
                    let (first, second) = (other.name.clone(), shard.name.clone());
                    return Err(SettingsError::SameDatabase { first, second });
                }
            }
        }
        self.check_map()?;
        Ok(configs)
    }

    /// Returns the connector that encrypts connections.
    pub(super) fn tls(&self) -> Result<Tls, SettingsError> {
        let path = self.ca_file.as_deref();
        Tls::new(path).map_err(|reason| {
            let path = path.map(Path::to_owned).unwrap_or_default();
            SettingsError::Certificates { path, reason }
        })
    }

    fn check_map(&self) -> Result<(), SettingsError> {
        for epoch in self.map.epochs() {
            let is_known = |name: &&String| self.shards.iter().any(|shard| shard.name == **name);
            if let Some(shard) = epoch.shards.iter().find(|name| !is_known(name)) {
                return Err(SettingsError::UnknownShard { shard: shard.clone(), from: epoch.from });
            }
        }
        Ok(())
    }

    fn config_of(&self, shard: &ShardSettings) -> Result<Config, SettingsError> {
        let wrong = |reason: String| SettingsError::Url { shard: shard.name.clone(), reason };
        let mut config: Config = shard.url.reveal().parse().map_err(|error| wrong(reason_of(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(wrong("it names no host".to_owned()));
        }
        if config.get_ssl_mode() == SslMode::Require && !cfg!(feature = "tls") {
            return Err(wrong(
                "it demands TLS, which this build has not: build with `--features tls`".to_owned(),
            ));
        }
        if self.ca_file.is_some() {
            config.ssl_mode(SslMode::Require);
        }
        config
            .connect_timeout(self.timeouts.connect)
            .tcp_user_timeout(self.timeouts.statement * 2)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(15))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3);
        if config.get_application_name().is_none() {
            config.application_name(format!("yahtzee shard {}", shard.name));
        }
        Ok(config)
    }
}

/// Returns the parser's message; its cause names the key, never the password.
fn reason_of(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Returns whether two connection strings can lead to one database.
fn is_same_database(one: &Config, other: &Config) -> bool {
    let addresses = addresses_of(other);
    database_of(one) == database_of(other) && addresses_of(one).iter().any(|it| addresses.contains(it))
}

/// Returns the name of the database as libpq chooses it: the user's name if none is given.
fn database_of(config: &Config) -> Option<&str> {
    config.get_dbname().or_else(|| config.get_user())
}

fn addresses_of(config: &Config) -> Vec<(String, u16)> {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.to_lowercase(),
        Host::Unix(path) => path.display().to_string(),
    });
    let hosts: Vec<_> = match config.get_hosts() {
        [] => config.get_hostaddrs().iter().map(ToString::to_string).collect(),
        _ => hosts.collect(),
    };
    let ports = config.get_ports();
    let port_of = |index: usize| ports.get(index).or_else(|| ports.first()).copied().unwrap_or(5_432);
    hosts.into_iter().enumerate().map(|(index, host)| (host, port_of(index))).collect()
}

#[cfg(test)]
mod tests;
