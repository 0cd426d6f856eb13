//! The storage half of a run: the processes that carry summaries into a store, and what is known of the store.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_core::summary::{Revision, SummaryKey};
use yahtzee_storage::dead_letter::quarantine::{self, Quarantined};
use yahtzee_storage::job_topics::{retry_group, sink_group};

use crate::policy::{JOB, PARTITIONS};
use crate::postgres::{Database, Databases, TableLocks};
use crate::reader::StoreReader;
use crate::rig::Rig;
use crate::servers::ServerProcess;
use crate::workers::Process;

/// How long shards that work may take to have what was published before.
const KEEP_UP_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
/// Batches wait two seconds for a lock, and come again.
const BATCH_WITHIN: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(10);

/// Which store a scenario needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreKind {
    Embedded,
    Postgres(Way),
}

/// What stands between processes and the first server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    /// The proxy.
    Wire,
    /// A pooler in transaction mode.
    Pooler,
}

/// The store and what carries summaries into it.
pub(crate) struct StoreSide {
    pub(crate) target: Target,
    pub(crate) sinks: Vec<Process>,
    pub(crate) retry: Option<Process>,
    pub(crate) findings: Findings,
    pub(crate) outages: Vec<Outage>,
    /// Rows that the shards refuse on purpose.
    pub(crate) is_refused: Box<dyn Fn(&SummaryKey) -> bool>,
}

pub(crate) enum Target {
    /// In this folder.
    Embedded(PathBuf),
    Postgres(Box<Shards>),
}

/// Databases, and who looks at them all the time. The reader ends first.
pub(crate) struct Shards {
    pub(crate) reader: StoreReader,
    pub(crate) databases: Databases,
}

/// A server was down.
pub(crate) struct Outage {
    pub(crate) server: &'static str,
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

/// What went wrong during the run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Findings {
    /// Rows that shards that worked did not have while another one was down.
    pub(crate) healthy_behind: u64,
    /// Summaries that are in quarantine and should not be, or the other way round.
    pub(crate) quarantine_wrong: u64,
    /// Summaries that were in quarantine, as they should.
    pub(crate) quarantined: u64,
}

/// Summaries and the revisions that had been published at some time.
pub(crate) type Published = Vec<(usize, Vec<u8>, Revision)>;

impl Target {
    /// As on the command line and in the names of consumer groups.
    fn name(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::Postgres(_) => "postgres",
        }
    }
}

impl StoreSide {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            sinks: Vec::new(),
            retry: None,
            findings: Findings::default(),
            outages: Vec::new(),
            is_refused: Box::new(|_| false),
        }
    }

    /// The PostgreSQL shards, where the store is one.
    pub(crate) fn shards(&self) -> Option<&Shards> {
        match &self.target {
            Target::Postgres(shards) => Some(shards),
            Target::Embedded(_) => None,
        }
    }

    /// The group that the sink commits under.
    pub(crate) fn sink_group(&self, version: &str) -> String {
        sink_group(self.target.name(), JOB, version)
    }

    /// All processes, which then are nobody's.
    pub(crate) fn take_processes(&mut self) -> Vec<Process> {
        std::mem::take(&mut self.sinks).into_iter().chain(self.retry.take()).collect()
    }
}

impl Rig {
    /// The databases of the run.
    pub(crate) fn databases(&self) -> Result<&Databases> {
        Ok(&self.shards()?.databases)
    }

    /// A shard by chance.
    pub(crate) fn any_shard(&mut self) -> Result<Database> {
        let count = self.databases()?.shards.len() as u64;
        let number = self.rng.below(count) as usize;
        Ok(self.databases()?.shards[number].clone())
    }

    pub(crate) fn shards(&self) -> Result<&Shards> {
        self.stores.shards().context("this scenario needs PostgreSQL")
    }

    /// Starts the processes that carry summaries.
    pub(crate) fn start_carriers(&mut self, sinks: u32) -> Result<()> {
        for _ in 0..sinks {
            self.start_sink()?;
        }
        if self.stores.shards().is_some() {
            self.stores.retry = Some(self.launcher.retry()?);
        }
        Ok(())
    }

