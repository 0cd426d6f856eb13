//! Noticing that a job's generation was taken back.
//!
//! Stores keep the greatest generation of each window, so a worker with an older one publishes what replaces nothing:
//! its rows stand beside those of the greater generation, in windows that this one does not have. Configuration cannot
//! show that, but the log does: a summary of an older generation behind one of a newer.

/// The newest generation that a session has read, by stream.
pub(super) struct GenerationWatch(Vec<u32>);

impl GenerationWatch {
    pub(super) fn new(streams: usize) -> Self {
        Self(vec![0; streams])
    }

    /// Takes the generation of the next summary of a stream. Returns the newest one before it if that is greater.
    pub(super) fn see(&mut self, stream: usize, generation: u32) -> Option<u32> {
        let newest = &mut self.0[stream];
        if generation < *newest {
            return Some(*newest);
        }
        *newest = generation;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_behind_a_greater_one_of_its_stream_is_older() {
        let mut watch = GenerationWatch::new(2);
        let mut check = |stream, generation, expected| {
            assert_eq!(watch.see(stream, generation), expected, "{stream} {generation}");
        };
        check(0, 1, None);
        check(0, 3, None);
        check(0, 3, None);
        check(0, 2, Some(3));
        check(1, 2, None);
        check(0, 1, Some(3));
        check(0, 4, None);
        check(1, 1, Some(2));
    }
}
