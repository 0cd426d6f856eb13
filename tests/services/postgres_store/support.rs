//! Databases that last for one test, and summaries to fill them with.

use std::time::Duration;

use crate::environment::named;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_pipeline_proto::summary;
use yahtzee_runtime::config::Secret;
use yahtzee_storage::postgres::PostgresStore;
use yahtzee_storage::postgres::settings::{PostgresSettings, ShardSettings, Timeouts};
use yahtzee_storage::postgres::shard_map::{ShardKey, ShardMap};
use yahtzee_storage::store::Day;
use yahtzee_storage::store::Summary;
use yahtzee_storage::store::{Outcome, Shard, ShardWriter, SummaryStore};

/// Names the server that the tests may fill with databases.
const SERVER: &str = "YAHTZEE_TEST_POSTGRES";

/// Names a pooler before that server.
const POOLER: &str = "YAHTZEE_TEST_PGBOUNCER";

/// Name of the only job in these tests.
pub(crate) const JOB: &str = "errors";

/// The day that most tests write to.
pub(crate) const DAY: Day = Day(20_778);

/// Dropped at the end of the test.
pub(crate) struct Database {
    pub(crate) name: String,
    server: Config,
    session: Session,
}

/// A session of the test's own, beside the store's.
pub(crate) struct Session {
    runtime: Runtime,
    client: Client,
}

impl Session {
    pub(crate) fn open(config: &Config) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (client, connection) = runtime.block_on(config.connect(NoTls)).unwrap();
        runtime.spawn(connection);
        Self { runtime, client }
    }

    /// Runs statements; what they return as text.
    pub(crate) fn run(&self, sql: &str) -> Vec<String> {
        let messages = self.runtime.block_on(self.client.simple_query(sql)).unwrap();
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("null").to_owned()),
            _ => None,
        });
        rows.collect()
    }
}

impl Database {
    /// A new database on the server of this run; `None` where there is no server.
    pub(crate) fn create() -> Option<Self> {
        let url = named(SERVER, "postgres")?;
        let server: Config = url.parse().unwrap();
        let name = format!("test_{}", Self::random());
        Session::open(&server).run(&format!("CREATE DATABASE {name}"));
        let mut config = server.clone();
        config.dbname(&name);
        Some(Self { name, server, session: Session::open(&config) })
    }

    /// Unique on this server, also beside another run.
    fn random() -> String {
        let folder = tempfile::Builder::new().rand_bytes(16).tempdir().unwrap();
        let name = folder.path().file_name().unwrap().to_string_lossy().to_lowercase();
        name.chars()
            .filter(char::is_ascii_alphanumeric)
            .chain(std::process::id().to_string().chars())
            .collect()
    }

    /// The connection string, with another user or database if one is given.
    pub(crate) fn url(&self, user: Option<&str>, database: Option<&str>) -> String {
        let server = &self.server;
        let host = match &server.get_hosts()[0] {
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        };
        let port = server.get_ports().first().copied().unwrap_or(5_432);
        let user = user.or_else(|| server.get_user()).unwrap_or("postgres");
        let password = server.get_password().map(|it| format!(" password={}", String::from_utf8_lossy(it)));
        let database = database.unwrap_or(&self.name);
        format!("host={host} port={port} user={user} dbname={database}{}", password.unwrap_or_default())
    }

    /// The connection string through the pooler; `None` where there is none.
    pub(crate) fn pooled_url(&self) -> Option<String> {
        let url = named(POOLER, "pgbouncer")?;
        let (server, _database) = url.rsplit_once('/').unwrap();
        Some(format!("{server}/{}", self.name))
    }

    /// Another session in the database.
    pub(crate) fn session(&self) -> Session {
        Session::open(&self.url(None, None).parse().unwrap())
    }

    /// Runs statements as an operator would; what they return as text.
    pub(crate) fn run(&self, sql: &str) -> Vec<String> {
        self.session.run(sql)
    }

