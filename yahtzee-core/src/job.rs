//! A metric job: the trait that a developer implements.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};

use prost::Message;

use crate::accumulate::{Accumulator, Occurrence};
use crate::fold::RecordFold;
use crate::window::Policy;
use crate::wire::Malformed;

/// The part of a raw record's value that a job reads: a prost message (see [`RawMessage`]), or a view that borrows from
/// the value (see [`View`](crate::wire::View)).
pub trait Record<'a>: Sized {
    /// Reads all of the value, or nothing: of a record that is refused no measurement is folded.
    ///
    /// # Errors
    /// If the value is not the job's message. The record is then poison.
    fn read(value: &'a [u8]) -> Result<Self, Malformed>;

    /// Returns the id (16 bytes) of the frame the record came in, by which redelivered frames are recognised. Empty if
    /// the record has none: it then counts as often as it is delivered, and so does one with an id of another length.
    fn frame_id(&self) -> &[u8];
}

/// A raw record that prost reads. Every such message is a [`Record`].
pub trait RawMessage: Message + Default {
    /// See [`Record::frame_id`].
    fn frame_id(&self) -> &[u8];
}

impl<M: RawMessage> Record<'_> for M {
    fn read(value: &[u8]) -> Result<Self, Malformed> {
        Message::decode(value).map_err(|_| Malformed)
    }

    fn frame_id(&self) -> &[u8] {
        RawMessage::frame_id(self)
    }
}

/// One metric: how raw records become one summary per owner, series and window.
///
/// A job is pure. It gets no clock, no randomness and no I/O, so that reading the same records again rebuilds the
/// same summaries, byte for byte. Everything around the fold is the framework's.
pub trait Job: Sized + Send + Sync + 'static {
    /// Names the job in configuration, metrics, consumer groups and on the command line. Permanent once released.
    const NAME: &'static str;

    /// Measurement type: the stem of the raw topic. Permanent once released.
    const MEASUREMENT: &'static str;

    /// Stem of the summary topic: to be set where several jobs read one raw topic. Permanent once released.
    const SUMMARY: &'static str = Self::MEASUREMENT;

    /// Version of the fold: raise it with every change that gives other bytes for the same records.
    const GENERATION: u32;

    /// Names of the values that, with the owner, make a series; in the order of [`Intake::add`].
    const DIMENSIONS: &'static [&'static str];

    /// The content of a raw record: `type Record<'a> = MyMessage;` for a [`RawMessage`].
    type Record<'a>: Record<'a>;

    /// The state of one series in one window.
    type Accumulator: Accumulator + Debug;

    /// The message that is published. Its fields start at 16; those below are the framework's, and a job that declares
    /// one is refused.
    type Summary: Message + Default;

    /// Hands every measurement of the record to [`Intake::add`].
    ///
    /// The folded state must not depend on the order of the measurements within a window.
    fn fold(&self, record: &Self::Record<'_>, intake: &mut Intake<'_, Self>);

    /// Returns the message that is published of a series. One that is larger than its accumulator could be, by more than a fourth
    /// and, beside its key, 4 KiB, or than a log takes, is not published: it goes to the DLQ topic with the reason `summary-too-large`
    /// ([`summary_bytes_max`](crate::effect::summary_bytes_max)).
    fn summarize(&self, accumulator: &Self::Accumulator) -> Self::Summary;

    /// The figures of a summary for people and programs that do not know its message, with units in their names.
    /// Absent ones are left out, never 0.
    fn figures(_summary: &Self::Summary) -> Figures {
        Figures::new()
    }

    /// Which windows are kept and how often summaries go out, where configuration does not say otherwise.
    fn policy(&self) -> Policy {
        Policy::default()
    }
}

/// Takes the measurements of one record from a job. Lives for the length of one [`Job::fold`].
pub struct Intake<'a, J: Job>(pub(crate) RecordFold<'a, J::Accumulator>);

impl<J: Job> Intake<'_, J> {
    /// Folds one measurement: `time_us` is its event time (microseconds since 1970), `dimensions` its values of
    /// [`Job::DIMENSIONS`] in their order. `fold` runs only if the measurement is accepted.
    ///
    /// A dimension longer than 255 bytes is cut there. Another number of values than the job has dimensions does not
    /// compile:
    ///
    /// ```compile_fail
    /// # use prost::Message;
    /// # use yahtzee_core::job::{Intake, Job, RawMessage};
    /// # #[derive(Clone, PartialEq, Message)] struct Hits { #[prost(sint64, tag = "1")] time_us: i64 }
    /// # impl RawMessage for Hits { fn frame_id(&self) -> &[u8] { &[] } }
    /// # #[derive(Clone, PartialEq, Message)] struct Total { #[prost(uint64, tag = "16")] hits: u64 }
    /// # struct CountHits;
    /// impl Job for CountHits {
    ///     const DIMENSIONS: &'static [&'static str] = &["page"];
    /// #   const NAME: &'static str = "count-hits"; const MEASUREMENT: &'static str = "HIT"; const GENERATION: u32 = 1;
    /// #   type Record<'a> = Hits; type Accumulator = u64; type Summary = Total;
    ///     fn fold(&self, hit: &Hits, intake: &mut Intake<'_, Self>) {
    ///         intake.add(hit.time_us, ["/", "second"], |hits| *hits += 1);
    ///     }
    /// #   fn summarize(&self, hits: &u64) -> Total { Total { hits: *hits } }
    /// }
    /// # fn main() {
    /// #     let _fold: fn(&CountHits, &Hits, &mut Intake<'_, CountHits>) = CountHits::fold;
    /// # }
    /// ```
    pub fn add<const N: usize>(
        &mut self,
        time_us: i64,
        dimensions: [&str; N],
        fold: impl FnOnce(&mut J::Accumulator),
    ) {
        const { assert!(N == J::DIMENSIONS.len(), "a measurement has one value per dimension of its job") };
        self.0.add(time_us, &dimensions, fold);
    }

    /// Returns what tells an occurrence from all others, for [`TopK`](crate::accumulate::TopK). Another one every time, and the same
    /// ones when the record is folded again.
    pub fn occurrence(&mut self) -> Occurrence {
        self.0.occurrence()
    }
}

impl<J: Job> Debug for Intake<'_, J> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Intake").field(&self.0).finish()
    }
}

/// Figures of a summary by name.
pub type Figures = BTreeMap<String, f64>;

/// Figures of whole numbers.
#[must_use]
pub fn figures_of<const N: usize>(named: [(&str, u64); N]) -> Figures {
    named.map(|(name, value)| (name.to_owned(), value as f64)).into()
}
