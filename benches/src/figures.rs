//! Figures with goals: what an accumulator takes and errs by, what a store and the processes before it cost. The lists
//! of cases are in `accumulators.rs` and `store.rs`.

mod command;
mod table;
#[cfg(test)]
mod tests;

pub use command::Command;

use crate::sheet::Bench;

/// All cases.
pub fn all() -> impl Iterator<Item = Bench> {
    crate::accumulators::BENCHES.iter().chain(crate::store::BENCHES).copied()
}
