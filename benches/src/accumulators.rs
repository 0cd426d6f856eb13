//! What the accumulators take, cost and err by.

mod errors;
mod memory;
mod speed;

use crate::sheet::Bench;

/// All cases, in the order of the table.
pub(crate) const BENCHES: &[Bench] = &[
    Bench::steady("accumulators/state-100k", |setting| memory::state(memory::Mix::tail_100k(setting.scale))),
    Bench::steady("accumulators/state-1m", |setting| memory::state(memory::Mix::tail_1m(setting.scale))),
    Bench::steady("accumulators/distribution-100k", |setting| {
        memory::distribution(memory::Mix::tail_100k(setting.scale))
    }),
    Bench::steady("accumulators/distribution-1m", |setting| {
        memory::distribution(memory::Mix::tail_1m(setting.scale))
    }),
    Bench::timed("accumulators/update", speed::update),
    Bench::timed("accumulators/merge", speed::merge),
    Bench::timed("accumulators/quantiles", speed::quantiles),
    Bench::steady("accumulators/error", errors::errors),
];
