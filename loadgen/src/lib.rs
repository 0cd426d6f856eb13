//! Traffic generated from a seed: for the demo, the benches and chaos.
//!
//! Shared parts are the randomness ([`rng`]), the distribution of load over apps ([`zipf`]), the apps of raw records
//! ([`apps`]) and their requests. Three kinds of traffic are built from them, for different readers:
//!
//! | module | makes | for |
//! |---|---|---|
//! | [`drain`] | the log lines of a fleet with dynos, deploys and incidents, in Logplex frames | the demo: everything that ingress parses |
//! | [`steady`], [`population`] | well-formed raw records, cheap to make, the same from version to version | benches: figures that can be compared |
//! | [`hostile`] | raw records that come late, early, twice, with clocks that disagree, or unreadable | chaos: every rule of the core is needed |
//!
//! Nothing here reads a clock or writes anywhere.

pub mod apps;
pub mod drain;
pub mod hostile;
pub mod population;
pub mod rng;
pub mod steady;
pub mod zipf;

pub use rng::Rng;
