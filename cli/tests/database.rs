//! Databases on a real PostgreSQL server, each for one test alone.

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls, Row};

/// A database that is dropped at the end.
pub(crate) struct Database {
    /// URL of another database of the server.
    server: String,
    name: String,
    runtime: Runtime,
}

impl Database {
    /// Creates the database; `purpose` is part of its name.
    pub(crate) fn new(server: &str, purpose: &str) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let name = format!("yahtzee_process_{}_{purpose}", std::process::id());
        let database = Self { server: server.to_owned(), name, runtime };
        let _ = database.run(server, &format!("DROP DATABASE IF EXISTS {}", database.name));
        database.run(server, &format!("CREATE DATABASE {}", database.name)).unwrap();
        database
    }

    /// The server's URL with this database in its place.
    pub(crate) fn url(&self) -> String {
        let (before, _) = self.server.rsplit_once('/').expect("a URL names a database");
        format!("{before}/{}", self.name)
    }

    /// Rows of a query.
    pub(crate) fn query(&self, text: &str) -> Vec<Row> {
        let client = self.connect(&self.url());
        self.runtime.block_on(client.query_typed(text, &[])).unwrap()
    }

    fn connect(&self, url: &str) -> Client {
        self.runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        })
    }

    fn run(&self, url: &str, text: &str) -> Result<(), tokio_postgres::Error> {
        let client = self.connect(url);
        self.runtime.block_on(client.batch_execute(text))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.run(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}
