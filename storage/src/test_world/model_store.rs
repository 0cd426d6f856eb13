//! A store in a map, with shards that fail by script.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use yahtzee_core::delivery::SettledMark;
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_runtime::cause::Cause;

use super::{Bell, Id};
use crate::store::Day;
use crate::store::Summary;
use crate::store::{Marked, Settling, SourcePartition, WrittenBatch};
use crate::store::{Outcome, OwnerCount, Rows, Shard, ShardWriter, StoreError, SummaryStore};

/// Behaviour of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Works,
    /// Nothing is stored.
    Down,
    /// Everything is stored, and the answer is lost.
    Unanswered,
    /// Writes do not return until the mode changes.
    Blocked,
    /// Everything is refused for the configuration.
    Wrong,
    /// Summaries of this job are refused for the configuration.
    WrongFor(&'static str),
    /// Every third row fails, another one each time.
    Flaky,
    /// Every row of this series fails, all others work.
    FailsFor(u8),
    /// The store has a bug.
    Panics,
}

/// One write of a summary to the store, and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) id: Id,
    pub(crate) outcome: &'static str,
    /// Number of the writer's call it was part of, over all shards.
    pub(crate) call: u64,
}

/// A floor that was asked for, and by how many days it might move.
pub(crate) type FloorMove = (Day, Option<u32>);

/// Shard, consumer group, topic, its id, and partition.
type MarkKey = (usize, String, String, [u8; 16], u32);

fn mark_key(shard: usize, of: &SourcePartition) -> MarkKey {
    let SourcePartition { group, topic, topic_id, partition } = of;
    (shard, group.to_string(), topic.to_string(), *topic_id, partition.0)
}

/// What the database of a shard had at a moment.
#[derive(Clone, Default)]
pub(crate) struct Backup {
    rows: BTreeMap<(String, Vec<u8>), Provenance>,
    marks: BTreeMap<MarkKey, SettledMark>,
}

impl Backup {
    /// The only mark in it.
    pub(crate) fn mark(&self) -> SettledMark {
        let mut marks = self.marks.values();
        let mark = marks.next().expect("there is a mark");
        assert!(marks.next().is_none());
        *mark
    }
}

#[derive(Default)]
struct Model {
    modes: Vec<Mode>,
    poison: BTreeSet<u8>,
    expired: BTreeSet<u8>,
    rows: BTreeMap<(String, Vec<u8>), Provenance>,
    marks: BTreeMap<MarkKey, SettledMark>,
    written: Vec<Written>,
    asked: u64,
    calls: u64,
    days: Vec<(Day, Day)>,
    floors: Vec<FloorMove>,
}

/// The store. Series `n` belongs to shard `n` modulo their number.
pub(crate) struct ModelStore {
    name: &'static str,
    shards: u32,
    shared: Arc<Shared>,
}

struct Shared {
    model: Mutex<Model>,
    mode_changed: Condvar,
    bell: Bell,
}

impl ModelStore {
    pub(crate) fn new(name: &'static str, shards: u32, bell: Bell) -> Self {
        let model = Model { modes: vec![Mode::Works; shards as usize], ..Model::default() };
        let shared = Shared { model: Mutex::new(model), mode_changed: Condvar::new(), bell };
        Self { name, shards, shared: Arc::new(shared) }
    }

    pub(crate) fn set(&self, shard: u32, mode: Mode) {
        self.lock().modes[shard as usize] = mode;
        self.shared.mode_changed.notify_all();
        self.shared.bell.ring();
    }

    pub(crate) fn set_all(&self, mode: Mode) {
        (0..self.shards).for_each(|shard| self.set(shard, mode));
    }

    pub(crate) fn poison(&self, series: &[u8]) {
        self.lock().poison = series.iter().copied().collect();
    }

    pub(crate) fn expire(&self, series: &[u8]) {
        self.lock().expired = series.iter().copied().collect();
    }

