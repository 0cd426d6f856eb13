//! One run: operations in, findings out.

use crate::checkers::{Evidence, check_all, p07_isolation, p14_interleaving};
use crate::config::Config;
use crate::failure::{Failure, Findings, Property};
use crate::generate::generate;
use crate::mutants::Mutant;
use crate::ops::Op;
use crate::world::World;

/// What became of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Where it came from; 0 for a regression.
    pub seed: u64,
    /// Hash of everything that happened.
    pub trace_hash: u64,
    /// Processes killed.
    pub crashes: u64,
    /// Batches taken by processes whose slot someone else had taken over.
    pub zombies: u64,
    /// Records folded, replays included.
    pub records: u64,
    /// Broken promises.
    pub failures: Vec<Failure>,
}

/// Runs a seed under a mutant, or under [`crate::PRODUCTION`].
#[must_use]
pub fn run_seed(seed: u64, mutant: &Mutant) -> Outcome {
    let (config, ops) = generate(seed);
    Outcome { seed, ..run_ops(&config, &ops, mutant) }
}

/// Runs a list of operations, lets the world settle and asks the checkers.
pub(crate) fn run_ops(config: &Config, ops: &[Op], mutant: &Mutant) -> Outcome {
    let mut world = World::new(*config, mutant);
    ops.iter().for_each(|op| world.apply(op));
    let crashes = world.watch.crashes;
    world.settle();
    let at_rest = world.deliveries.stores[0].clone();
    world.close_windows();
    let mut failures = check_all(&Evidence::of(&world, at_rest));
    let mut findings = Findings::default();
    if config.checks_twice == 1 {
        p07_isolation::check(config, ops, mutant, &mut findings);
        p14_interleaving::check(config, &world.logs, mutant, &mut findings);
    }
    failures.append(&mut findings.failures);
    let (zombies, records) = (world.watch.zombies, world.watch.records);
    Outcome { seed: 0, trace_hash: world.trace_hash(), crashes, zombies, records, failures }
}

/// P12: runs a seed twice and compares. The findings of the first run, and one more if the second differs.
#[must_use]
pub fn run_twice(seed: u64, mutant: &Mutant) -> Outcome {
    let (mut first, second) = (run_seed(seed, mutant), run_seed(seed, mutant));
    if first != second {
        let what = format!("trace hash {:016x}, then {:016x}", first.trace_hash, second.trace_hash);
        first.failures.push(Failure { property: Property::Determinism, what });
    }
    first
}
