//! A run: the pipeline on a broker, what watches it, and what scenarios do to it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use yahtzee_core::assignment::WorkerIndex;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::log::{Isolation, SlotName};

use crate::clocks::Clocks;
use crate::cluster::Cluster;
use crate::commits::{self, CommitTime, Commits, Loss};
use crate::eras::Eras;
use crate::gaps::Gap;
use crate::generator::{Clock, Generator, LAST_WORD_MS};
use crate::ingress::IngressSide;
use crate::letters::Letters;
use crate::options::Options;
use crate::policy::{CLOCK_SKEW_MS, Configuration, GENERATION, PARTITIONS, SLOTS};
use crate::postgres::{self, Databases};
use crate::proxy::{Protocol, Proxy};
use crate::raw::{Fingerprint, Raw};
use crate::reader::StoreReader;
use crate::returns::BrokerReturn;
use crate::scenarios::Scenario;
use crate::servers::ServerProcess;
use crate::stacks;
use crate::stores::{Shards, StoreKind, StoreSide, Target, Way};
use crate::summaries::Summaries;
use crate::watch::{Seen, Sight, Watch};
use crate::workers::{Launcher, Process, Worker};
use yahtzee_loadgen::Rng;

pub(crate) const POLL: Duration = Duration::from_millis(20);
/// Shorter than a write takes, so that what follows hits one.
const RELEASE_POLL: Duration = Duration::from_millis(1);
/// Windows close every second while there is input and the broker works.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);
/// For everything that comes by itself when nothing is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// The platform kills after this time.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(30);

/// After this time a stamp of now ends the windows of what the fastest clock has stamped before.
const LAST_WORD_WAIT: Duration = Duration::from_millis((LAST_WORD_MS + CLOCK_SKEW_MS).unsigned_abs());

/// Every partition's first record has been read.
const FIRST: [Offset; PARTITIONS as usize] = [Offset(1); PARTITIONS as usize];

/// A run in progress.
pub(crate) struct Rig {
    pub(crate) options: Options,
    pub(crate) rng: Rng,
    pub(crate) launcher: Launcher,
    pub(crate) workers: Vec<Worker>,
    pub(crate) stores: StoreSide,
    pub(crate) ingress: Option<IngressSide>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) raw: Watch<Raw>,
    pub(crate) summaries: Watch<Summaries>,
    pub(crate) letters: Watch<Letters>,
    pub(crate) commits: Watch<Commits>,
    pub(crate) sink_commits: Watch<CommitTime>,
    pub(crate) generator: Option<Generator>,
    pub(crate) configuration: Configuration,
    pub(crate) acknowledged: Vec<Fingerprint>,
    pub(crate) eras: Eras,
    /// Where the raw topic refuses stamps that are too far ahead.
    pub(crate) clocks: Option<Clocks>,
    pub(crate) started: Instant,
    pub(crate) kills: u64,
    pub(crate) zombies: u64,
    pub(crate) losses: Vec<Loss>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) returns: Vec<BrokerReturn>,
    /// Its topics go when nobody reads them any more: fields are dropped in their order.
    pub(crate) cluster: Cluster,
}

