//! Generations of the job: where workers refuse a log that is not the one they have read, an operator raises the
//! generation, and what was published before stays where the new one has nothing for the same owner and window.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use yahtzee_core::assignment::WorkerIndex;
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::record::Offset;
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_runtime::log::Isolation;

use crate::commits::{self, Commits};
use crate::gaps::Named;
use crate::judge::Listing;
use crate::letters::Letters;
use crate::policy::{JOB, PARTITIONS};
use crate::raw::{Fingerprint, Raw};
use crate::rig::{POLL, Rig, is_seen};
use crate::watch::Watch;
use crate::workers::Worker;

/// By then a broker has answered every fetch.
const ANSWERED_AFTER: Duration = Duration::from_secs(1);
/// Within this time a worker has found out that its log is another one.
const REFUSED_WITHIN: Duration = Duration::from_secs(30);

/// What an earlier generation had to fold, and what it has committed.
pub(crate) struct Era {
    raw: Raw,
    commits: Option<Commits>,
}

/// What workers do while their log loses what they have read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    /// They were killed, and start when it has happened.
    Down,
    Running,
    /// They stand still, so that nobody tells them of it.
    Still,
}

impl Meanwhile {
    pub(crate) const ALL: [Self; 3] = [Self::Down, Self::Running, Self::Still];
}

/// The generations of a run.
#[derive(Default)]
pub(crate) struct Eras {
    /// What those before the newest had to fold.
    pub(crate) past: Vec<Era>,
    /// Records that the scenario has taken out of the log.
    pub(crate) taken: Vec<Fingerprint>,
    /// Windows of which such a record was the last, and which every later generation has to name.
    damaged: BTreeSet<(Partition, i64)>,
    pub(crate) findings: LogFindings,
}

/// A worker that is not kept running: one that runs, or one that was killed.
pub(crate) struct Withdrawn {
    place: WorkerIndex,
    running: Option<Worker>,
}

/// What was found of workers and commands after the log had lost what was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct LogFindings {
    /// Workers that went on though the log had lost what they had read.
    pub(crate) unnoticed: u64,
    /// Workers that ended though the log had lost nothing that they had read.
    pub(crate) refused_wrongly: u64,
    /// Partitions of which `yahtzee commits` does not say that something is lost, or says so though nothing is.
    pub(crate) flagged_wrongly: u64,
    /// Windows that lack records which the log has lost, and that the newest generation has not named.
    pub(crate) unnamed: u64,
    /// Partitions that have lost nothing, and of which the newest generation has named windows.
    pub(crate) named_wrongly: u64,
}

/// What happened to the generations of the job.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct LogFigures {
    pub(crate) generations: usize,
    /// Acknowledged records that the scenario has taken out of the log.
    pub(crate) taken: usize,
    /// Summaries of earlier generations that stay, because the log has nothing for their owner and window any more.
    pub(crate) kept: u64,
    /// Those among them whose window was open when the log was lost: they say that they are not final.
    pub(crate) kept_open: u64,
}

impl Era {
    /// What its commits were wrong in: those of zombies, and those that went back or cannot be read.
    pub(crate) fn commit_faults(&self) -> (u64, u64) {
        self.commits.as_ref().map_or((0, 0), |it| (it.zombies_visible, it.went_back + it.unreadable))
    }
}

impl Eras {
    /// Compares what the newest generation has named with what the log has lost.
    pub(crate) fn findings(&self, named: &BTreeMap<Partition, Named>) -> LogFindings {
        let is_named = |(partition, window): &(Partition, i64)| named[partition].includes(*window);
        let unnamed: Vec<_> = self.damaged.iter().filter(|place| !is_named(place)).collect();
        if !unnamed.is_empty() {
            eprintln!("chaos: windows that lack records are not named, by partition: {unnamed:?}");
        }
        let has_lost = |partition: &Partition| self.damaged.iter().any(|(of, _)| of == partition);
        let wrongly: Vec<_> =
            named.iter().filter(|(of, it)| !it.is_empty() && !has_lost(of)).map(|it| it.0).collect();
        if !wrongly.is_empty() {
            eprintln!("chaos: windows are named of partitions that have lost nothing: {wrongly:?}");
        }
        LogFindings { unnamed: unnamed.len() as u64, named_wrongly: wrongly.len() as u64, ..self.findings }
    }
}

