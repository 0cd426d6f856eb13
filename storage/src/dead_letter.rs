//! The RETRY and QUARANTINE topics: what their records look like, and what operators do with them.

pub mod headers;
pub mod quarantine;
pub(crate) mod records;
pub mod retry_list;