impl Rig {
    /// Starts everything, and waits until the workers commit.
    pub(crate) fn start(options: &Options, scenario: &Scenario, folder: &Path) -> Result<Self> {
        let version = format!("chaos-{}-{:x}", std::process::id(), options.seed);
        let cluster = Cluster::prepare(&version, scenario)?;
        let (proxy, target) = (start_proxy(scenario, &cluster)?, folder.join("store"));
        let brokers = match &proxy {
            Some(proxy) if scenario.through_proxy => proxy.address(),
            _ => cluster.brokers.clone(),
        };
        let stores = StoreSide::new(open_store(scenario, &version, proxy.as_ref(), target.clone())?);
        let shards = stores.shards().map_or_else(Vec::new, |shards| shards.databases.config_lines());
        let configuration = Configuration {
            brokers,
            version: version.clone(),
            store: target,
            shards,
            ..Configuration::of(scenario, options)
        };
        configuration.write(folder)?;
        let (log, start) = (&cluster.log, [Offset(0); PARTITIONS as usize]);
        let watch_commits = Commits::of(&cluster.group, &cluster.raw());
        let sink_commits = CommitTime::of(&stores.sink_group(&version));
        let from = cluster.ends(commits::TOPIC)?;
        let clock = clock_of(scenario, options);
        let pace = (options.seed, options.rate);
        let generator = Generator::start(log, &cluster.raw(), pace, clock, scenario.acknowledged_within)?;
        let mut rig = Self {
            options: options.clone(),
            rng: Rng::new(!options.seed),
            launcher: Launcher::new(folder.to_owned())?,
            workers: Vec::new(),
            stores,
            ingress: None,
            proxy,
            raw: Watch::start(log, &cluster.raw(), &start, Isolation::Uncommitted, Raw::of(GENERATION))?,
            summaries: Watch::start(
                log,
                &cluster.summary(),
                &start,
                Isolation::Committed,
                Summaries::under(options.guarantee),
            )?,
            letters: Watch::start(
                log,
                &cluster.dead_letters(),
                &start,
                Isolation::Committed,
                Letters::default(),
            )?,
            commits: Watch::start(log, commits::TOPIC, &from, Isolation::Committed, watch_commits)?,
            sink_commits: Watch::start(log, commits::TOPIC, &from, Isolation::Committed, sink_commits)?,
            generator: Some(generator),
            cluster,
            configuration,
            acknowledged: Vec::new(),
            eras: Eras::default(),
            clocks: scenario.bounds_stamps.then(Clocks::default),
            started: Instant::now(),
            kills: 0,
            zombies: 0,
            losses: Vec::new(),
            gaps: Vec::new(),
            returns: Vec::new(),
        };
        rig.start_processes(scenario)?;
        rig.started = Instant::now();
        Ok(rig)
    }

    /// Starts the processes under test, and waits until they have got something done.
    fn start_processes(&mut self, scenario: &Scenario) -> Result<()> {
        self.start_carriers(scenario.sinks)?;
        if scenario.has_ingress {
            self.ingress = Some(IngressSide::start(&mut self.launcher, &self.cluster)?);
        }
        for index in 0..scenario.workers {
            self.start_worker(index, scenario.workers)?;
        }
        self.wait_until("every partition has a worker that commits", |rig| rig.has_committed(&FIRST))?;
        self.wait_until("the ingress takes requests", |rig| {
            rig.ingress.as_ref().is_none_or(|ingress| ingress.acknowledged_at().is_some())
        })
    }

    /// Whether the time for faults is up.
    pub(crate) fn is_over(&self) -> bool {
        self.started.elapsed() >= self.options.duration
    }

    /// Starts a worker and keeps it running.
    pub(crate) fn start_worker(&mut self, index: u32, count: u32) -> Result<()> {
        let worker = self.launcher.worker(index, count)?;
        self.workers.push(worker);
        Ok(())
    }

    /// Takes a worker out of those that are kept running.
    pub(crate) fn take_worker(&mut self, at: usize) -> Worker {
        let worker = self.workers.remove(at);
        self.launcher.note_memory(&worker.process);
        worker
    }

    /// Ends a worker without warning, and notes what it leaves behind.
    pub(crate) fn kill_worker(&mut self, at: usize) -> Result<WorkerIndex> {
        let worker = self.take_worker(at);
        self.note_loss(&worker);
        self.kills += 1;
        worker.process.kill()?;
        Ok(worker.place)
    }

    /// Ends all workers without warning.
    pub(crate) fn kill_all_workers(&mut self) -> Result<Vec<WorkerIndex>> {
        (0..self.workers.len()).map(|_| self.kill_worker(0)).collect()
    }

    /// Ends all workers with SIGTERM.
    pub(crate) fn end_all_workers(&mut self) -> Result<Vec<WorkerIndex>> {
        let mut workers = self.take_all_workers();
        workers.iter().for_each(|worker| worker.process.signal(Signal::TERM));
        for worker in &mut workers {
            self.expect_end(worker, "after SIGTERM")?;
        }
        Ok(workers.iter().map(|worker| worker.place).collect())
    }

    /// Takes all workers out of those that are kept running, and notes what they leave behind.
    pub(crate) fn take_all_workers(&mut self) -> Vec<Worker> {
        let workers: Vec<Worker> = (0..self.workers.len()).map(|_| self.take_worker(0)).collect();
        workers.iter().for_each(|worker| self.note_loss(worker));
        workers
    }

