//! The real `yahtzee` command, as processes: started, killed, started again, and given wrong input.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod accepted;
mod bad_input;
mod broker_away;
mod clocks;
mod database;
mod demo;
mod documents;
mod full_disk;
mod json_forms;
mod kafka;
mod operators;
mod pipes;
mod policies;
mod postgres;
mod recordings;
mod support;
mod tenants;
mod waiting;
