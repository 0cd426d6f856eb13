//! One connection to one shard, with a limit to every wait; and the thread that runs all sockets of the store.
//!
//! Nothing here or above needs a session: no prepared statement is kept, settings are local to a transaction. So all
//! of it works behind PgBouncer with `pool_mode = transaction`.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row};

use super::classify::ServerFailure;
use super::settings::Timeouts;
use super::tls::Tls;

/// Minimum server version that has every feature used here; older ones are out of support.
const MAJOR_VERSION_MIN: u32 = 15;

/// Time that the client waits beyond the server's own limit, so that the server is the one to report the reason.
const GRACE: Duration = Duration::from_secs(2);

/// Parameters of a statement with their types, so that the server need not be asked for them.
pub(super) type Params<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// Runs the asynchronous client on one background thread; callers block on it.
pub(super) struct Io {
    /// The runtime; `None` only while being dropped.
    runtime: Option<Runtime>,
}

impl Io {
    pub(super) fn start() -> std::io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("postgres-io").enable_all().build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("taken in `drop` only")
    }

    /// Blocks the calling thread until `work` is done.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime().block_on(work)
    }

    /// Blocks the calling thread until all of `works`, run concurrently, are done; results in the order of `works`.
    pub(super) fn wait_all<T>(&self, works: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
        self.wait(join_all(works))
    }
}

impl Drop for Io {
    /// Shuts the runtime down in the background, because a store may be dropped where blocking is forbidden.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An open session.
pub(super) struct Connection {
    client: Client,
    /// Task that moves bytes between the client and the socket; ends with either.
    pump: JoinHandle<Result<(), tokio_postgres::Error>>,
    timeouts: Timeouts,
}

/// Purpose of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Write,
    Read,
    /// Creating and dropping, with the time to wait for a lock.
    Define(Duration),
}

impl Connection {
    /// Connects, authenticates, and checks that the server is usable.
    pub(super) async fn open(config: &Config, tls: Tls, timeouts: Timeouts) -> Result<Self, ServerFailure> {
        let connecting = tokio::time::timeout(timeouts.connect, config.connect(tls.0));
        let (client, connection) =
            connecting.await.map_err(|_| ServerFailure::Timeout(timeouts.connect))??;
        let parameter = |name| connection.parameter(name).unwrap_or_default().to_owned();
        check_server(&parameter("server_version"), &parameter("server_encoding"))?;
        // What breaks it is told to whoever waits for an answer.
        let pump = tokio::spawn(connection);
        Ok(Self { client, pump, timeouts })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Begins a transaction and runs its first query, in one round trip.
    pub(super) async fn begin(
        &self,
        purpose: Purpose,
        question: &str,
        params: Params<'_>,
    ) -> Result<Vec<Row>, ServerFailure> {
        let begin = begin_text(purpose, self.timeouts);
        let both = async {
            tokio::join!(
                biased;
                self.client.batch_execute(&begin),
                self.client.query_typed(question, params),
            )
        };
        let (begun, answer) = self.limited(both).await?;
        begun?;
        Ok(answer?)
    }

    /// Runs one statement and returns its rows.
    pub(super) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, ServerFailure> {
        Ok(self.limited(self.client.query_typed(sql, params)).await??)
    }

    /// Runs statements without parameters.
    pub(super) async fn run(&self, sql: &str) -> Result<(), ServerFailure> {
        Ok(self.limited(self.client.batch_execute(sql)).await??)
    }

    /// Copies rows into a table. The statement's name lives for this call, inside the caller's transaction.
    pub(super) async fn copy<'a>(
        &self,
        sql: &str,
        types: &[Type],
        rows: impl Iterator<Item = Vec<&'a (dyn ToSql + Sync)>>,
    ) -> Result<(), ServerFailure> {
        let copy = async {
            let sink = self.client.copy_in(sql).await?;
            let mut writer = pin!(BinaryCopyInWriter::new(sink, types));
            for row in rows {
                writer.as_mut().write(&row).await?;
            }
            writer.finish().await
        };
        self.limited(copy).await??;
        Ok(())
    }

