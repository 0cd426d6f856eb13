//! Cuts a failing run down: fewer operations, then fewer measurements, then fewer faults.

use crate::config::Config;
use crate::failure::Property;
use crate::generate::generate;
use crate::mutants::{Mutant, PRODUCTION};
use crate::ops::{Fault, Op};
use crate::regression::Regression;
use crate::run::run_ops;

/// Runs after which shrinking ends, whatever is left.
const RUNS_MAX: u32 = 6_000;

/// Shrinks the run of a seed to the operations that break the first promise it breaks, or the one that the mutant
/// is to break. `None` if it breaks none.
#[must_use]
pub fn shrink(seed: u64, mutant: &Mutant) -> Option<Regression> {
    let (config, ops) = generate(seed);
    let failures = run_ops(&config, &ops, mutant).failures;
    let expected = failures.iter().find(|failure| failure.property == mutant.killed_by);
    let property = expected.or_else(|| failures.first())?.property;
    let is_of_production = !run_ops(&config, &ops, &PRODUCTION).failures.is_empty();
    let mut shrinking = Shrinking { config, mutant, property, is_of_production, ops, runs: 0 };
    shrinking.shrink();
    let Shrinking { config, ops, .. } = shrinking;
    Some(Regression { seed, mutant: mutant.name.to_owned(), property, config, ops })
}

struct Shrinking<'m> {
    config: Config,
    mutant: &'m Mutant,
    property: Property,
    /// Whether production itself is at fault.
    is_of_production: bool,
    ops: Vec<Op>,
    runs: u32,
}

impl Shrinking<'_> {
    fn shrink(&mut self) {
        loop {
            let before = self.ops.clone();
            self.remove_chunks();
            self.simplify_each(fewer_measurements);
            self.simplify_each(fewer_faults);
            if self.ops == before || self.runs >= RUNS_MAX {
                return;
            }
        }
    }

    /// Keeps the list if the promise is still broken under it.
    fn keep_if_failing(&mut self, ops: Vec<Op>) -> bool {
        if self.runs >= RUNS_MAX {
            return false;
        }
        self.runs += 1;
        let outcome = run_ops(&self.config, &ops, self.mutant);
        let is_broken = outcome.failures.iter().any(|failure| failure.property == self.property);
        // What production breaks as well is not the mutant's doing: a calm run, say, that was cut into haste.
        let is_kept = is_broken && (self.is_of_production || self.holds_in_production(&ops));
        if is_kept {
            self.ops = ops;
        }
        is_kept
    }

    fn holds_in_production(&self, ops: &[Op]) -> bool {
        run_ops(&self.config, ops, &PRODUCTION).failures.is_empty()
    }

    /// Delta debugging (Zeller and Hildebrandt, 2002): leaves out ever smaller pieces.
    fn remove_chunks(&mut self) {
        let mut size = self.ops.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < self.ops.len() {
                let to = self.ops.len().min(from + size);
                let rest = [&self.ops[..from], &self.ops[to..]].concat();
                if !self.keep_if_failing(rest) {
                    from = to;
                }
            }
            size /= 2;
        }
    }

    /// Replaces operations one by one by each simpler form there is.
    fn simplify_each(&mut self, simpler: fn(&Op) -> Vec<Op>) {
        for index in 0..self.ops.len() {
            while simpler(&self.ops[index]).into_iter().any(|op| {
                let mut ops = self.ops.clone();
                ops[index] = op;
                self.keep_if_failing(ops)
            }) {}
        }
    }
}

fn fewer_measurements(op: &Op) -> Vec<Op> {
    let Op::Frame { frame, owners, node, measurements } = op else { return Vec::new() };
    let without = |index: usize| {
        let mut measurements = measurements.clone();
        measurements.remove(index);
        Op::Frame { frame: *frame, owners: *owners, node: *node, measurements }
    };
    (0..measurements.len()).map(without).collect()
}

fn fewer_faults(op: &Op) -> Vec<Op> {
    match *op {
        Op::Step { process, slot, records, fault } if fault != Fault::None => {
            vec![Op::Step { process, slot, records, fault: Fault::None }]
        }
        Op::Sink { sink, records, is_reversed, crashes } if is_reversed || crashes => {
            vec![Op::Sink { sink, records, is_reversed: false, crashes: false }]
        }
        _ => Vec::new(),
    }
}
