//! A source, shared by the threads of a task: the state of its records behind a lock.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use yahtzee_core::delivery::rules::ProductionDelivery;
use yahtzee_core::delivery::{Interruption, KnownMark, SourceState, Ticket};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::log::{CommittedOffset, LogError};

use super::TaskContext;
use super::batch::new_writer;
use super::generation_watch::{GenerationSeen, GenerationWatch};
use crate::dead_letter::headers::RecordPosition;
use crate::store::{Marked, Settling, Shard, SourcePartition};

/// A partition that a source reads.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    /// Index of the job.
    pub(super) job: usize,
    pub(super) topic: Arc<str>,
    pub(super) partition: Partition,
}

/// The streams of one topic.
pub(super) struct TopicStreams<'a> {
    pub(super) topic: &'a Arc<str>,
    /// Index of the job.
    pub(super) job: usize,
    /// Index of the stream of its first partition.
    pub(super) first: usize,
    /// In the order of streams.
    pub(super) partitions: Vec<Partition>,
}

/// What a source begins with; lists are by stream.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceOpening {
    /// The partitions, as stores keep marks of them.
    pub(super) partitions: Vec<SourcePartition>,
    pub(super) positions: Vec<Offset>,
    /// What the databases of shards are known to have.
    pub(super) marks: Vec<BTreeMap<usize, KnownMark>>,
    /// Streams that are read again because the database of a shard was restored, with the offset that was reached before.
    pub(super) again: BTreeMap<usize, Offset>,
    /// Streams whose commit does not say any more what is so: where to begin, or what a database has.
    pub(super) recommitted: Vec<usize>,
    /// Summaries that retention has deleted before they were stored.
    pub(super) lost: u64,
    /// Summaries that shards have stored and that the log does not have any more.
    pub(super) vanished: u64,
}

/// The partitions that one thread reads, and the state of their records.
pub(super) struct Source {
    /// Name in the health report.
    pub(super) part: String,
    /// Name in messages.
    pub(super) task: String,
    /// Consumer group.
    pub(super) group: String,
    /// Partitions by index, as tickets refer to them; those of one topic are adjacent.
    pub(super) streams: Vec<Stream>,
    /// Shards that a source of a retry process feeds, and their names; `None` in a sink, which feeds all.
    pub(super) shards: Option<(String, Vec<Shard>)>,
    state: Mutex<LockedSource>,
    /// Signalled when a record is settled, or the source must restart.
    changed: Condvar,
}

struct LockedSource {
    source: SourceState,
    /// Error of a failed append.
    failure: Option<LogError>,
    settled: u64,
    /// By stream: the partitions, as stores keep marks of them.
    partitions: Vec<SourcePartition>,
    /// Streams that are read again because the database of a shard was restored, and up to where. Outlives an opening.
    again: BTreeMap<usize, Offset>,
    /// Summaries that retention has deleted before they were stored, since the process started.
    lost: u64,
    /// Summaries that shards have stored and that the log did not have at the last opening.
    vanished: u64,
    generations: GenerationWatch,
    /// Whether an older generation was noticed behind a newer one, since the process started.
    has_older: bool,
}

