//! Traffic that a seed decides, for everything that needs some: the demo, the benches and chaos.
//!
//! What is common stands once: the randomness ([`rng`]), how busy which app is ([`zipf`]), the apps of raw records
//! ([`apps`]) and their requests. Three kinds of traffic are made of it, because they are for different readers:
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
