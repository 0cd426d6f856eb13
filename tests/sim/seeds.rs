//! Production, under many seeds: the same ones in every run, so that an unrelated change never turns red. Fresh ones are
//! the matter of `cargo xtask simulate`.

use yahtzee_sim::{Campaign, PRODUCTION, Totals, run_twice};

use crate::threads;

const SEEDS: u64 = 20_000;
/// Far from the seeds that kill the mutants.
const FROM: u64 = 1_000_000;

/// Everything else rests on it: one seed is one run.
#[test]
fn a_seed_gives_the_same_run_twice_and_another_seed_another_run() {
    let outcomes: Vec<_> = (1..=200).map(|seed| run_twice(seed, &PRODUCTION)).collect();
    for outcome in &outcomes {
        assert_eq!(outcome.failures, [], "seed {}", outcome.seed);
    }
    let mut hashes: Vec<u64> = outcomes.iter().map(|outcome| outcome.trace_hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), outcomes.len());
}

#[test]
fn no_seed_breaks_a_promise() {
    assert_holds(FROM, SEEDS);
}

/// Runs the seeds and wants crashes and zombies in them, but no broken promise.
pub(crate) fn assert_holds(from: u64, seeds: u64) {
    let campaign = Campaign { from, seeds, threads: threads(), mutant: PRODUCTION };
    let Totals { crashes, zombies, failed, failures, .. } = campaign.run(&|_| {});
    assert_eq!(failed, 0, "seeds from {from}: {failures:#?}");
    assert!(crashes > seeds && zombies > seeds, "{crashes} crashes, {zombies} zombies: too quiet a world");
}