impl Source {
    pub(super) fn new(
        part: String,
        task: String,
        group: String,
        streams: Vec<Stream>,
        shards: Option<(String, Vec<Shard>)>,
    ) -> Self {
        let source = SourceState::new(&ProductionDelivery);
        let (partitions, again) = (Vec::new(), BTreeMap::new());
        let generations = GenerationWatch::new(streams.len());
        let state = LockedSource {
            source,
            failure: None,
            settled: 0,
            partitions,
            again,
            lost: 0,
            vanished: 0,
            generations,
            has_older: false,
        };
        Self { part, task, group, streams, shards, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Returns the streams topic by topic, in their order.
    pub(super) fn by_topic(&self) -> impl Iterator<Item = TopicStreams<'_>> {
        let mut next = 0;
        self.streams.chunk_by(|one, other| one.topic == other.topic).map(move |streams| {
            let first = next;
            next += streams.len();
            let partitions = streams.iter().map(|stream| stream.partition).collect();
            TopicStreams { topic: &streams[0].topic, job: streams[0].job, first, partitions }
        })
    }

    /// Returns whether the source feeds the shard.
    pub(super) fn feeds(&self, shard: Shard) -> bool {
        self.shards.as_ref().is_none_or(|(_, shards)| shards.contains(&shard))
    }

    /// Calls `with` on the locked state.
    pub(super) fn with<T>(&self, with: impl FnOnce(&mut SourceState) -> T) -> T {
        with(&mut self.lock().source)
    }

    /// Begins anew.
    pub(super) fn open(&self, opening: SourceOpening) -> u64 {
        let mut state = self.lock();
        state.failure = None;
        let epoch = state.source.open(&opening.positions, new_writer());
        for (stream, marks) in opening.marks.into_iter().enumerate() {
            marks.into_iter().for_each(|(shard, mark)| state.source.know(stream, shard, mark));
        }
        state.partitions = opening.partitions;
        state.lost += opening.lost;
        state.vanished = opening.vanished;
        for (stream, until) in opening.again {
            let reached = state.again.entry(stream).or_insert(until);
            *reached = until.max(*reached);
        }
        epoch
    }

    /// Returns the number of summaries that retention has deleted before they were stored.
    pub(super) fn lost(&self) -> u64 {
        self.lock().lost
    }

    /// Returns the number of summaries that shards have stored and that the log does not have any more.
    pub(super) fn vanished(&self) -> u64 {
        self.lock().vanished
    }

    /// Takes the generation of a summary of this stream. Returns the newest one if this one should have ended.
    pub(super) fn see_generation(&self, stream: usize, seen: GenerationSeen) -> Option<u32> {
        self.lock().generations.see(stream, seen)
    }

    /// Notes that an older generation was noticed behind a newer one. Returns whether that is the first time.
    pub(super) fn note_older(&self) -> bool {
        !std::mem::replace(&mut self.lock().has_older, true)
    }

    /// Returns whether an older generation was noticed behind a newer one.
    pub(super) fn has_older(&self) -> bool {
        self.lock().has_older
    }

    /// Returns what a write of summaries of this stream to a shard settles, and the epoch of the opening.
    pub(super) fn settling(&self, stream: usize, shard: Shard) -> (u64, Settling) {
        let state = self.lock();
        let settling = Settling {
            source: state.partitions[stream].clone(),
            settled: state.source.committable()[stream],
            writer: state.source.writer(shard.index()),
            known: state.source.marks(stream).get(&shard.index()).copied().unwrap_or_default(),
        };
        (state.source.epoch(), settling)
    }

    /// Records what the database of a shard has after a write of the opening `epoch`. Before the records of the write are settled, so
    /// that no commit goes past them without the mark. A later opening may know more than an earlier one is told now.
    pub(super) fn marked(&self, epoch: u64, stream: usize, shard: Shard, marked: Marked) {
        self.change(|state| {
            let is_behind = marked == Marked::Behind;
            match marked {
                _ if epoch != state.source.epoch() => return false,
                Marked::Unknown => {}
                Marked::At(mark) => state.source.know(stream, shard.index(), mark.known()),
                Marked::Behind => state.source.restored(),
            }
            is_behind
        });
    }

    /// Notes that a write to a shard may be in its database although nobody has said so.
    pub(super) fn unanswered(&self, shard: Shard) {
        self.with(|state| state.unanswered(shard.index(), new_writer()));
    }

    /// Returns what is to be committed, by stream.
    pub(super) fn uncommitted(&self, shared: &TaskContext) -> Vec<(usize, CommittedOffset)> {
        let state = self.lock();
        let commit = |(stream, offset)| {
            let metadata = shared.metadata(&state.partitions[stream], state.source.marks(stream));
            (stream, CommittedOffset { offset, metadata })
        };
        state.source.uncommitted().into_iter().map(commit).collect()
    }

    /// Returns the number of summaries that are still to be read again.
    pub(super) fn again(&self) -> u64 {
        let state = self.lock();
        let committable = state.source.committable();
        state.again.iter().map(|(&stream, until)| until.0.saturating_sub(committable[stream].0)).sum()
    }

    /// Returns whether the last summary that was to be read again is settled now; once.
    pub(super) fn has_caught_up(&self) -> bool {
        let has_ended = self.again() == 0;
        let mut state = self.lock();
        let was_behind = !state.again.is_empty();
        if has_ended {
            state.again.clear();
        }
        has_ended && was_behind
    }

    /// Marks the record as settled.
    pub(super) fn settle(&self, ticket: Ticket) {
        self.change(|state| {
            state.settled += 1;
            state.source.settle(ticket)
        });
    }

    /// Leaves the record in the log until the source restarts.
    pub(super) fn hold(&self, ticket: Ticket) {
        self.change(|state| state.source.hold(ticket));
    }

    /// Records the result of appending the RETRY or QUARANTINE record of `ticket`.
    pub(super) fn appended(&self, ticket: Ticket, result: &Result<(), LogError>) {
        self.change(|state| {
            let has_changed = state.source.appended(ticket, result.is_ok());
            match result {
                Ok(()) => state.settled += 1,
                Err(error) if has_changed => state.failure = Some(error.clone()),
                Err(_) => {}
            }
            has_changed
        });
    }

    /// Makes the source restart, so that held records are read again.
    pub(super) fn repaired(&self) {
        self.change(|state| {
            state.source.repaired();
            true
        });
    }

    fn change(&self, change: impl FnOnce(&mut LockedSource) -> bool) {
        let mut state = self.lock();
        let has_changed = change(&mut state);
        drop(state);
        if has_changed {
            self.changed.notify_all();
        }
    }

    /// Returns `Some` if the source must restart, with the error if one is the reason.
    pub(super) fn interruption(&self) -> Option<Result<Interruption, LogError>> {
        let state = self.lock();
        state.source.interruption().map(|interruption| match (interruption, &state.failure) {
            (Interruption::AppendFailed, Some(error)) => Err(error.clone()),
            _ => Ok(interruption),
        })
    }

    /// Returns the number of records settled since the process started.
    pub(super) fn settled(&self) -> u64 {
        self.lock().settled
    }

    /// Blocks until the state changes, at most for `time`.
    pub(super) fn wait(&self, time: Duration) {
        drop(self.changed.wait_timeout(self.lock(), time));
    }

    /// Returns the topic, partition and offset of a record.
    pub(super) fn position(&self, ticket: Ticket) -> RecordPosition {
        let Stream { topic, partition, .. } = &self.streams[ticket.stream];
        RecordPosition { topic: topic.to_string(), partition: *partition, offset: ticket.offset }
    }

    fn lock(&self) -> MutexGuard<'_, LockedSource> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use yahtzee_core::delivery::{SettledMark, WriteId};

    use super::*;

    /// What an opening knows of a database, an earlier one did not, although it may have written more.
    #[test]
    fn every_opening_writes_under_an_id_of_its_own() {
        let source = source_of_one_stream();
        let write = || source.settling(0, Shard(0)).1.next_write();
        let open = || {
            open_knowing(&source, KnownMark::Nothing);
            (write(), write())
        };
        let ((first, second), (anew, _)) = (open(), open());
        assert!(first.writer != 0 && first.writer == second.writer && first.number < second.number);
        assert!(anew.writer != first.writer && anew.number > second.number);
        // And so does what comes after a write without an answer, in its shard.
        source.unanswered(Shard(0));
        let after = write();
        assert!(after.writer != 0 && after.writer != anew.writer);
        assert_eq!(source.settling(0, Shard(1)).1.writer, anew.writer);
    }

    fn source_of_one_stream() -> Source {
        let name = || "source".to_owned();
        let stream = Stream { job: 0, topic: "topic".into(), partition: Partition(0) };
        Source::new(name(), name(), name(), vec![stream], None)
    }

    fn open_knowing(source: &Source, known: KnownMark) {
        let partition = SourcePartition {
            group: "group".into(),
            topic: "topic".into(),
            topic_id: [1; 16],
            partition: Partition(0),
        };
        source.open(SourceOpening {
            partitions: vec![partition],
            marks: vec![BTreeMap::from([(0, known)])],
            positions: vec![Offset(0)],
            ..SourceOpening::default()
        });
    }

    #[test]
    fn what_is_known_is_known_by_stream_and_shard() {
        let name = || "source".to_owned();
        let stream = |number| Stream { job: 0, topic: "topic".into(), partition: Partition(number) };
        let source = Source::new(name(), name(), name(), vec![stream(0), stream(1)], None);
        let known = |writer, number| KnownMark::Write(WriteId { writer, number });
        let partition = |number| SourcePartition {
            group: "group".into(),
            topic: "topic".into(),
            topic_id: [1; 16],
            partition: Partition(number),
        };
        let epoch = source.open(SourceOpening {
            partitions: vec![partition(0), partition(1)],
            marks: vec![BTreeMap::from([(0, known(6, 2))]), BTreeMap::from([(1, known(6, 3))])],
            positions: vec![Offset(0), Offset(9)],
            ..SourceOpening::default()
        });
        let check = |stream, shard, expected| {
            let (of_epoch, settling) = source.settling(stream, Shard(shard));
            let partition = settling.source.partition.0 as usize;
            assert_eq!((of_epoch, partition, settling.known), (epoch, stream, expected), "{stream} {shard}");
        };
        check(0, 0, known(6, 2));
        check(0, 1, KnownMark::Nothing);
        check(1, 0, KnownMark::Nothing);
        check(1, 1, known(6, 3));
        assert_eq!(source.settling(1, Shard(0)).1.settled, Offset(9));
    }

    /// The answer to a write comes when the source has begun anew, and others have written meanwhile: what the opening has found in the
    /// database is more.
    #[test]
    fn what_an_earlier_opening_has_written_tells_a_later_one_nothing() {
        fn check(is_late: bool, marked: Marked, expected: (KnownMark, bool)) {
            let source = source_of_one_stream();
            open_knowing(&source, KnownMark::Nothing);
            let (mut epoch, _) = source.settling(0, Shard(0));
            open_knowing(&source, known(6, 2));
            if !is_late {
                (epoch, _) = source.settling(0, Shard(0));
            }
            source.marked(epoch, 0, Shard(0), marked);
            let found = (source.settling(0, Shard(0)).1.known, source.interruption().is_some());
            assert_eq!(found, expected, "{is_late} {marked:?}");
        }
        fn known(writer: u64, number: u64) -> KnownMark {
            KnownMark::Write(WriteId { writer, number })
        }
        let mut mark = SettledMark { writes: 1, ..SettledMark::default() };
        mark.writers[0] = WriteId { writer: 5, number: 1 };
        check(false, Marked::At(mark), (known(5, 1), false));
        check(false, Marked::Unknown, (known(6, 2), false));
        check(false, Marked::Behind, (known(6, 2), true));
        check(true, Marked::At(mark), (known(6, 2), false));
        check(true, Marked::Behind, (known(6, 2), false));
    }

    /// A source opens after every failure: what retention has taken meanwhile adds up, and what the log lacks is still the same.
    #[test]
    fn what_is_gone_from_the_log_is_counted_once_however_often_a_source_opens() {
        let name = || "source".to_owned();
        let source = Source::new(name(), name(), name(), Vec::new(), None);
        let open = |lost, vanished| {
            source.open(SourceOpening { lost, vanished, ..SourceOpening::default() });
            (source.lost(), source.vanished())
        };
        assert_eq!(open(2, 3), (2, 3));
        assert_eq!(open(0, 3), (2, 3));
        assert_eq!(open(5, 0), (7, 0));
    }
}
