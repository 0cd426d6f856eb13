//! Stores for summaries, and the tasks that fill them.
//!
//! | folder | subject |
//! |---|---|
//! | `store` | the interface of all stores: summaries, days, outcomes |
//! | `postgres`, `embedded` | the stores: write side, read side, retention |
//! | `delivery` | sink and retry process: one task that carries summaries out of the log into shards |
//! | `dead_letter` | the RETRY and QUARANTINE topics |
//! | `retention` | the task that creates days ahead of time and drops old ones |

pub mod config;
pub mod dead_letter;
pub mod delivery;
pub mod embedded;
pub mod job_topics;
pub mod metric_names;
pub mod postgres;
pub mod retention;
pub mod store;
#[cfg(test)]
mod test_world;
