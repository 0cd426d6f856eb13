//! The pure heart of Yahtzee.
//!
//! No I/O, no clock, no randomness, no threads: a [`partition::PartitionCore`] is handed records, ticks and
//! acknowledgements and returns effects. The same input gives the same bytes on every machine and every day,
//! which is why the state can be the log.
//!
//! ```text
//!  raw log ──▶ record ──▶ window ──▶ summary ──▶ (log acknowledges) ──▶ commit
//! ```

// In the order of the flow.
pub mod commit;
pub mod effect;
pub mod record;
pub mod summary;
pub mod window;

// What ties the four together, and what it is tied to.
pub mod accumulate;
pub mod assignment;
pub mod incomplete;
pub mod job;
pub mod owner;
pub mod partition;
pub mod rules;
pub mod slot;
pub mod wire;