    /// Starts one more sink.
    pub(crate) fn start_sink(&mut self) -> Result<()> {
        let sink = self.launcher.sink(self.stores.target.name())?;
        self.stores.sinks.push(sink);
        Ok(())
    }

    /// Ends a sink without warning, and leaves it so.
    pub(crate) fn take_sink_away(&mut self) -> Result<()> {
        let number = self.rng.below(self.stores.sinks.len() as u64) as usize;
        self.kills += 1;
        let sink = self.stores.sinks.remove(number);
        self.launcher.note_memory(&sink);
        sink.kill()
    }

    /// Ends a sink without warning and starts another.
    pub(crate) fn kill_sink(&mut self) -> Result<()> {
        self.take_sink_away()?;
        self.start_sink()
    }

    /// Ends the retry process without warning and starts another.
    pub(crate) fn kill_retry(&mut self) -> Result<()> {
        self.kills += 1;
        self.stores.retry.take().map_or(Ok(()), Process::kill)?;
        self.stores.retry = Some(self.launcher.retry()?);
        Ok(())
    }

    /// Starts again what has ended by itself.
    pub(crate) fn supervise_carriers(&mut self) -> Result<()> {
        for number in 0..self.stores.sinks.len() {
            if self.stores.sinks[number].has_ended_by_itself()? {
                self.stores.sinks[number] = self.launcher.sink(self.stores.target.name())?;
            }
        }
        if let Some(retry) = &mut self.stores.retry
            && retry.has_ended_by_itself()?
        {
            self.stores.retry = Some(self.launcher.retry()?);
        }
        Ok(())
    }

    /// Kills a server and starts it again after something was done without it.
    pub(crate) fn server_down(
        &mut self,
        server: &'static str,
        meanwhile: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let process = self.server(server)?;
        self.kills += 1;
        process.kill()?;
        let from = Instant::now();
        meanwhile(self)?;
        process.start_again()?;
        self.stores.outages.push(Outage { server, from, to: Instant::now() });
        Ok(())
    }

    /// Kills a server and starts it again; returns a copy of its data as they were in between.
    pub(crate) fn back_up_server(&mut self, server: &'static str) -> Result<PathBuf> {
        let backup = self.launcher.folder.join(format!("{server}-backup"));
        let data = self.server(server)?.data()?;
        self.server_down(server, |_| ServerProcess::copy(&data, &backup))?;
        Ok(backup)
    }

    /// Kills a server and starts it again with the data of a backup. Readers see rows go back, as they must.
    pub(crate) fn restore_server(&mut self, server: &'static str, backup: &Path) -> Result<()> {
        let process = self.server(server)?;
        let data = process.data()?;
        self.kills += 1;
        let from = Instant::now();
        self.shards()?.reader.forget_after(|| {
            process.kill()?;
            std::fs::remove_dir_all(&data)?;
            ServerProcess::copy(backup, &data)?;
            process.start_again()
        })?;
        self.stores.outages.push(Outage { server, from, to: Instant::now() });
        Ok(())
    }

    /// A shard by chance, of those on a server.
    pub(crate) fn any_shard_on(&mut self, server: &str) -> Result<Database> {
        let shards: Vec<Database> = self.databases()?.on(server).cloned().collect();
        let number = self.rng.below(shards.len() as u64) as usize;
        Ok(shards[number].clone())
    }

    /// Locks the tables of a shard and waits until a batch waits for them, if one comes.
    pub(crate) fn lock_under_batch(&mut self, shard: &Database) -> Result<TableLocks> {
        let locks = TableLocks::take(shard)?;
        let deadline = Instant::now() + BATCH_WITHIN;
        while !locks.are_waited_for()? && Instant::now() < deadline {
            self.pause(LOCK_POLL)?;
        }
        Ok(locks)
    }

