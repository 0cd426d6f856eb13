//! What a stored summary costs: in the stores, in the sink before them, in the retry process after an outage.

mod delivery;
mod embedded;
mod postgres;
mod prepared;
mod server;

use crate::sheet::Bench;

/// Summaries per write, as the sink writes them.
const BATCH: usize = 1_024;

/// All cases, in the order of the table.
pub(crate) const BENCHES: &[Bench] = &[
    Bench::timed("store/postgres-new", postgres::new).on_postgres(),
    Bench::timed("store/postgres-newer", postgres::newer).on_postgres(),
    Bench::timed("store/postgres-stale", postgres::stale).on_postgres(),
    Bench::timed("store/postgres-copy", postgres::copy).on_postgres(),
    Bench::timed("store/postgres-single", postgres::single).on_postgres(),
    Bench::timed("store/embedded", embedded::write),
    Bench::timed("sink/embedded", delivery::sink_embedded),
    Bench::timed("sink/postgres", delivery::sink_postgres).on_postgres(),
    Bench::timed("retry/drain", delivery::drain).on_postgres(),
];
