//! The databases that tests run against are what those tests assume: recent, durable, two, and pooled where asked for.

use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

use crate::environment::named;

/// Names the server that tests make their databases on.
const FIRST: &str = "YAHTZEE_TEST_POSTGRES";
/// Names the server for those who need two.
const SECOND: &str = "YAHTZEE_TEST_POSTGRES_2";
/// Names a pooler before the first server.
const POOLER: &str = "YAHTZEE_TEST_PGBOUNCER";

/// A connection, and the threads that keep it going.
struct Session {
    runtime: Runtime,
    client: Client,
}

impl Session {
    fn open(url: &str) -> Self {
        let runtime = Runtime::new().expect("threads can be started");
        let (client, connection) =
            runtime.block_on(tokio_postgres::connect(url, NoTls)).expect("the server lets the user in");
        runtime.spawn(connection);
        Self { runtime, client }
    }

    /// The rows of a query in the simple protocol, which a pooler's console understands too.
    fn rows(&self, query: &str) -> Vec<SimpleQueryRow> {
        let messages = self.runtime.block_on(self.client.simple_query(query)).expect(query);
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        };
        messages.into_iter().filter_map(row).collect()
    }

    /// The only value that a query gives.
    fn value(&self, query: &str) -> String {
        let rows = self.rows(query);
        assert_eq!(rows.len(), 1, "{query}");
        rows[0].get(0).expect("not null").to_owned()
    }

    /// Tells one server from all others, for ever: `initdb` has made it up.
    fn system_identifier(&self) -> String {
        self.value("SELECT system_identifier FROM pg_control_system()")
    }
}

#[test]
fn both_servers_are_recent_and_durable() {
    for variable in [FIRST, SECOND] {
        let Some(url) = named(variable, "postgres") else { return };
        let session = Session::open(&url);
        let version: u32 = session.value("SHOW server_version_num").parse().expect("a number");
        assert!(version >= 150_000, "{variable} is of version {version}");
        for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
            assert_eq!(session.value(&format!("SHOW {setting}")), "on", "{setting} of {variable}");
        }
    }
}

#[test]
fn the_servers_are_two() {
    let urls = [FIRST, SECOND].map(|variable| named(variable, "postgres"));
    let [Some(first), Some(second)] = urls else { return };
    assert_ne!(Session::open(&first).system_identifier(), Session::open(&second).system_identifier());
}

#[test]
fn the_pooler_stands_before_the_first_server_and_pools_by_transaction() {
    let urls = [(POOLER, "pgbouncer"), (FIRST, "postgres")].map(|(variable, name)| named(variable, name));
    let [Some(pooler), Some(first)] = urls else { return };
    assert_eq!(Session::open(&pooler).system_identifier(), Session::open(&first).system_identifier());

    let (server, _database) = pooler.rsplit_once('/').expect("the address ends in a database");
    let console = Session::open(&format!("{server}/pgbouncer"));
    let settings = console.rows("SHOW CONFIG");
    let mode = settings.iter().find(|row| row.get("key") == Some("pool_mode")).expect("it has a mode");
    assert_eq!(mode.get("value"), Some("transaction"));
}
