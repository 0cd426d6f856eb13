//! Stores for summaries: one file each, with its write side, its read side and its retention. And what fills them:
//! the sink, the retry process behind it, the quarantine, and the retention of days.

mod breaker;
pub mod dead_letter;
pub mod embedded;
pub mod job_topics;
pub mod postgres;
pub mod retention;
pub mod retry;
mod scan;
pub mod sink;
pub mod store;
#[cfg(test)]
mod test_world;
mod tracker;
