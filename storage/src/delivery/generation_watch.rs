//! Noticing that a job's generation was taken back.
//!
//! Stores keep the greatest generation of each window, so a worker with an older one publishes what replaces nothing:
//! its rows stand beside those of the greater generation, in windows that this one does not have. Configuration cannot
//! show that, but the log does: summaries of an older generation keep coming behind those of a newer.

use yahtzee_core::record::Offset;

/// Time for which both may come: workers of the new generation have started, and those of the old one have not ended.
const OVERLAP_MS: i64 = 600_000;

/// A summary of a stream, as far as its generation goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct GenerationSeen {
    pub(super) generation: u32,
    pub(super) offset: Offset,
    /// Stamp of its record.
    pub(super) stamp_ms: i64,
}

/// The first summary of the newest generation, by stream. Outlives the openings of its source, which read again.
pub(super) struct GenerationWatch(Vec<Option<GenerationSeen>>);

impl GenerationWatch {
    pub(super) fn new(streams: usize) -> Self {
        Self(vec![None; streams])
    }

    /// Takes a summary of a stream. Returns the newest generation if this one is older and comes later than both may.
    pub(super) fn see(&mut self, stream: usize, seen: GenerationSeen) -> Option<u32> {
        let newest = self.0[stream].get_or_insert(seen);
        let is_earlier = seen.generation == newest.generation && seen.offset < newest.offset;
        if seen.generation > newest.generation || is_earlier {
            *newest = seen;
        }
        let is_behind = seen.generation < newest.generation && seen.offset > newest.offset;
        let is_late = seen.stamp_ms.saturating_sub(newest.stamp_ms) > OVERLAP_MS;
        (is_behind && is_late).then_some(newest.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands the summaries of a stream over, each by offset, generation and minute, and compares the newest generation that
    /// is returned for the last one.
    fn check(summaries: &[(u64, u32, i64)], expected: Option<u32>) {
        let mut watch = GenerationWatch::new(2);
        let mut see = |stream, (offset, generation, minute): (u64, u32, i64)| {
            watch
                .see(stream, GenerationSeen { generation, offset: Offset(offset), stamp_ms: minute * 60_000 })
        };
        let found = summaries.iter().fold(None, |_, &summary| see(1, summary));
        assert_eq!(found, expected, "{summaries:?}");
        // Of another stream it is the first.
        assert_eq!(see(0, (9, 1, 60)), None);
    }

    #[test]
    fn an_older_generation_that_comes_long_after_a_newer_one_is_noticed() {
        check(&[(0, 3, 0)], None);
        check(&[(0, 1, 0), (1, 3, 1), (2, 3, 60)], None);
        check(&[(0, 3, 0), (1, 2, 11)], Some(3));
        check(&[(0, 1, 0), (1, 3, 1), (2, 3, 60), (3, 2, 61)], Some(3));
        check(&[(0, 3, 0), (1, 2, 11), (2, 4, 12), (3, 3, 13)], None);
        check(&[(0, 3, 0), (1, 2, 11), (2, 4, 12), (3, 3, 23)], Some(4));
    }

    /// The worker of the old generation ends after that of the new one has begun: as every upgrade goes.
    #[test]
    fn both_may_come_for_a_while() {
        check(&[(0, 1, 0), (1, 2, 1), (2, 1, 1)], None);
        check(&[(0, 1, 0), (1, 2, 1), (2, 1, 11)], None);
        check(&[(0, 1, 0), (1, 2, 1), (2, 1, 12)], Some(2));
        check(&[(0, 2, i64::MAX / 60_000), (1, 1, i64::MIN / 60_000)], None);
    }

    #[test]
    fn what_is_read_again_counts_where_it_is_in_the_log() {
        check(&[(0, 1, 0), (1, 2, 1), (0, 1, 0)], None);
        check(&[(5, 2, 60), (1, 1, 90)], None);
        check(&[(5, 2, 60), (0, 2, 1), (1, 1, 2)], None);
        check(&[(5, 2, 60), (0, 2, 1), (1, 1, 12)], Some(2));
    }
}
