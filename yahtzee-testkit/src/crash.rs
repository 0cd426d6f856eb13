//! A recording, and a crash at every place in it.

use std::sync::Arc;

use yahtzee_core::job::Job;
use yahtzee_core::owner::Owner;

use crate::Bench;
use crate::record_value::RecordValue;

/// One step of a recording.
#[derive(Clone, Debug)]
pub enum RecordingStep<R> {
    /// A raw record is received.
    Feed(Owner, R),
    /// A flush interval passes.
    Flush,
    /// Minutes pass.
    AdvanceMinutes(u64),
}

/// Plays the recording once undisturbed and then once for every write in it, dying at that write and starting again.
/// Returns the number of crashes.
///
/// # Panics
/// If a run ends with other bytes than the undisturbed one, or a reader saw a summary go back. The text names the
/// write at which the process died.
pub fn crash_everywhere<J: Job>(
    job: J,
    partitions: u32,
    recording: &[RecordingStep<impl RecordValue>],
) -> usize {
    crash_everywhere_shared(&Arc::new(job), partitions, recording)
}

/// See [`crash_everywhere`].
pub(crate) fn crash_everywhere_shared<J: Job>(
    job: &Arc<J>,
    partitions: u32,
    recording: &[RecordingStep<impl RecordValue>],
) -> usize {
    let bench = || Bench::with(Arc::clone(job), None, partitions);
    let undisturbed = play(bench(), recording).summary_bytes();
    for writes in 0.. {
        let run = play(bench().dies_after(writes), recording);
        assert!(
            run.summary_bytes() == undisturbed,
            "died at write {writes}: other summaries than undisturbed"
        );
        if !run.has_died() {
            return writes;
        }
    }
    unreachable!("a recording has finitely many writes")
}

/// Plays a recording and lets all its windows close.
fn play<J: Job>(bench: Bench<J>, recording: &[RecordingStep<impl RecordValue>]) -> Bench<J> {
    let played = recording.iter().fold(bench, |bench, step| match step {
        RecordingStep::Feed(owner, record) => bench.feed(*owner, record),
        RecordingStep::Flush => bench.flush(),
        RecordingStep::AdvanceMinutes(minutes) => bench.advance_minutes(*minutes),
    });
    played.advance_minutes(60).flush().flush()
}
