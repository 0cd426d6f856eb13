//! The PostgreSQL store: shards by day and owner, a schema per day, a table per job in it.
//!
//! ```sql
//! SELECT series, window_start, count FROM yahtzee_20261121."router-latency" WHERE owner = '...' ORDER BY 2;
//! ```
//!
//! A batch is one guarded `INSERT .. SELECT FROM unnest(..) ON CONFLICT` per table, in one transaction that first asks
//! the database what may be written (`preflight`): the floor below which days were dropped, and the shard map that a
//! day
//! was created with. Nothing needs a session, so it works behind PgBouncer in transaction mode. PostgreSQL 15 or later.

mod bisect;
mod classify;
mod connection;
mod define;
mod marks;
mod names;
mod preflight;
mod reads;
mod retention;
mod rows;
mod series;
pub mod settings;
pub mod settings_error;
mod shard;
pub mod shard_map;
mod sql_types;
mod tls;
mod upsert;
mod writer;

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use yahtzee_core::delivery::SettledMark;
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::SummaryKey;

use self::classify::ServerFailure;
use self::connection::Io;
use self::preflight::{TableRef, TableVerdict};
use self::reads::RangeQuery;
use self::settings::PostgresSettings;
use self::settings_error::SettingsError;
use self::shard::PostgresShard;
use self::shard_map::{ShardKey, ShardMap};
use self::writer::PostgresWriter;
use crate::store::{Day, NewestCounts, next_floor};
use crate::store::{OwnerCount, Rows, Shard, ShardWriter, SourcePartition, StoreError, SummaryStore};

/// Summaries in one or more PostgreSQL databases.
pub struct PostgresStore {
    map: Arc<ShardMap>,
    shards: Vec<Arc<PostgresShard>>,
    io: Arc<Io>,
}

/// Reason why a store was not created.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Invalid settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The thread for the sockets could not be started.
    #[error("cannot start the thread of the PostgreSQL store: {0}")]
    Thread(#[from] std::io::Error),
}

impl PostgresStore {
    /// Creates the store after checking the settings. Connects to nothing: a shard that is down shows in the first
    /// call.
    ///
    /// # Errors
    /// If the settings contradict themselves ([`SettingsError`]), or the thread for the sockets cannot be started.
    pub fn new(settings: PostgresSettings) -> Result<Self, OpenError> {
        let configs = settings.check()?;
        let tls = settings.tls()?;
        let map = Arc::new(settings.map);
        let open = |(shard, config): (settings::ShardSettings, _)| {
            Arc::new(PostgresShard::new(
                shard.name,
                (config, tls.clone()),
                Arc::clone(&map),
                settings.timeouts,
            ))
        };
        let shards = settings.shards.into_iter().zip(configs).map(open).collect();
        Ok(Self { map, shards, io: Arc::new(Io::start()?) })
    }

    /// Returns the shards that hold a part of the days `first` to `last`; of one owner, if one is given.
    fn shards_of(&self, first: Day, last: Day, owner: Option<Owner>) -> Vec<&PostgresShard> {
        let epochs = self.map.epochs_of(first, last).iter();
        let names: BTreeSet<&str> = match owner {
            Some(owner) => epochs.flat_map(|epoch| epoch.shards_of_owner(owner)).collect(),
            None => epochs.flat_map(|epoch| epoch.shards.iter().map(String::as_str)).collect(),
        };
        self.shards.iter().map(|shard| &**shard).filter(|shard| names.contains(&*shard.name)).collect()
    }
}

/// Returns all results, or the first failure as an error for readers.
fn all<N: Deref<Target = PostgresShard>, T>(
    shards: &[N],
    results: Vec<Result<T, ServerFailure>>,
) -> Result<Vec<T>, StoreError> {
    let pairs = shards.iter().zip(results);
    pairs.map(|(shard, result)| result.map_err(|failure| failure.into_store_error(&shard.name))).collect()
}

impl SummaryStore for PostgresStore {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn shards(&self) -> Vec<String> {
        self.shards.iter().map(|shard| shard.name.clone()).collect()
    }

    fn shard_of(&self, key: &SummaryKey) -> Shard {
        let name = self.map.shard_of(key);
        let index = self.shards.iter().position(|shard| shard.name == name);
        let index = index.expect("the settings were checked: each name of the map is a shard");
        Shard(u32::try_from(index).expect("shards have names in a configuration file"))
    }

