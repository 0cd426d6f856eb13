//! The test kit of job authors: a job in a small world that can crash, without a broker and without waiting.
//!
//! [`Bench`] feeds records to the production core, writes what it emits and loses what a crash would lose.
//! [`crash_everywhere`] repeats a recording with a crash after every single write. [`check_job`] holds a job to the
//! laws that the promises need of it.
//!
//! It is a development dependency: the job itself is written against the facade `yahtzee`.

mod bench;
mod check;
mod crash;
mod partition;
mod record_value;
#[cfg(test)]
mod tests;

pub use bench::{Bench, START_US, SeriesWindow};
pub use check::check_job;
pub use crash::{RecordingStep, crash_everywhere};
pub use record_value::{RawBytes, RecordValue};