    /// A store with this database as its only shard.
    pub(crate) fn store(&self) -> PostgresStore {
        store_of(&[("0", self.url(None, None))], ShardKey::Owner)
    }

    /// The writer of the only shard.
    pub(crate) fn writer(&self) -> Box<dyn ShardWriter> {
        self.store().writer(Shard(0))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        Session::open(&self.server).run(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// Settings that spread all days over these shards, with timeouts for tests.
pub(crate) fn settings(shards: &[(&str, String)], key: ShardKey) -> PostgresSettings {
    let names = shards.iter().map(|&(name, _)| name.to_owned()).collect();
    let shard = |(name, url): &(&str, String)| ShardSettings {
        name: (*name).to_owned(),
        url: Secret::new(url.clone()),
    };
    PostgresSettings {
        shards: shards.iter().map(shard).collect(),
        map: ShardMap::constant(names, key).unwrap(),
        timeouts: Timeouts { statement: Duration::from_secs(30), ..Timeouts::default() },
        ca_file: None,
    }
}

/// A store that spreads all days over these shards.
pub(crate) fn store_of(shards: &[(&str, String)], key: ShardKey) -> PostgresStore {
    PostgresStore::new(settings(shards, key)).unwrap()
}

/// Table of the job on [`DAY`].
pub(crate) fn table() -> String {
    format!("yahtzee_{}.{JOB}", DAY.to_string().replace('-', ""))
}

/// A summary with its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) parts: SummaryKey,
    pub(crate) provenance: Provenance,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Entry {
    pub(crate) fn new(parts: SummaryKey, provenance: Provenance) -> Self {
        let value = provenance.join(&summary::Errors { occurrences: provenance.count });
        Self { key: parts.encode(), value, parts, provenance }
    }

    /// Of a minute of [`DAY`], as a job that has counted up to `last_offset` publishes it.
    pub(crate) fn of(owner: u32, minute: i64, last_offset: u64) -> Self {
        Self::on(DAY, owner, minute, last_offset)
    }

    pub(crate) fn on(day: Day, owner: u32, minute: i64, last_offset: u64) -> Self {
        let mut bytes = [7; 16];
        bytes[..4].copy_from_slice(&owner.to_be_bytes());
        let parts = SummaryKey {
            owner: Owner(bytes),
            dimensions: vec!["web".to_owned(), "H12".to_owned()],
            window_start_ms: day.start_ms() + minute * 60_000,
            window_length_ms: 60_000,
        };
        let count = last_offset + 1;
        Self::new(parts, Provenance { generation: 1, first_offset: 0, last_offset, count, is_final: false })
    }

    /// The same with other dimensions.
    pub(crate) fn with_dimensions(self, dimensions: &[&str]) -> Self {
        let dimensions = dimensions.iter().map(|&dimension| dimension.to_owned()).collect();
        Self::new(SummaryKey { dimensions, ..self.parts }, self.provenance)
    }

    pub(crate) fn summary(&self) -> Summary<'_> {
        let (key, value) = (&*self.key, &*self.value);
        Summary { job: JOB, key, value, parts: &self.parts, provenance: self.provenance }
    }
}

/// Writes entries as one batch; what became of each.
pub(crate) fn write(writer: &mut dyn ShardWriter, entries: &[Entry]) -> Vec<Outcome> {
    writer.write(&entries.iter().map(Entry::summary).collect::<Vec<_>>())
}

/// Writes entries and asserts that all came out with this name.
pub(crate) fn check_all(writer: &mut dyn ShardWriter, entries: &[Entry], expected: &str) {
    for (entry, outcome) in entries.iter().zip(write(writer, entries)) {
        assert_eq!(outcome.name(), expected, "{entry:?}: {outcome:?}");
    }
}

/// The text of an outcome that is a fault.
pub(crate) fn fault(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Retryable(fault) | Outcome::Poison(fault) | Outcome::Misconfigured(fault) => fault.text(),
        settled => panic!("{settled:?} is no failure"),
    }
}