/// Leaves out the summaries of which the owner has one of a newer generation in the same window: those count no more.
pub(crate) fn without_replaced(listing: Listing) -> Listing {
    let mut newest: BTreeMap<(Owner, i64), u32> = BTreeMap::new();
    for (key, value) in &listing {
        if let Some((place, generation)) = place_and_generation(key, value) {
            let of_place = newest.entry(place).or_default();
            *of_place = generation.max(*of_place);
        }
    }
    let counts = |(key, value): &(Vec<u8>, Vec<u8>)| {
        place_and_generation(key, value).is_none_or(|(place, generation)| newest[&place] == generation)
    };
    listing.into_iter().filter(counts).collect()
}

fn place_and_generation(key: &[u8], value: &[u8]) -> Option<((Owner, i64), u32)> {
    let (key, provenance) = (SummaryKey::decode(key).ok()?, Provenance::of_value(value).ok()?);
    Some(((key.owner, key.window_start_ms), provenance.generation))
}

/// Adds to what the newest generation must give what stays of those before it: where the newest has nothing for an owner
/// and a window, a final summary must be the one of its own generation's log, and one that is not final says so.
pub(crate) fn add_kept(expected: &mut Listing, topic: &Listing, eras: &Eras) -> LogFigures {
    let (mut kept, mut kept_open) = (0, 0);
    let places: BTreeSet<(Owner, i64)> =
        expected.iter().filter_map(|(key, value)| Some(place_and_generation(key, value)?.0)).collect();
    let truths: BTreeMap<u32, Listing> =
        eras.past.iter().map(|era| (era.raw.oracle.generation, era.raw.oracle.expected())).collect();
    for (key, value) in topic {
        let Some((place, generation)) = place_and_generation(key, value) else { continue };
        let Some(truth) = truths.get(&generation).filter(|_| !places.contains(&place)) else { continue };
        kept += 1;
        if !Provenance::of_value(value).is_ok_and(|it| it.is_final) {
            kept_open += 1;
            expected.insert(key.clone(), value.clone());
        } else if let Some(right) = truth.get(key) {
            expected.insert(key.clone(), right.clone());
        }
    }
    LogFigures { generations: eras.past.len() + 1, taken: eras.taken.len(), kept, kept_open }
}

impl Rig {
    /// Holds the input and takes the workers away. Of those that are not killed all of it is committed then.
    pub(crate) fn withdraw_workers(&mut self, state: Meanwhile) -> Result<Vec<Withdrawn>> {
        self.hold_input()?;
        if state == Meanwhile::Down {
            let places = self.kill_all_workers()?;
            self.fence_all()?;
            return Ok(places.into_iter().map(|place| Withdrawn { place, running: None }).collect());
        }
        self.wait_for_commits()?;
        if state == Meanwhile::Still {
            self.workers.iter().for_each(|worker| worker.process.signal(Signal::STOP));
            self.zombies += self.workers.len() as u64;
            self.pause(ANSWERED_AFTER)?;
        }
        let running = |worker: Worker| Withdrawn { place: worker.place, running: Some(worker) };
        Ok(self.take_all_workers().into_iter().map(running).collect())
    }

