//! Many seeds on several threads. A world itself knows but one.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::mutants::Mutant;
use crate::rng::mix;
use crate::run::{Outcome, run_seed, run_twice};

/// Seeds that a thread takes at once.
const CHUNK: u64 = 64;
/// One in so many seeds is run twice.
const TWICE_EVERY: u64 = 64;
/// Failed outcomes that are kept whole.
const KEPT_MAX: usize = 20;

/// Which seeds to run, and how.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// First seed.
    pub from: u64,
    /// Number of seeds; they follow each other.
    pub seeds: u64,
    /// Threads; 0 is taken for 1.
    pub threads: usize,
    /// The mistake that is built in, or [`crate::PRODUCTION`].
    pub mutant: Mutant,
}

/// What has become of the seeds run so far.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Seeds run.
    pub seeds: u64,
    /// Processes killed.
    pub crashes: u64,
    /// Batches taken by processes whose slot someone else had taken over.
    pub zombies: u64,
    /// Records folded, replays included.
    pub records: u64,
    /// Seeds with a broken promise.
    pub failed: u64,
    /// The first of them, by seed.
    pub failures: Vec<Outcome>,
    /// Hash of all traces, whatever order the threads took.
    pub trace_hash: u64,
}

impl Campaign {
    /// Runs all seeds. `progress` is called after every chunk, from any of the threads.
    ///
    /// # Panics
    /// Where a world panics; the seed is in the message of the thread.
    #[must_use]
    pub fn run(&self, progress: &(dyn Fn(&Totals) + Sync)) -> Totals {
        let next = AtomicU64::new(0);
        let totals = Mutex::new(Totals::default());
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| self.work(&next, &totals, progress));
            }
        });
        totals.into_inner().expect("a panic of a thread has ended the scope")
    }

    fn work(&self, next: &AtomicU64, totals: &Mutex<Totals>, progress: &(dyn Fn(&Totals) + Sync)) {
        loop {
            let first = next.fetch_add(CHUNK, Ordering::Relaxed);
            if first >= self.seeds {
                return;
            }
            let chunk = first..self.seeds.min(first + CHUNK);
            let outcomes: Vec<Outcome> = chunk.map(|index| self.run_one(index)).collect();
            let mut totals = totals.lock().expect("a panic of a thread ends the scope");
            outcomes.into_iter().for_each(|outcome| totals.add(outcome));
            progress(&totals);
        }
    }

    fn run_one(&self, index: u64) -> Outcome {
        let seed = self.from.wrapping_add(index);
        if index.is_multiple_of(TWICE_EVERY) {
            run_twice(seed, &self.mutant)
        } else {
            run_seed(seed, &self.mutant)
        }
    }
}

impl Totals {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.crashes += outcome.crashes;
        self.zombies += outcome.zombies;
        self.records += outcome.records;
        self.trace_hash = self.trace_hash.wrapping_add(mix(outcome.trace_hash ^ outcome.seed));
        if !outcome.failures.is_empty() {
            self.failed += 1;
            self.failures.push(outcome);
            self.failures.sort_by_key(|outcome| outcome.seed);
            self.failures.truncate(KEPT_MAX);
        }
    }
}

/// The first of the seeds with which a mutant is noticed by the property that must notice it.
#[must_use]
pub fn first_kill(mutant: &Mutant, mut seeds: Range<u64>) -> Option<u64> {
    seeds.find(|&seed| is_killed(mutant, seed))
}

/// In how many seeds a mutant is noticed by the property that must notice it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kills {
    /// Number of these seeds.
    pub seeds: u64,
    /// The first of them.
    pub first: Option<u64>,
}

/// Runs all seeds with a mutant, on so many threads.
///
/// # Panics
/// Where a world panics; the seed is in the message of the thread.
#[must_use]
pub fn kills(mutant: &Mutant, seeds: Range<u64>, threads: usize) -> Kills {
    let (next, kills) = (AtomicU64::new(seeds.start), Mutex::new(Kills::default()));
    let work = || {
        while let seed = next.fetch_add(1, Ordering::Relaxed)
            && seed < seeds.end
        {
            if is_killed(mutant, seed) {
                let mut kills = kills.lock().expect("a panic of a thread ends the scope");
                let first = kills.first.map_or(seed, |first| first.min(seed));
                *kills = Kills { seeds: kills.seeds + 1, first: Some(first) };
            }
        }
    };
    std::thread::scope(|scope| (0..threads.max(1)).for_each(|_| drop(scope.spawn(work))));
    kills.into_inner().expect("a panic of a thread has ended the scope")
}

fn is_killed(mutant: &Mutant, seed: u64) -> bool {
    run_seed(seed, mutant).failures.iter().any(|failure| failure.property == mutant.killed_by)
}
