//! Figures with goals: what an accumulator takes and errs by, what it costs to read a value, what a store and the processes before it cost. The lists
//! of cases are in `accumulators.rs`, `readers.rs` and `store.rs`.

mod command;
mod table;
#[cfg(test)]
mod tests;

pub use command::Command;

use crate::sheet::Bench;

/// All cases.
pub fn all() -> impl Iterator<Item = Bench> {
    let suites = [crate::accumulators::BENCHES, crate::readers::BENCHES, crate::store::BENCHES];
    suites.into_iter().flatten().copied()
}
