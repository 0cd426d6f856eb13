//! One shard: its name, its database, its index in the shard map.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::Config;

use super::classify::ServerFailure;
use super::connection::Connection;
use super::settings::Timeouts;
use super::shard_map::Place;
use super::shard_map::ShardMap;
use super::tls::Tls;
use crate::store::Day;

/// Maximum number of idle sessions kept for readers; more are opened if more read at once.
const IDLE_MAX: usize = 4;

/// One shard, shared by its writer and all readers.
pub(super) struct PostgresShard {
    pub(super) name: String,
    pub(super) timeouts: Timeouts,
    map: Arc<ShardMap>,
    config: Config,
    tls: Tls,
    idle: Mutex<Vec<Connection>>,
}

impl PostgresShard {
    pub(super) fn new(
        name: String,
        (config, tls): (Config, Tls),
        map: Arc<ShardMap>,
        timeouts: Timeouts,
    ) -> Self {
        Self { name, timeouts, map, config, tls, idle: Mutex::default() }
    }

    /// Opens a session for the caller alone.
    pub(super) async fn connect(&self) -> Result<Connection, ServerFailure> {
        Connection::open(&self.config, self.tls.clone(), self.timeouts).await
    }

    /// Returns a kept session, or a new one. Return it with [`Self::give_back`] while it is good.
    pub(super) async fn borrow(&self) -> Result<Connection, ServerFailure> {
        loop {
            let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match kept {
                Some(connection) if connection.is_closed() => {}
                Some(connection) => return Ok(connection),
                None => return self.connect().await,
            }
        }
    }

    pub(super) fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }

    /// Returns the index of the shard in the map of a day; `None` if the day's map does not contain this shard.
    pub(super) fn place_on(&self, day: Day) -> Option<Place> {
        let epoch = self.map.epoch_of(day);
        let index = epoch.shards.iter().position(|shard| *shard == self.name)?;
        let number = |count: usize| i32::try_from(count).expect("shards have names in a configuration file");
        Some(Place { count: number(epoch.shards.len()), index: number(index), key: epoch.key.to_string() })
    }

    /// Checks that the database is the one of this shard.
    pub(super) fn check_identity(&self, remembered: &str) -> Result<(), ServerFailure> {
        if remembered == self.name {
            return Ok(());
        }
        Err(ServerFailure::settings(format!(
            "the database says it is shard {remembered:?}, and is configured as shard {:?}; give each shard a \
             database of its own, and its name back if it was renamed",
            self.name
        )))
    }
}
