//! Keys of rows: the parts of a summary key in an order that keeps the windows of a series together.
//!
//! Job length (1) | job | owner (16) | length of the dimensions (2) | dimensions | window start (8) | window length (4),
//! big endian; dimensions and window as in [`SummaryKey`]. No series is a prefix of another, so that a reader can step
//! from series to series without reading the windows between. Within a day all starts have one sign: bytes sort as
//! times do.

use yahtzee_core::owner::Owner;
use yahtzee_core::summary::SummaryKey;

const OWNER_BYTES: usize = 16;
const LENGTH_BYTES: usize = 2;
const WINDOW_BYTES: usize = 8 + 4;

/// Returns the key of a row, from the wire form of a readable summary key.
pub(super) fn row_key(job: &str, summary_key: &[u8]) -> Vec<u8> {
    let (owner, rest) = summary_key.split_at(OWNER_BYTES);
    let (dimensions, window) = rest.split_at(rest.len() - WINDOW_BYTES);
    let mut key = job_prefix(job);
    key.extend_from_slice(owner);
    let length = u16::try_from(dimensions.len()).expect("a summary is read with its key's size checked");
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(dimensions);
    key.extend_from_slice(window);
    key
}

/// Returns job and summary key of a row; `None` if the bytes are no key of this form.
pub(super) fn parts(row_key: &[u8]) -> Option<(&str, SummaryKey)> {
    let (&job_bytes, rest) = row_key.split_first()?;
    let (job, rest) = rest.split_at_checked(usize::from(job_bytes))?;
    let (owner, rest) = rest.split_at_checked(OWNER_BYTES)?;
    let (_, dimensions_and_window) = rest.split_at_checked(LENGTH_BYTES)?;
    let key = SummaryKey::decode(&[owner, dimensions_and_window].concat()).ok()?;
    Some((str::from_utf8(job).ok()?, key))
}

/// Returns the common prefix of all rows of a job.
pub(super) fn job_prefix(job: &str) -> Vec<u8> {
    let mut prefix = vec![u8::try_from(job.len()).expect("names of jobs are short")];
    prefix.extend_from_slice(job.as_bytes());
    prefix
}

/// Returns the common prefix of all rows of an owner and job.
pub(super) fn owner_prefix(job: &str, owner: Owner) -> Vec<u8> {
    let mut prefix = job_prefix(job);
    prefix.extend_from_slice(&owner.0);
    prefix
}

/// Returns the common prefix of all rows in the series of this row; `None` as for [`parts`].
pub(super) fn series_prefix(row_key: &[u8]) -> Option<&[u8]> {
    row_key.len().checked_sub(WINDOW_BYTES).map(|bytes| &row_key[..bytes])
}

/// Returns the smallest key of the series with a window that starts at `start_ms` or later.
pub(super) fn at(series: &[u8], start_ms: i64) -> Vec<u8> {
    [series, &start_ms.to_be_bytes()].concat()
}

/// Returns a key greater than all keys of the series, less than those of the next.
pub(super) fn after(series: &[u8]) -> Vec<u8> {
    [series, &[u8::MAX; WINDOW_BYTES + 1]].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn summary_key() -> impl Strategy<Value = SummaryKey> {
        let dimensions = prop::collection::vec("[a-b\\x00\\x7f]{0,3}", 0..3);
        (prop::array::uniform16(0..2_u8), dimensions, 0..4_i64, 0..3_u32).prop_map(
            |(owner, dimensions, window_start_ms, window_length_ms)| SummaryKey {
                owner: Owner(owner),
                dimensions,
                window_start_ms,
                window_length_ms,
            },
        )
    }

    proptest! {
        #[test]
        fn keys_round_trip(job in "[a-z-]{1,30}", key in summary_key()) {
            let row_key = row_key(&job, &key.encode());
            prop_assert_eq!(parts(&row_key), Some((job.as_str(), key)));
        }

        #[test]
        fn any_bytes_are_a_key_or_none(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some((job, key)) = parts(&bytes) {
                prop_assert_eq!(row_key(job, &key.encode()).len(), bytes.len());
            }
        }

        #[test]
        fn the_windows_of_a_series_lie_together(one in summary_key(), other in summary_key(), start_ms in 0..4_i64) {
            let (of_one, of_other) = (row_key("job", &one.encode()), row_key("job", &other.encode()));
            let series = series_prefix(&of_one).unwrap();
            let is_same = (one.owner, &one.dimensions) == (other.owner, &other.dimensions);
            let lies_within = series < of_other.as_slice() && of_other < after(series);
            prop_assert_eq!(lies_within, is_same);
            if is_same {
                prop_assert_eq!(of_other >= at(series, start_ms), other.window_start_ms >= start_ms);
            }
        }
    }
}
