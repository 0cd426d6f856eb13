//! Stores for summaries: one file each, with its write side, its read side and its retention. And the sink that
//! carries summaries from the log into a store.

pub mod embedded;
pub mod sink;
