//! The RETRY and QUARANTINE topics: what their records look like, and what operators do with them.

mod failure_groups;
pub mod headers;
pub mod quarantine;
pub(crate) mod records;
pub mod retry_list;

pub use failure_groups::{FailureGroup, FailureTally};
