//! A seeded world around the production core.
//!
//! One thread, one clock, one source of randomness: a seed is turned into a configuration and a list of operations
//! ([`mod@generate`]), the operations are applied to a world of logs, a broker, workers and sinks ([`world`]), and
//! what happened is held against the truth, a batch fold of the raw log ([`oracle`]), by one checker per promise
//! ([`checkers`]). The core in it is the one that runs in production; [`mutants()`] replace single rules of it, or of
//! the shell around it, by mistakes that the checkers must notice.

// From a seed to operations.
mod config;
mod generate;
mod ops;
mod rng;

// The world.
mod broker;
mod delivery;
mod ingress;
mod job;
mod raw;
mod settle;
mod shell;
mod slot;
mod trace;
mod watch;
mod world;

// What must hold.
mod checkers;
mod failure;
mod mutants;
mod oracle;

// Many runs, and what is kept of one that failed.
mod campaign;
mod exhaustive;
mod regression;
mod run;
mod shrink;

pub use campaign::{Campaign, Kills, Totals, first_kill, kills};
pub use exhaustive::{Counterexample, check_small_scope};
pub use failure::{Failure, Property};
pub use mutants::{Mutant, PRODUCTION, mutants};
pub use regression::{Regression, UnreadableRegression};
pub use run::{Outcome, run_seed, run_twice};
pub use shrink::shrink;
