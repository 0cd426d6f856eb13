//! Stores for summaries: one file each, with its write side, its read side and its retention. And the sink that
//! carries summaries from the log into a store.

pub mod day;
pub mod embedded;
pub mod incoming;
pub mod postgres;
pub mod sink;
pub mod store;
