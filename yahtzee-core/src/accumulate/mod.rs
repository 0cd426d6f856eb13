//! Accumulators: the state of one series in one window. All merge, all are integers, none depends on order.
//!
//! What an accumulator holds is a function of the multiset of measurements folded in, never of the order of
//! records or of the shape of a merge tree: sums saturate instead of wrapping, ties are broken by value,
//! and the change from one representation to the next is decided by the content alone. Together with one encoding per
//! value this gives byte-identical summaries after a replay, and minutes that merge into hours.
//! `f64` appears in answers ([`Moments::mean`]), never in state.

mod compose;
mod counts;
mod distinct;
mod distribution;
mod gauge;
#[cfg(test)]
mod laws;
mod moments;
mod rate;
mod ratio;
mod tally;
mod top_k;

pub use crate::byte_reader::DecodeError;
#[doc(hidden)]
pub use compose::{Parts, encode_part, heap_bytes_max_of};
pub use counts::Counts;
pub use distinct::Distinct;
pub use distribution::Distribution;
pub use gauge::Gauge;
pub use moments::Moments;
pub use rate::Rate;
pub use ratio::Ratio;
pub use top_k::{Occurrence, TopK, TopValue};

/// State that folds measurements of one series in one window and merges with its like.
///
/// Laws, which the property tests of this module hold every implementation to:
///
/// 1. `merge` is commutative and associative, and `Default::default()` is its identity;
/// 2. folding measurements into one value, in any order, equals folding them into several and merging those;
/// 3. equal states encode to equal bytes, and different states to different bytes;
/// 4. `decode` of what `encode` wrote gives the state back, and no other bytes decode to it;
/// 5. no input panics: sums that reach the end of their range stay there and say so.
pub trait Accumulator: Default + Clone + Send {
    /// The most that [`heap_bytes`](Self::heap_bytes) can come to, whatever is folded in; `None` where nothing bounds it. A worker
    /// tells by it at its start how much memory a job can come to need.
    const HEAP_BYTES_MAX: Option<usize> = None;

    /// Folds in everything `other` holds, as if its measurements had been recorded here.
    fn merge(&mut self, other: &Self);

    /// Appends the one encoding of this state to `out`. Not self-delimiting: the caller keeps the length.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads a state that [`encode`](Self::encode) wrote; `bytes` holds it and nothing else.
    ///
    /// Allocates a small constant plus memory in proportion to `bytes`, whatever they contain.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for bytes that are cut, followed by others, or that no state encodes to.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;

    /// Bytes allocated on the heap now, allocator overhead excluded; `size_of::<Self>()` comes on top.
    ///
    /// Spare capacity counts, and that depends on history (a clone has none): fit for reporting, unfit for
    /// any decision that a replay must repeat.
    fn heap_bytes(&self) -> usize;
}

/// Doubles a full list, up to `most` entries: a clone has begun at any length.
fn make_room<T>(list: &mut Vec<T>, most: usize) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len().clamp(1, most - list.len()));
    }
}
