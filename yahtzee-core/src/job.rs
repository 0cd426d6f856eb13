//! What a developer writes: a metric job.

use std::collections::BTreeMap;
use std::fmt::Debug;

use prost::Message;

use crate::accumulate::Accumulator;
use crate::intake::Intake;
use crate::window::Policy;
use crate::wire::{self, Malformed};

/// Number of the field that has the frame id in every raw record of this pipeline.
const FRAME_ID_FIELD: u32 = 7;

/// What a job reads out of the value of a raw record: any prost message, or a view that borrows from the value
/// (see [`View`](wire::View)).
pub trait Record<'a>: Sized {
    /// Reads all of the value, or nothing: of a record that is refused no measurement is folded.
    ///
    /// # Errors
    /// Where the value is not the job's message. The record is then poison.
    fn read(value: &'a [u8]) -> Result<Self, Malformed>;
}

impl<M: Message + Default> Record<'_> for M {
    fn read(value: &[u8]) -> Result<Self, Malformed> {
        Message::decode(value).map_err(|_| Malformed)
    }
}

/// One metric: how raw records become one summary per owner, series and window.
///
/// A job is pure. It gets no clock, no randomness and no I/O, so that reading the same records again rebuilds the
/// same summaries, byte for byte. Everything around the fold is the framework's.
pub trait Job: Send + Sync + 'static {
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

    /// What is in a raw record. Any prost message will do: `type Record<'a> = MyMessage;`.
    type Record<'a>: Record<'a>;

    /// The state of one series in one window.
    type Accumulator: Accumulator + Debug;

    /// The message that is published. Its fields start at 16; those below are the framework's.
    type Summary: Message + Default;

    /// The drain frame the record came in (16 bytes), by which redelivered frames are recognised; empty for none. `value` is
    /// the record's encoding.
    ///
    /// It is field 7 in every raw record of this pipeline. To be replaced where another schema has it elsewhere, or has
    /// something else there.
    #[must_use]
    fn frame_id<'r>(_record: &'r Self::Record<'_>, value: &'r [u8]) -> &'r [u8] {
        wire::bytes_field(value, FRAME_ID_FIELD)
    }

    /// Hands every measurement of the record to [`Intake::add`].
    ///
    /// The folded state must not depend on the order of the measurements within a window.
    fn fold(&self, record: &Self::Record<'_>, intake: &mut Intake<'_, Self::Accumulator>);

    /// What is published of a series.
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

/// Figures of a summary by name.
pub type Figures = BTreeMap<String, f64>;

/// Figures of whole numbers.
#[must_use]
pub fn figures_of<const N: usize>(named: [(&str, u64); N]) -> Figures {
    named.map(|(name, value)| (name.to_owned(), value as f64)).into()
}
