//! Real services: the log on one folder and on a broker behind the same properties, and databases.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod conformance;
mod embedded;
mod environment;
mod kafka;
mod kafka_guarantees;
mod kafka_hanging;
mod kafka_setup;
mod postgres_setup;
mod postgres_store;
mod stores;
mod worker;