    /// Returns what a shard has now.
    pub(crate) fn back_up(&self, shard: u32) -> Backup {
        let (model, number) = (self.lock(), self.shards);
        let rows = model.rows.iter().filter(|((_, key), _)| shard_of(key, number) == shard);
        let marks = model.marks.iter().filter(|(key, _)| key.0 == shard as usize);
        Backup {
            rows: rows.map(|(key, row)| (key.clone(), *row)).collect(),
            marks: marks.map(|(key, mark)| (key.clone(), *mark)).collect(),
        }
    }

    /// Gives a shard what it had before.
    pub(crate) fn restore(&self, shard: u32, backup: Backup) {
        let (mut model, number) = (self.lock(), self.shards);
        model.rows.retain(|(_, key), _| shard_of(key, number) != shard);
        model.marks.retain(|key, _| key.0 != shard as usize);
        model.rows.extend(backup.rows);
        model.marks.extend(backup.marks);
    }

    /// Returns all outcomes so far, in order.
    pub(crate) fn written(&self) -> Vec<Written> {
        self.lock().written.clone()
    }

    /// Returns the ids of the writes with an outcome.
    pub(crate) fn ids_of(&self, outcome: &str) -> Vec<Id> {
        self.lock().written.iter().filter(|it| it.outcome == outcome).map(|it| it.id).collect()
    }

    /// Returns the number of writer calls that have begun.
    pub(crate) fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Returns the stored revisions of one job by series.
    pub(crate) fn rows(&self, job: &str) -> BTreeMap<u8, u64> {
        let model = self.lock();
        let of_job = model.rows.iter().filter(|((of, _), _)| of == job);
        let row = |((_, key), provenance): (&(String, Vec<u8>), &Provenance)| {
            (SummaryKey::decode(key).unwrap().owner.0[0], provenance.last_offset)
        };
        of_job.map(row).collect()
    }

