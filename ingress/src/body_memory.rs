//! The memory of bodies: a budget that all requests of a process share, so that many bodies at once, or many that arrive
//! slowly, cannot take more than the process has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The budget.
#[derive(Debug)]
pub struct BodyMemory {
    max_bytes: usize,
    taken_bytes: AtomicUsize,
}

/// What one request has taken of the budget; dropping it gives that back.
#[derive(Debug)]
pub struct BodyShare {
    memory: Arc<BodyMemory>,
    bytes: usize,
}

/// Other requests have taken too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl BodyMemory {
    /// Creates a budget of this size.
    #[must_use]
    pub fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { max_bytes, taken_bytes: AtomicUsize::new(0) })
    }

    /// Returns the share of a request that has taken nothing yet.
    #[must_use]
    pub fn share(self: &Arc<Self>) -> BodyShare {
        BodyShare { memory: Arc::clone(self), bytes: 0 }
    }
}

impl BodyShare {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// If that many are not left; then nothing is taken.
    pub fn take(&mut self, bytes: usize) -> Result<(), NoMemory> {
        let more = |taken: usize| taken.checked_add(bytes).filter(|&sum| sum <= self.memory.max_bytes);
        self.memory
            .taken_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map_err(|_| NoMemory)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        self.memory.taken_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_exceed_the_budget_and_are_given_back() {
        let memory = BodyMemory::new(10);
        let (mut first, mut second) = (memory.share(), memory.share());
        assert_eq!(first.take(6), Ok(()));
        assert_eq!(second.take(5), Err(NoMemory));
        assert_eq!(second.take(4), Ok(()));
        assert_eq!(second.take(usize::MAX), Err(NoMemory));
        drop(first);
        assert_eq!(second.take(7), Err(NoMemory));
        assert_eq!(second.take(6), Ok(()));
        drop(second);
        assert_eq!(memory.share().take(10), Ok(()));
    }
}
