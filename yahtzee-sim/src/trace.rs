//! A running hash of everything that happened: two runs of one seed must agree in it.

use crate::rng::mix;

/// Hash of all events so far, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace(u64);

impl Trace {
    pub(crate) fn word(&mut self, word: u64) {
        self.0 = mix(self.0.rotate_left(5) ^ word);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    pub(crate) fn hash(self) -> u64 {
        self.0
    }
}