    /// Lets workers go on with a log that has lost what some of them had read: those must end, with one of these words,
    /// the others must not. Then none runs any more.
    pub(crate) fn expect_refusals(
        &mut self,
        workers: Vec<Withdrawn>,
        is_hit: impl Fn(Vec<Partition>) -> bool,
        words: &[&str],
    ) -> Result<Vec<WorkerIndex>> {
        let places: Vec<WorkerIndex> = workers.iter().map(|it| it.place).collect();
        let mut running = Vec::new();
        for Withdrawn { place, running: found } in workers {
            let started = || self.launcher.worker(place.index(), place.count());
            let worker = found.map_or_else(started, Ok)?;
            worker.process.signal(Signal::CONT);
            running.push(worker);
        }
        let (hit, whole): (Vec<Worker>, Vec<Worker>) =
            running.into_iter().partition(|worker| is_hit(worker.partitions()));
        for worker in hit {
            if !self.ends_with(worker, words)? {
                self.eras.findings.unnoticed += 1;
            }
        }
        for mut worker in whole {
            if worker.process.has_ended_by_itself()? {
                self.eras.findings.refused_wrongly += 1;
                continue;
            }
            worker.process.signal(Signal::TERM);
            self.expect_end(&mut worker, "after SIGTERM")?;
        }
        Ok(places)
    }

    /// Whether a worker ends with one of these words. If it ends otherwise it is started again, as a platform does.
    fn ends_with(&mut self, mut worker: Worker, words: &[&str]) -> Result<bool> {
        let deadline = Instant::now() + REFUSED_WITHIN;
        loop {
            if worker.process.ended()?.is_some_and(|status| !status.success()) {
                let log = worker.process.log_text();
                if words.iter().any(|words| log.contains(words)) {
                    return Ok(true);
                }
                eprintln!("chaos: {} has ended first: {}", worker.process.name, worker.process.stderr_tail());
                worker = self.launcher.worker(worker.place.index(), worker.place.count())?;
            }
            if Instant::now() > deadline {
                let (name, tail) = (&worker.process.name, worker.process.stderr_tail());
                eprintln!("chaos: {name} has not noticed that its log is another one: {tail}");
                return Ok(false);
            }
            self.pause(POLL)?;
        }
    }

    /// Raises the generation, starts the workers and lets the input go on, until they have committed what is there.
    pub(crate) fn go_on_with_next_generation(&mut self, places: &[WorkerIndex]) -> Result<()> {
        self.raise_generation()?;
        for place in places {
            self.start_worker(place.index(), place.count())?;
        }
        self.set_input_held(false);
        self.wait_for_commits()
    }

    /// Looks whether `yahtzee commits` shows for each partition the flag that it must have, and of the others none.
    pub(crate) fn compare_flags(
        &mut self,
        flags: &BTreeMap<Partition, Vec<String>>,
        wanted: impl Fn(Partition) -> Option<&'static str>,
    ) {
        for (&partition, found) in flags {
            let wanted = wanted(partition);
            let is_right = wanted.map_or(found.is_empty(), |wanted| found.iter().any(|flag| flag == wanted));
            if !is_right {
                self.eras.findings.flagged_wrongly += 1;
                eprintln!("chaos: partition {partition} is flagged as {found:?}, should be {wanted:?}");
            }
        }
    }

    /// Holds the input until all of it is acknowledged and was seen.
    fn hold_input(&mut self) -> Result<()> {
        self.set_input_held(true);
        self.wait_until("the input is acknowledged", |rig| {
            rig.generator.as_ref().is_none_or(|generator| generator.is_settled())
        })?;
        let ends = self.cluster.ends(&self.cluster.raw())?;
        self.wait_until("the raw topic is read", |rig| is_seen(&rig.raw.seen(), &ends))
    }

    /// Holds the input, or lets it go on.
    pub(crate) fn set_input_held(&mut self, is_held: bool) {
        self.generator.iter().for_each(|generator| generator.hold(is_held));
    }

    /// Reads the raw topic from its start for the next generation, and notes which records the scenario has taken out of it.
    pub(crate) fn read_raw_anew(&mut self, is_taken: impl Fn(Partition, Offset) -> bool) -> Result<()> {
        let raw = std::mem::take(&mut self.raw.seen().sight);
        for partition in self.partitions() {
            let fold = raw.oracle.partition(partition);
            let windows = fold.map(|fold| fold.windows_ending_at(|offset| is_taken(partition, offset)));
            self.eras.damaged.extend(windows.into_iter().flatten().map(|window| (partition, window)));
        }
        self.eras.taken.extend(raw.fingerprints(is_taken));
        self.eras.past.push(Era { raw, commits: None });
        let (topic, start) = (self.cluster.raw(), [Offset(0); PARTITIONS as usize]);
        let next = self.configuration.generation + 1;
        self.raw = Watch::start(&self.cluster.log, &topic, &start, Isolation::Uncommitted, Raw::of(next))?;
        Ok(())
    }

