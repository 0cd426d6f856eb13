//! Real services behind the same properties: the log on one folder, and on a broker.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod conformance;
mod embedded;
mod kafka;
mod kafka_guarantees;
mod kafka_setup;
mod postgres_store;
mod worker;
