//! The pure heart of Yahtzee.
//!
//! No I/O, no clock, no randomness, no threads: a [`partition::PartitionCore`] is handed records, ticks and
//! acknowledgements and returns effects. The same input gives the same bytes on every machine and every day,
//! which is why the state can be the log.
//!
//! ```text
//!  raw log ──▶ record ──▶ window ──▶ summary ──▶ (log acknowledges) ──▶ commit
//! ```

// No module uses one of a later group.
mod byte_reader;
mod crc32c;

pub mod accumulate;
pub mod assignment;
pub mod logfmt;
pub mod owner;
pub mod window;
pub mod wire;

pub mod incomplete;
pub mod log_tail;
pub mod lost_tail;
pub mod record;

pub mod effect;
pub mod rules;
pub mod series;
pub mod summary;

pub mod commit;
pub mod delivery;
mod fold;

// What a developer writes, what runs it on one partition, and both without their types.
pub mod job;

pub mod partition;

pub mod erased;

// What a worker does with several partitions.
pub mod slot;