    /// Waits for the end of a worker that is not kept running; it may not take longer than a platform waits.
    pub(crate) fn expect_end(&mut self, worker: &mut Worker, when: &str) -> Result<()> {
        let deadline = Instant::now() + STOP_WITHIN;
        while worker.process.ended()?.is_none() {
            if Instant::now() > deadline {
                let seconds = STOP_WITHIN.as_secs();
                bail!(
                    "{} still runs {seconds} s {when}: {}",
                    worker.process.name,
                    worker.process.stderr_tail()
                );
            }
            self.pause(POLL)?;
        }
        Ok(())
    }

    /// Takes every slot for a moment, as a starting worker does: open transactions of dead workers are aborted, and
    /// their commits can be read.
    pub(crate) fn fence_all(&self) -> Result<()> {
        for slot in 0..SLOTS {
            drop(self.cluster.log.slot_writer(&SlotName { group: self.cluster.group.clone(), slot })?);
        }
        Ok(())
    }

    /// Waits for a commit with which a worker lets go of a window, but no longer than such a commit takes: from then on
    /// nobody reads the window's records again, so that its final summaries must be durable.
    pub(crate) fn wait_for_released_window(&mut self, at: usize) -> Result<()> {
        let partitions = self.workers[at].partitions();
        let starts = |rig: &Self| -> Vec<_> {
            let commits = rig.commits.seen();
            let start = |&partition: &Partition| commits.sight.newest(partition).map(|commit| commit.start);
            partitions.iter().map(start).collect()
        };
        let (before, deadline) = (starts(self), Instant::now() + RELEASE_WITHIN);
        while starts(self) == before && Instant::now() < deadline {
            self.pause(RELEASE_POLL)?;
        }
        Ok(())
    }

    /// From here on the time runs until a successor has done what `worker` has not.
    pub(crate) fn note_loss(&mut self, worker: &Worker) {
        let (raw, commits) = (self.raw.seen(), self.commits.seen());
        let state = |partition| {
            let last = commits.sight.newest(partition).map(|commit| commit.incarnation);
            (partition, raw.position(partition), last)
        };
        let partitions = worker.partitions().into_iter().map(state).collect();
        self.losses.push(Loss { at: Instant::now(), partitions });
    }

    /// From here on the time runs until anybody has done what is in the log now.
    pub(crate) fn note_outage(&mut self) {
        let raw = self.raw.seen();
        let partitions =
            self.partitions().map(|partition| (partition, raw.position(partition), None)).collect();
        self.losses.push(Loss { at: Instant::now(), partitions });
    }

