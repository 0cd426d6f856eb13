//! The shell around [`yahtzee_core`]: it executes the core's effects against a log and owns every thread,
//! socket and clock.

pub mod admin;
pub mod back_off;
pub mod cause;
pub mod clock;
pub mod config;
pub mod fjall_folder;
pub mod health;
pub mod log;
pub mod metric_names;
pub mod output;
pub mod process;
pub mod replay;
pub mod shutdown;
pub mod standstill;
pub mod telemetry;
pub mod threads;
pub mod topics;
pub mod utc;
pub mod worker;
