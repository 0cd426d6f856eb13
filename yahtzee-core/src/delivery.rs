//! Delivery of summaries: what a task that carries them into a store has to remember and to decide.
//!
//! Sans-I/O: no locks, no clock, no randomness. A task reads a **source** (a summary topic, or RETRY), hands what it
//! read to the queue of a **shard**, writes batches, and reports what became of them. Time is handed in as the time
//! since any fixed moment; randomness as a word. Sink and retry process differ in a [`QueuePolicy`] and in nothing
//! else here.
//!
//! ```text
//! source ── take ──▶ ticket ── offer ──▶ ShardQueue ── next ──▶ batch ── finish ──▶ settle, hold, hand over, quarantine
//!   ▲                                                                                   │
//!   └── committable: below the lowest record that is open or held ◀── settle, hold ─────┘
//! ```

mod breaker;
mod outcome;
mod policy;
mod queue;
pub mod rules;
mod settled;
mod source;
mod tracker;
mod waits;

pub use outcome::{Disposal, OutcomeKind};
pub use policy::QueuePolicy;
pub use queue::{Deliverable, Finished, InFlight, Offer, PendingWrite, ShardMode, ShardQueue, Step};
pub use settled::{CommittedMarks, KnownMark, SettledMark, WRITERS_MAX, WriteId, begin};
pub use source::{Interruption, SourceState, Ticket};
pub use waits::WaitBounds;