    /// What an operator does whose workers refuse the log: a greater generation in the configuration. None may run.
    fn raise_generation(&mut self) -> Result<()> {
        self.configuration.generation += 1;
        self.configuration.write(&self.launcher.folder)?;
        self.cluster.raise_generation(self.configuration.generation);
        let (log, letters) = (&self.cluster.log, self.cluster.dead_letters());
        let from = self.cluster.ends(commits::TOPIC)?;
        let of_group = Commits::of(&self.cluster.group, &self.cluster.raw());
        let ended = std::mem::replace(
            &mut self.commits,
            Watch::start(log, commits::TOPIC, &from, Isolation::Committed, of_group)?,
        );
        let nobody = Commits::of("", "");
        let commits = std::mem::replace(&mut ended.seen().sight, nobody);
        self.eras.past.last_mut().context("the log was read anew")?.commits = Some(commits);
        let from = self.cluster.ends(&letters)?;
        self.letters = Watch::start(log, &letters, &from, Isolation::Committed, Letters::default())?;
        // Of records that had the offsets of others.
        self.losses.clear();
        self.summaries.seen().sight.seen_at.clear();
        Ok(())
    }

    /// The kinds of flags that `yahtzee commits` shows, by partition. Who asks a broker that has just started may have to
    /// ask again.
    pub(crate) fn commit_flags(&mut self) -> Result<BTreeMap<Partition, Vec<String>>> {
        self.wait_until("the broker answers about the group", |rig| {
            let partitions: Vec<Partition> = rig.partitions().collect();
            rig.cluster.log.committed(&rig.cluster.group, &rig.cluster.raw(), &partitions).is_ok()
        })?;
        let text = self.launcher.command(&["commits", "--json", JOB])?;
        let document = text.find("[\n").and_then(|at| text.get(at..)).context("there is no document")?;
        let [job]: [JobCommits; 1] =
            serde_json::from_str(document).with_context(|| format!("unreadable: {text}"))?;
        let kinds = |flags: Vec<Flag>| flags.into_iter().map(|flag| flag.kind).collect();
        Ok(job.partitions.into_iter().map(|it| (Partition(it.partition), kinds(it.flags))).collect())
    }
}

/// What is read of the output of `yahtzee commits --json`.
#[derive(Deserialize)]
struct JobCommits {
    partitions: Vec<PartitionCommit>,
}

#[derive(Deserialize)]
struct PartitionCommit {
    partition: u32,
    flags: Vec<Flag>,
}

#[derive(Deserialize)]
struct Flag {
    kind: String,
}

#[cfg(test)]
mod tests {
    use yahtzee_pipeline_proto::summary;

    use super::*;

    fn row(owner: u8, series: &str, generation: u32) -> (Vec<u8>, Vec<u8>) {
        let key = SummaryKey {
            owner: Owner([owner; 16]),
            dimensions: vec![series.to_owned()],
            window_start_ms: 0,
            window_length_ms: 1_000,
        };
        let provenance = Provenance { generation, first_offset: 0, last_offset: 0, count: 1, is_final: true };
        (key.encode(), provenance.join(&summary::RouterLatency::default()))
    }

    #[test]
    fn summaries_of_an_older_generation_count_where_the_owner_has_none_of_a_newer_one() {
        let all = [row(1, "web", 1), row(1, "api", 2), row(2, "web", 1)];
        let counted = without_replaced(all.clone().into());
        assert_eq!(counted, [all[1].clone(), all[2].clone()].into());
    }
}