    /// Lets time pass. A process that ends by itself is started again, as a platform does.
    pub(crate) fn pause(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            self.supervise()?;
            match until.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(POLL)),
                _ => return Ok(()),
            }
        }
    }

    fn supervise(&mut self) -> Result<()> {
        for at in 0..self.workers.len() {
            let worker = &mut self.workers[at];
            if worker.process.has_ended_by_itself()? {
                let place = worker.place;
                self.workers[at] = self.launcher.worker(place.index(), place.count())?;
            }
        }
        if let Some(ingress) = &mut self.ingress {
            ingress.supervise(&mut self.launcher)?;
        }
        self.supervise_carriers()
    }

    /// Waits until something holds, supervising the processes.
    pub(crate) fn wait_until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            if Instant::now() > deadline {
                bail!("waited {} s in vain until {what}", PATIENCE.as_secs());
            }
            self.pause(POLL)?;
        }
        Ok(())
    }

    /// Waits until every partition has a commit that covers all that is in the log now.
    pub(crate) fn wait_for_commits(&mut self) -> Result<()> {
        let ends: Vec<Offset> =
            self.partitions().map(|partition| self.raw.seen().position(partition)).collect();
        self.wait_until("the workers have committed what is in the log", |rig| rig.has_committed(&ends))
    }

    fn has_committed(&self, ends: &[Offset]) -> bool {
        let commits = self.commits.seen();
        let has_committed = |(partition, end): (Partition, &Offset)| {
            *end == Offset(0) || commits.sight.position(partition).is_some_and(|position| position >= *end)
        };
        (0..).map(Partition).zip(ends).all(has_committed)
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..PARTITIONS).map(Partition)
    }

    /// Ends the input, and waits until all of it has come through.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let generator = self.generator.take().context("a run settles once")?;
        generator.hold(true);
        // Where stamps are bounded, the last word is written when its time has come.
        let ahead_ms = match self.clocks.is_some() {
            true => self.pause(LAST_WORD_WAIT).map(|()| 0)?,
            false => LAST_WORD_MS,
        };
        let sent = generator.finish(Some(ahead_ms));
        if sent.failed > 0 {
            let failed = sent.failed;
            eprintln!("chaos: {failed} raw records were not acknowledged; they may or may not be in the log");
        }
        self.acknowledged.extend(sent.acknowledged);
        if let Some(ingress) = &mut self.ingress {
            ingress.end_drain();
            let ends = self.cluster.ends(&self.cluster.error_lines())?;
            let has_read = |rig: &Self| rig.ingress.as_ref().is_none_or(|ingress| ingress.has_read(&ends));
            self.wait_until("the topic of error lines is read", has_read)?;
        }
        let ends = self.cluster.ends(&self.cluster.raw())?;
        self.wait_until("the raw topic is read", |rig| is_seen(&rig.raw.seen(), &ends))?;
        self.wait_until("the workers have committed everything", |rig| rig.has_committed(&ends))?;
        let ends = self.cluster.ends(&self.cluster.dead_letters())?;
        self.wait_until("the dead letters are read", |rig| is_seen(&rig.letters.seen(), &ends))?;
        let ends = self.cluster.ends(&self.cluster.summary())?;
        self.wait_until("the summary topic is read", |rig| is_seen(&rig.summaries.seen(), &ends))?;
        self.wait_until("the sink has settled everything", |rig| rig.has_settled(&ends))?;
        self.wait_for_retry()
    }

    /// A PostgreSQL server of this run, or the pooler, as a process.
    pub(crate) fn server(&self, name: &'static str) -> Result<ServerProcess> {
        ServerProcess::find(name, &postgres::address(name)?)
    }

    /// Ends all processes with SIGTERM.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let processes = self.take_processes();
        for process in &processes {
            self.launcher.note_memory(process);
            process.signal(Signal::TERM);
        }
        for mut process in processes {
            let Some(status) = process.wait(STOP_WITHIN)? else {
                bail!("{} did not end within {} s of SIGTERM", process.name, STOP_WITHIN.as_secs());
            };
            if !status.success() {
                bail!("{} ended with {status}: {}", process.name, process.stderr_tail());
            }
        }
        Ok(())
    }

    /// Ends all processes at once, where a run has gone wrong. What their threads are doing is kept beside their logs.
    pub(crate) fn abandon(&mut self) {
        for process in self.take_processes() {
            if let Err(error) = stacks::write_beside_log(&process) {
                eprintln!("chaos: nobody knows what {} is doing: {error:#}", process.name);
            }
        }
        self.ingress = None;
    }

    fn take_processes(&mut self) -> Vec<Process> {
        let workers = std::mem::take(&mut self.workers).into_iter().map(|worker| worker.process);
        let ingress = self.ingress.as_mut().and_then(|ingress| ingress.process.take());
        workers.chain(ingress).chain(self.stores.take_processes()).collect()
    }
}

/// The clock of those who write raw records.
fn clock_of(scenario: &Scenario, options: &Options) -> Clock {
    match scenario.around_midnight {
        true => Clock::midnight_in(options.duration / 2),
        false => Clock::default(),
    }
}

/// The proxy before what the scenario wants it before.
fn start_proxy(scenario: &Scenario, cluster: &Cluster) -> Result<Option<Proxy>> {
    if scenario.through_proxy {
        return Proxy::start(&cluster.brokers, Protocol::Kafka).map(Some);
    }
    match scenario.store {
        StoreKind::Postgres(Way::Wire) => {
            Proxy::start(&postgres::address(postgres::FIRST)?, Protocol::Postgres).map(Some)
        }
        _ => Ok(None),
    }
}

fn open_store(scenario: &Scenario, run: &str, proxy: Option<&Proxy>, folder: PathBuf) -> Result<Target> {
    let StoreKind::Postgres(way) = scenario.store else { return Ok(Target::Embedded(folder)) };
    let first_address = match way {
        Way::Direct => None,
        Way::Wire => proxy.map(Proxy::address),
        Way::Pooler => Some(postgres::address(postgres::POOLER)?),
    };
    let databases = Databases::create(run, first_address)?;
    let reader = StoreReader::start(&databases.shards)?;
    Ok(Target::Postgres(Box::new(Shards { reader, databases })))
}

pub(crate) fn is_seen<S: Sight>(seen: &Seen<S>, ends: &[Offset]) -> bool {
    (0..).map(Partition).zip(ends).all(|(partition, &end)| seen.position(partition) >= end)
}
