//! A reader of the store: looks at all rows again and again, and may never see one go back or vanish.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use yahtzee_core::owner::Partition;
use yahtzee_core::summary::Revision;

use crate::policy::PARTITIONS;
use crate::postgres::{Database, Session};
use crate::rows::{self, StoredRow};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(300);
/// Rows that went back and are reported in words.
const REPORTED_MAX: u64 = 5;

/// A reader at work.
pub(crate) struct StoreReader {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What was seen so far.
pub(crate) struct Seen {
    /// By number of the shard: the rows at the last look, by key.
    shards: Vec<HashMap<Vec<u8>, Revision>>,
    /// Rows that were seen with an older revision than before, or not any more.
    pub(crate) went_back: u64,
    pub(crate) sightings: Vec<Sighting>,
}

/// A raw record that was seen in a row, as the last one folded in.
pub(crate) struct Sighting {
    pub(crate) shard: usize,
    pub(crate) partition: Partition,
    pub(crate) offset: u64,
    pub(crate) at: Instant,
}

impl StoreReader {
    /// Begins to look at these shards.
    pub(crate) fn start(shards: &[Database]) -> Result<Self> {
        let none = || (0..shards.len()).map(|_| HashMap::new()).collect();
        let seen = Arc::new(Mutex::new(Seen { shards: none(), went_back: 0, sightings: Vec::new() }));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("store-reader".to_owned()).spawn({
            let (seen, stop, shards) = (Arc::clone(&seen), Arc::clone(&stop), shards.to_vec());
            move || look(&shards, &seen, &stop)
        })?;
        Ok(Self { seen, stop, thread: Some(thread) })
    }

    /// What was seen so far. Keeps the thread waiting.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes rows away on purpose: what was seen before is forgotten.
    pub(crate) fn forget_after(&self, act: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut seen = self.seen();
        act()?;
        seen.shards.iter_mut().for_each(HashMap::clear);
        Ok(())
    }
}

impl Drop for StoreReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("chaos: the reader of the store has panicked: what it saw is not to be trusted");
        }
    }
}

impl Seen {
    /// The revision of a row at the last look.
    pub(crate) fn revision(&self, shard: usize, key: &[u8]) -> Option<Revision> {
        self.shards[shard].get(key).copied()
    }

    fn compare(&mut self, shard: usize, rows: &[StoredRow], at: Instant) {
        let mut before = std::mem::take(&mut self.shards[shard]);
        let mut now = HashMap::with_capacity(rows.len());
        for row in rows {
            let key = row.key.encode();
            let old = before.remove(&key);
            if old.is_some_and(|old| old > row.revision) {
                self.tell(shard, &format!("{:?} went from {old:?} to {:?}", row.key, row.revision));
            }
            if old.is_none_or(|old| old.last_offset < row.revision.last_offset) {
                let partition = row.key.owner.partition(PARTITIONS);
                self.sightings.push(Sighting { shard, partition, offset: row.revision.last_offset.0, at });
            }
            now.insert(key, row.revision);
        }
        for revision in before.into_values() {
            self.tell(shard, &format!("a row of {revision:?} has vanished"));
        }
        self.shards[shard] = now;
    }

    fn tell(&mut self, shard: usize, what: &str) {
        self.went_back += 1;
        if self.went_back <= REPORTED_MAX {
            eprintln!("chaos: in shard s{shard} {what}");
        }
    }
}

/// A shard that does not answer is looked at the next time.
fn look(shards: &[Database], seen: &Mutex<Seen>, stop: &AtomicBool) {
    let mut sessions: Vec<Option<Session>> = shards.iter().map(|_| None).collect();
    while !stop.load(Ordering::Relaxed) {
        for (number, session) in sessions.iter_mut().enumerate() {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match read(&shards[number], session) {
                Ok(rows) => seen.compare(number, &rows, Instant::now()),
                Err(_) => *session = None,
            }
        }
        std::thread::sleep(PAUSE);
    }
}

fn read(shard: &Database, session: &mut Option<Session>) -> Result<Vec<StoredRow>> {
    let session = match session {
        Some(session) => session,
        none => none.insert(shard.session()?),
    };
    rows::read(session, false)
}

#[cfg(test)]
mod tests {
    use yahtzee_core::owner::Owner;
    use yahtzee_core::record::Offset;
    use yahtzee_core::summary::SummaryKey;

    use super::*;

    fn row(series: u8, last_offset: u64) -> StoredRow {
        let key = SummaryKey {
            owner: Owner([series; 16]),
            dimensions: vec!["web".to_owned()],
            window_start_ms: 0,
            window_length_ms: 1_000,
        };
        let revision = Revision { generation: 1, last_offset: Offset(last_offset), is_final: false };
        StoredRow { key, revision, is_broken: false, value: Vec::new() }
    }

    /// Shows rows `(series, last offset)` look by look, and counts what went back and what was new.
    fn check(looks: &[&[(u8, u64)]], expected: (u64, usize)) {
        let mut seen = Seen { shards: vec![HashMap::new()], went_back: 0, sightings: Vec::new() };
        for look in looks {
            let rows: Vec<StoredRow> = look.iter().map(|&(series, offset)| row(series, offset)).collect();
            seen.compare(0, &rows, Instant::now());
        }
        assert_eq!((seen.went_back, seen.sightings.len()), expected, "{looks:?}");
    }

    #[test]
    fn rows_that_go_back_or_vanish_are_counted() {
        check(&[&[(1, 5)], &[(1, 5), (2, 3)], &[(1, 7), (2, 3)]], (0, 3));
        check(&[&[(1, 5)], &[(1, 4)]], (1, 1));
        check(&[&[(1, 5), (2, 3)], &[(1, 5)]], (1, 2));
    }
}
