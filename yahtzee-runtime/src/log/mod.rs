//! The log seam: all that Yahtzee needs of a durable, partitioned log, and nothing else.
//!
//! The set of operations is small and closed; the set of implementations is open: the interface names none of them,
//! and whatever passes the conformance suite (`tests/services/conformance.rs`) is a log. The product has two,
//! [`embedded`] (one folder, in process) and `kafka` (behind the feature of that name); tests put others behind or in front of them.
//!
//! | file | subject |
//! |---|---|
//! | `interface` | the traits: log, reader, appender, slot writer |
//! | `record`, `header`, `topic` | what is written, committed and created |
//! | `batch`, `page` | what a poll lends |
//! | `scan`, `moving`, `require` | what is often asked of any log: a topic from here to there, or piece by piece; a topic that is as configured |
//! | `error` | what can go wrong |
//!
//! All calls block but [`Appender::append`], which async code may call. A reader and a slot writer belong to one
//! thread each; a [`Log`] and an [`Appender`] are shared.

mod batch;
pub mod embedded;
mod error;
mod header;
mod interface;
#[cfg(feature = "kafka")]
pub mod kafka;
mod moving;
mod page;
mod record;
mod require;
pub mod scan;
mod topic;

/// Kinds of log that this build can open, as configuration names them.
pub const KINDS: &[&str] = if cfg!(feature = "kafka") { &["embedded", "kafka"] } else { &["embedded"] };

pub use batch::Batch;
pub use error::{GROUP_MOVING, LogError, TIMESTAMP_AHEAD};
pub use header::{Header, HeaderSource, Headers};
pub use interface::{
    Acknowledged, AppendCallback, Appender, Log, LogReader, SharedLog, SlotWriter, Transaction,
};
pub use moving::MovingReader;
pub use page::{Page, PageItems};
pub use record::{Bounds, CommittedOffset, Isolation, Item, NewRecord, OffsetCommit, SlotName};
pub use require::require_topic;
pub use topic::{Cleanup, TopicDescription, TopicSpec};