    fn writer(&self, shard: Shard) -> Box<dyn ShardWriter> {
        Box::new(PostgresWriter::new(Arc::clone(&self.shards[shard.index()]), Arc::clone(&self.io)))
    }

    fn marks(&self, of: &[SourcePartition]) -> Vec<Result<Vec<Option<SettledMark>>, StoreError>> {
        let found = self.io.wait_all(self.shards.iter().map(|shard| marks::marks(shard, of)));
        let pairs = self.shards.iter().zip(found);
        pairs.map(|(shard, found)| found.map_err(|failure| failure.into_store_error(&shard.name))).collect()
    }

    fn range(&self, job: &str, owner: Option<Owner>, from_ms: i64, to_ms: i64) -> Result<Rows, StoreError> {
        let range = RangeQuery { job, owner, from_ms, to_ms };
        let shards = self.shards_of(range.first_day(), range.last_day(), owner);
        let works = shards.iter().map(|shard| reads::range(shard, &range));
        let parts = all(&shards, self.io.wait_all(works))?;
        let floor = parts.iter().map(|part| part.floor).max().unwrap_or(Day::MIN);
        let mut rows: Vec<_> = parts.into_iter().flat_map(|part| part.rows).collect();
        // Shards raise their floors one after the other; the answer has one.
        rows.retain(|row| Day::of_ms(row.key.window_start_ms) >= floor);
        rows.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(Rows { rows, floor }.of_newest_generation())
    }

    fn top_owners(
        &self,
        job: &str,
        window_start_ms: i64,
        limit: usize,
    ) -> Result<Vec<OwnerCount>, StoreError> {
        let day = Day::of_ms(window_start_ms);
        let shards = self.shards_of(day, day, None);
        // Where an owner is on several shards, the greatest of one may be small elsewhere.
        let shard_limit = match self.map.epoch_of(day).key {
            ShardKey::Owner => i64::try_from(limit).ok(),
            ShardKey::OwnerAndFirstDimension => None,
        };
        let works = shards.iter().map(|shard| reads::counts(shard, job, window_start_ms, shard_limit));
        let parts = all(&shards, self.io.wait_all(works))?;
        let mut counts = NewestCounts::default();
        parts
            .into_iter()
            .flatten()
            .for_each(|(owner, generation, count)| counts.add(owner, generation, count));
        Ok(counts.top(limit))
    }

    fn create_days(&self, jobs: &[&str], first: Day, last: Day) -> Result<(), StoreError> {
        let works = self.shards.iter().map(|shard| create_days_on(shard, jobs, first, last));
        all(&self.shards, self.io.wait_all(works)).map(drop)
    }

    fn drop_days_below(&self, floor: Day, days_max: Option<u32>) -> Result<Vec<Day>, StoreError> {
        let floor = match days_max {
            // One floor for all shards: readers see the greatest.
            Some(_) => {
                let works = self.shards.iter().map(|shard| retention::first_held(shard));
                let first_held = all(&self.shards, self.io.wait_all(works))?.into_iter().flatten().min();
                next_floor(Day::MIN, first_held, floor, days_max)
            }
            None => floor,
        };
        let works = self.shards.iter().map(|shard| retention::drop_below(shard, floor));
        let dropped = all(&self.shards, self.io.wait_all(works))?;
        let mut days = BTreeSet::new();
        for (shard, dropped) in self.shards.iter().zip(dropped) {
            if let Some(failure) = dropped.failure {
                return Err(failure.into_store_error(&shard.name));
            }
            days.extend(dropped.days);
        }
        Ok(days.into_iter().collect())
    }
}

/// Creates days on one shard; a day of another shard map is reported after the others are created.
async fn create_days_on(
    shard: &PostgresShard,
    jobs: &[&str],
    first: Day,
    last: Day,
) -> Result<(), ServerFailure> {
    let connection = shard.connect().await?;
    let mut other_map = None;
    for day in (first.0..=last.0).map(Day) {
        if shard.place_on(day).is_some() {
            let asked: Vec<_> = jobs.iter().map(|job| TableRef { day, job }).collect();
            let verdicts = define::create(&connection, shard, &asked).await?;
            other_map = other_map.or_else(|| verdicts.into_iter().find_map(TableVerdict::other_map));
        }
    }
    other_map.map_or(Ok(()), |text| Err(ServerFailure::settings(text)))
}
