//! The bound of one write.

use super::rules::SlotRules;
use crate::effect::Effect;

/// The greatest size of one write of a slot. What waits beyond it goes out with the next ones, so that a transaction ends
/// in time however much has become due. An effect that is larger than all of it is written alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteMax {
    /// Effects.
    pub effects: usize,
    /// Sum of [`Effect::bytes`].
    pub bytes: usize,
}

impl WriteMax {
    /// Returns how many effects from the front of `waiting` fit, and takes them off the bound. The first effect of a write
    /// always fits.
    pub(super) fn take(&mut self, waiting: &[Effect], is_first: bool, rules: &dyn SlotRules) -> usize {
        let mut count = 0;
        for effect in waiting {
            let bytes = effect.bytes();
            if !rules.takes_effect(is_first && count == 0, bytes, self) {
                break;
            }
            self.effects = self.effects.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(bytes);
            count += 1;
        }
        count
    }
}