    /// Returns the days that were created, and the floors that were set.
    pub(crate) fn kept(&self) -> (Vec<(Day, Day)>, Vec<FloorMove>) {
        let model = self.lock();
        (model.days.clone(), model.floors.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Model> {
        self.shared.model.lock().unwrap()
    }

    fn unavailable(&self) -> Result<(), StoreError> {
        match self.lock().modes.contains(&Mode::Down) {
            true => {
                Err(StoreError::Unavailable { place: "s0".to_owned(), cause: Cause::new("down", "down") })
            }
            false => Ok(()),
        }
    }
}

impl SummaryStore for ModelStore {
    fn name(&self) -> &'static str {
        self.name
    }

    fn shards(&self) -> Vec<String> {
        (0..self.shards).map(|shard| format!("s{shard}")).collect()
    }

    fn shard_of(&self, key: &SummaryKey) -> Shard {
        Shard(shard_of_owner(key, self.shards))
    }

    fn writer(&self, shard: Shard) -> Box<dyn ShardWriter> {
        Box::new(ModelWriter { shard: shard.index(), shared: Arc::clone(&self.shared) })
    }

    fn marks(&self, of: &[SourcePartition]) -> Vec<Result<Vec<Option<SettledMark>>, StoreError>> {
        let model = self.lock();
        let of_shard = |shard: usize| match model.modes[shard] {
            Mode::Down => {
                Err(StoreError::Unavailable { place: format!("s{shard}"), cause: Cause::new("down", "down") })
            }
            _ => Ok(of.iter().map(|of| model.marks.get(&mark_key(shard, of)).copied()).collect()),
        };
        (0..self.shards as usize).map(of_shard).collect()
    }

    fn range(&self, _: &str, _: Option<Owner>, _: i64, _: i64) -> Result<Rows, StoreError> {
        Ok(Rows { rows: Vec::new(), floor: Day::MIN })
    }

    fn top_owners(&self, _: &str, _: i64, _: usize) -> Result<Vec<OwnerCount>, StoreError> {
        Ok(Vec::new())
    }

    fn create_days(&self, _: &[&str], first: Day, last: Day) -> Result<(), StoreError> {
        self.lock().days.push((first, last));
        self.shared.bell.ring();
        self.unavailable()
    }

    fn drop_days_below(&self, floor: Day, days_max: Option<u32>) -> Result<Vec<Day>, StoreError> {
        self.lock().floors.push((floor, days_max));
        self.shared.bell.ring();
        self.unavailable().map(|()| vec![floor.plus(-1)])
    }
}

fn shard_of_owner(key: &SummaryKey, shards: u32) -> u32 {
    u32::from(key.owner.0[0]) % shards
}

fn shard_of(key: &[u8], shards: u32) -> u32 {
    shard_of_owner(&SummaryKey::decode(key).unwrap(), shards)
}

struct ModelWriter {
    shard: usize,
    shared: Arc<Shared>,
}

impl ShardWriter for ModelWriter {
    fn write_and_settle(&mut self, batch: &[Summary<'_>], settling: &[Settling]) -> WrittenBatch {
        let mut model = self.shared.model.lock().unwrap();
        model.calls += 1;
        let call = model.calls;
        self.shared.bell.ring();
        while model.modes[self.shard] == Mode::Blocked {
            model = self.shared.mode_changed.wait(model).unwrap();
        }
        if model.modes[self.shard] == Mode::Panics {
            drop(model);
            panic!("as planned");
        }
        let is_unanswered = model.modes[self.shard] == Mode::Unanswered;
        let outcomes = batch.iter().map(|summary| {
            let mut outcome = model.write(self.shard, summary);
            if is_unanswered {
                outcome = Outcome::Retryable(Cause::new("cut", "the connection was cut"));
            }
            let id = (summary.parts.owner.0[0], summary.provenance.last_offset);
            model.written.push(Written { id, outcome: outcome.name(), call });
            outcome
        });
        let outcomes: Vec<Outcome> = outcomes.collect();
        // A transaction that stores nothing is not there.
        let is_written = is_unanswered || outcomes.iter().any(Outcome::is_settled);
        let marks = settling.iter().map(|it| {
            let marked = if is_written { model.settle(self.shard, it) } else { Marked::Unknown };
            if is_unanswered { Marked::Unknown } else { marked }
        });
        let marks = marks.collect();
        drop(model);
        self.shared.bell.ring();
        WrittenBatch { outcomes, marks, is_in_doubt: is_unanswered }
    }
}

impl Model {
    fn settle(&mut self, shard: usize, settling: &Settling) -> Marked {
        let marked = Marked::after(settling, self.marks.get(&mark_key(shard, &settling.source)).copied());
        if let Marked::At(mark) = marked {
            self.marks.insert(mark_key(shard, &settling.source), mark);
        }
        marked
    }

    fn write(&mut self, shard: usize, summary: &Summary<'_>) -> Outcome {
        self.asked += 1;
        let series = summary.parts.owner.0[0];
        let is_wrong = match self.modes[shard] {
            Mode::Down => return Outcome::Retryable(Cause::new("down", "down")),
            Mode::Flaky if self.asked.is_multiple_of(3) => {
                return Outcome::Retryable(Cause::new("flaky", "flaky"));
            }
            Mode::FailsFor(failing) if failing == series => {
                return Outcome::Retryable(Cause::new("locked", "locked"));
            }
            Mode::Wrong => true,
            Mode::WrongFor(job) => job == summary.job,
            Mode::Works
            | Mode::Unanswered
            | Mode::Blocked
            | Mode::Panics
            | Mode::Flaky
            | Mode::FailsFor(_) => false,
        };
        if is_wrong {
            return Outcome::Misconfigured(Cause::new("wrong-password", "wrong password"));
        }
        if self.poison.contains(&series) {
            return Outcome::Poison(Cause::new("poison", "poison"));
        }
        if self.expired.contains(&series) {
            return Outcome::Expired;
        }
        let row = (summary.job.to_owned(), summary.key.to_vec());
        match self.rows.get(&row) {
            Some(there) if there.revision() >= summary.revision() => Outcome::Stale,
            _ => {
                self.rows.insert(row, summary.provenance);
                Outcome::Stored
            }
        }
    }
}