    /// While something is wrong with the other shards, these must come to have what is published by now.
    pub(crate) fn others_keep_up(&mut self, works: impl Fn(&Database) -> bool) -> Result<()> {
        let published = self.published(works)?;
        let deadline = Instant::now() + KEEP_UP_WITHIN;
        while self.behind(&published)? > 0 && Instant::now() < deadline {
            self.pause(POLL)?;
        }
        let behind = self.behind(&published)?;
        if behind > 0 {
            eprintln!(
                "chaos: while other shards were down, {behind} rows of {} did not come",
                published.len()
            );
        }
        self.stores.findings.healthy_behind += behind;
        Ok(())
    }

    /// Waits until these shards have what is published by now.
    pub(crate) fn wait_for_rows(&mut self, of: impl Fn(&Database) -> bool) -> Result<()> {
        let published = self.published(of)?;
        self.wait_until("the shards have what was published", |rig| {
            rig.behind(&published).is_ok_and(|behind| behind == 0)
        })
    }

    /// What a reader of the summary topic has seen by now of these shards, but for what they refuse.
    fn published(&self, of: impl Fn(&Database) -> bool) -> Result<Published> {
        let databases = self.databases()?;
        let summaries = self.summaries.seen();
        let mut published = Published::new();
        for (key, seen) in summaries.sight.visible() {
            let parts = SummaryKey::decode(key)?;
            let shard = databases.number_of(&parts);
            if of(&databases.shards[shard]) && !(self.stores.is_refused)(&parts) {
                published.push((shard, key.clone(), seen.provenance.revision()));
            }
        }
        Ok(published)
    }

    /// How many of these rows the reader of the store has not seen yet, or older.
    fn behind(&self, published: &Published) -> Result<u64> {
        let seen = self.shards()?.reader.seen();
        let is_behind = |(shard, key, revision): &&(usize, Vec<u8>, Revision)| {
            seen.revision(*shard, key).is_none_or(|there| there < *revision)
        };
        Ok(published.iter().filter(is_behind).count() as u64)
    }

    /// Whether the sinks have settled everything below these offsets of the summary topic.
    pub(crate) fn has_settled(&self, ends: &[Offset]) -> bool {
        let group = self.stores.sink_group(&self.cluster.layout.version);
        let committed = self.committed(&group, &self.cluster.summary());
        committed.is_ok_and(|committed| committed.iter().zip(ends).all(|(reached, end)| reached >= end))
    }

    /// Records that wait in RETRY.
    pub(crate) fn retry_waiting(&self) -> Result<u64> {
        if self.stores.shards().is_none() {
            return Ok(0);
        }
        let topics = self.cluster.topics();
        let group = retry_group(self.stores.target.name(), &self.cluster.layout.version);
        let bounds = self.cluster.bounds(&topics.retry)?;
        let committed = self.committed(&group, &topics.retry)?;
        let pairs = bounds.iter().zip(committed);
        Ok(pairs.map(|(bounds, reached)| bounds.end.0 - reached.max(bounds.start).0.min(bounds.end.0)).sum())
    }

    fn committed(&self, group: &str, topic: &str) -> Result<Vec<Offset>> {
        let partitions: Vec<Partition> = (0..PARTITIONS).map(Partition).collect();
        let committed = self.cluster.log.committed(group, topic, &partitions)?;
        Ok(committed.into_iter().map(|at| at.map_or(Offset(0), |at| at.offset)).collect())
    }

    /// Waits until nothing is left in RETRY.
    pub(crate) fn wait_for_retry(&mut self) -> Result<()> {
        self.wait_until("RETRY is drained", |rig| rig.retry_waiting().is_ok_and(|waiting| waiting == 0))
    }

    /// What waits for an operator.
    pub(crate) fn quarantined(&self) -> Result<Vec<Quarantined>> {
        if self.stores.shards().is_none() {
            return Ok(Vec::new());
        }
        Ok(quarantine::list(&*self.cluster.log, None, &[self.cluster.topics()])?)
    }

    /// Forgets how far the sinks have come, so that they read the summary topic from its start. None may run.
    pub(crate) fn rewind_sinks(&self) -> Result<()> {
        if !self.stores.sinks.is_empty() {
            bail!("a sink that runs would commit its own offsets");
        }
        let group = sink_group(self.stores.target.name(), JOB, &self.cluster.layout.version);
        crate::admin::delete_group(&self.cluster.brokers, &group)
    }
}
