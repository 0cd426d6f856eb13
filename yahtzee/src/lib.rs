//! The facade for authors of metric jobs.
//!
//! [`prelude`] has what every job names; [`accumulate`], [`job`] and [`window`] have the rest that a job may need. Values
//! are read by prost, in place by [`wire`] (Protocol Buffers), [`logfmt`] or [`json`]. The partition, its commits and its
//! rules are the framework's and are not here. Tests of a job use `yahtzee-testkit`. How a job is written, step by step: `docs/writing-a-job.md`.
//!
//! ```
//! use yahtzee::prelude::*;
//! use yahtzee::prost::Message;
//!
//! #[derive(Clone, PartialEq, Message)]
//! #[prost(prost_path = "::yahtzee::prost")]
//! struct Hits {
//!     #[prost(sint64, tag = "1")]
//!     time_us: i64,
//!     #[prost(string, tag = "2")]
//!     page: String,
//! }
//!
//! impl RawMessage for Hits {
//!     /// Hits are not deduplicated.
//!     fn frame_id(&self) -> &[u8] {
//!         &[]
//!     }
//! }
//!
//! #[derive(Clone, PartialEq, Message)]
//! #[prost(prost_path = "::yahtzee::prost")]
//! struct PageHits {
//!     #[prost(uint64, tag = "16")]
//!     hits: u64,
//! }
//!
//! struct CountHits;
//!
//! impl Job for CountHits {
//!     const NAME: &'static str = "count-hits";
//!     const MEASUREMENT: &'static str = "HIT";
//!     const GENERATION: u32 = 1;
//!     const DIMENSIONS: &'static [&'static str] = &["page"];
//!     type Record<'a> = Hits;
//!     type Accumulator = u64;
//!     type Summary = PageHits;
//!
//!     fn fold(&self, hit: &Hits, intake: &mut Intake<'_, Self>) {
//!         intake.add(hit.time_us, [&hit.page], |hits| *hits += 1);
//!     }
//!
//!     fn summarize(&self, hits: &u64) -> PageHits {
//!         PageHits { hits: *hits }
//!     }
//! }
//! ```

#[cfg(feature = "json")]
pub mod json;

pub use prost;
pub use yahtzee_core::owner::Owner;
pub use yahtzee_core::{accumulate, accumulator, job, logfmt, window, wire};

/// The names that every job needs: `use yahtzee::prelude::*;`.
pub mod prelude {
    pub use yahtzee_core::accumulate::{
        Accumulator, Counts, Distinct, Distribution, Gauge, Moments, Rate, Ratio, TopK,
    };
    pub use yahtzee_core::accumulator;
    pub use yahtzee_core::erased::AnyJob;
    pub use yahtzee_core::job::{Figures, Intake, Job, RawMessage, Record, figures_of};
    pub use yahtzee_core::owner::Owner;
    pub use yahtzee_core::window::Policy;
}
