//! Stores for summaries: one file each, with its write side, its read side and its retention. And what fills them:
//! the sink, the retry process behind it, the quarantine, and the keeper of days.

mod breaker;
mod carried;
pub mod day;
pub mod embedded;
pub mod incoming;
pub mod job_topics;
pub mod keeper;
mod letters;
pub mod postgres;
pub mod quarantine;
pub mod retry;
mod scan;
pub mod sink;
pub mod store;
#[cfg(test)]
mod test_world;
mod tracker;
pub mod trail;