    pub(super) async fn commit(&self) -> Result<(), ServerFailure> {
        self.run("COMMIT").await
    }

    /// Runs the last statement of a transaction and commits, in one round trip. If the statement fails, nothing of the
    /// transaction is there.
    pub(super) async fn end(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, ServerFailure> {
        let both = async {
            tokio::join!(
                biased;
                self.client.query_typed(sql, params),
                self.client.batch_execute("COMMIT"),
            )
        };
        let (answer, committed) = self.limited(both).await?;
        let answer = answer?;
        committed?;
        Ok(answer)
    }

    /// Ends the transaction after a failure; returns `None` if the session is no longer usable.
    pub(super) async fn recover(self, failure: &ServerFailure) -> Option<Self> {
        if !failure.breaks_connection() && !self.is_closed() && self.run("ROLLBACK").await.is_ok() {
            return Some(self);
        }
        // Or it would wait on for an answer that may never come, and the server for it.
        self.pump.abort();
        None
    }

    async fn limited<T>(&self, work: impl Future<Output = T>) -> Result<T, ServerFailure> {
        let limit = self.timeouts.statement + GRACE;
        tokio::time::timeout(limit, work).await.map_err(|_| ServerFailure::Timeout(limit))
    }
}

/// Returns the statements that begin a transaction. Settings are local to it. JIT is off, and for writes sequential
/// scans: the planner does not know the size of the arrays it is given, and with either takes many times as long per
/// batch. The isolation is READ COMMITTED, so that the guard sees rows that others have committed. A commit is on disk,
/// whatever the role's default. READ WRITE is not requested: a standby would refuse it as an unsupported feature,
/// instead of reporting that it is not the primary now.
fn begin_text(purpose: Purpose, timeouts: Timeouts) -> String {
    let (mode, lock, more) = match purpose {
        Purpose::Write => ("", timeouts.lock, "SET LOCAL enable_seqscan = off; "),
        Purpose::Read => ("READ ONLY", timeouts.lock, ""),
        Purpose::Define(lock) => ("", lock, ""),
    };
    // 0 would be no limit at all.
    let (statement_ms, lock_ms) = (timeouts.statement.as_millis().max(1), lock.as_millis().max(1));
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED {mode}; SET LOCAL jit = off; {more}\
         SET LOCAL statement_timeout = {statement_ms}; SET LOCAL lock_timeout = {lock_ms}; \
         SET LOCAL idle_in_transaction_session_timeout = {statement_ms}; \
         SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
    )
}

fn check_server(version: &str, encoding: &str) -> Result<(), ServerFailure> {
    let major = version.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
    if major.is_some_and(|major: u32| major < MAJOR_VERSION_MIN) {
        return Err(ServerFailure::settings(format!(
            "the server is PostgreSQL {version}; {MAJOR_VERSION_MIN} or later is needed: upgrade it"
        )));
    }
    if encoding != "UTF8" {
        return Err(ServerFailure::settings(format!(
            "the database is encoded in {encoding}; create it anew: CREATE DATABASE .. ENCODING 'UTF8' TEMPLATE template0"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_and_other_encodings_are_refused() {
        fn check(version: &str, encoding: &str, word: Option<&str>) {
            let text = check_server(version, encoding).err().map(|failure| failure.to_string());
            assert_eq!(text.is_some(), word.is_some(), "{text:?}");
            assert!(text.unwrap_or_default().contains(word.unwrap_or_default()));
        }
        check("15.19", "UTF8", None);
        check("18beta1", "UTF8", None);
        check("15.8 (Debian 15.8-0+deb12u1)", "UTF8", None);
        check("14.2", "UTF8", Some("upgrade"));
        check("16.1", "SQL_ASCII", Some("ENCODING"));
    }
}
