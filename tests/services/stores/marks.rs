//! What a store keeps of the partitions that its rows come from.

use yahtzee_core::delivery::{SettledMark, WriteRange};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_storage::store::{Day, Marked, Outcome, OwnedSummary, Settling, SourcePartition, SummaryStore};

use super::Bench;
use super::support::{Entry, key, step};

fn source(partition: u32) -> SourcePartition {
    let (group, topic) = ("yahtzee.sink.errors.v1".into(), "ERROR_SUMMARY.v1".into());
    SourcePartition { group, topic, topic_id: [9; 16], partition: Partition(partition) }
}

/// A mark of a database whose writes all ended at [`END`].
fn mark(offset: u64, writes: u64) -> SettledMark {
    let written_end = if writes == 0 { Offset(0) } else { END };
    SettledMark { offset: Offset(offset), writes, written_end }
}

const END: Offset = Offset(100);

fn range(settled: u64) -> WriteRange {
    WriteRange { settled: Offset(settled), end: END }
}

/// Writes the `turn`th summary of an owner as one batch, and returns what became of it and of the settlings.
fn write(store: &dyn SummaryStore, turn: u64, settling: &[Settling]) -> (Outcome, Vec<Marked>) {
    let entry = Entry::new(key(1, 0), step(turn));
    let summary =
        OwnedSummary::read(&entry.job.as_str().into(), &entry.key.encode(), &entry.value, Day(i64::MAX))
            .unwrap();
    let mut writer = store.writer(store.shard_of(&entry.key));
    let mut written = writer.write_and_settle(&[summary.lend()], settling);
    (written.outcomes.remove(0), written.marks)
}

/// The marks of partitions in the shard that [`write`] writes to; all others have none.
fn marks_of(store: &dyn SummaryStore, of: &[SourcePartition]) -> Vec<Option<SettledMark>> {
    let written = store.shard_of(&key(1, 0)).index();
    let by_shard: Vec<_> = store.marks(of).into_iter().map(|marks| marks.expect("the shard works")).collect();
    assert_eq!(by_shard.len(), store.shards().len());
    for (_, marks) in by_shard.iter().enumerate().filter(|(shard, _)| *shard != written) {
        assert_eq!(marks, &vec![None; of.len()]);
    }
    by_shard[written].clone()
}

pub(crate) fn moves_a_mark_with_every_write(bench: &dyn Bench) {
    let store = bench.store();
    assert_eq!(marks_of(&*store, &[source(0)]), [None]);
    let check = |turn: u64, offset: u64, known: SettledMark, outcome: &Outcome, expected: SettledMark| {
        let settling = Settling { source: source(0), range: range(offset), known };
        assert_eq!(write(&*store, turn, &[settling]), (outcome.clone(), vec![Marked::At(expected)]));
        assert_eq!(marks_of(&*store, &[source(0)]), [Some(expected)]);
    };
    check(1, 10, mark(0, 0), &Outcome::Stored, mark(10, 1));
    check(2, 30, mark(10, 1), &Outcome::Stored, mark(30, 2));
    // A sink that knows less, as after a crash or beside another one, moves nothing back.
    check(3, 20, mark(10, 1), &Outcome::Stored, mark(30, 3));
    check(3, 40, mark(0, 0), &Outcome::Stale, mark(40, 4));
    drop(store);
    assert_eq!(marks_of(&*bench.reopen(), &[source(0)]), [Some(mark(40, 4))]);
}

pub(crate) fn keeps_the_marks_of_partitions_apart(bench: &dyn Bench) {
    let store = bench.store();
    let others = [
        source(1),
        SourcePartition { group: "yahtzee.retry.v1".into(), ..source(0) },
        SourcePartition { topic: "RETRY.ERROR_SUMMARY.v1".into(), ..source(0) },
        SourcePartition { topic_id: [8; 16], ..source(0) },
    ];
    let settling = |source: SourcePartition, offset| Settling {
        source,
        range: range(offset),
        known: SettledMark::default(),
    };
    // In any order, and several at once.
    let several = [settling(others[0].clone(), 7), settling(source(0), 10)];
    let (_, marked) = write(&*store, 1, &several);
    assert_eq!(marked, [Marked::At(mark(7, 1)), Marked::At(mark(10, 1))]);
    let all = [vec![source(0)], others.to_vec()].concat();
    assert_eq!(marks_of(&*store, &all), [Some(mark(10, 1)), Some(mark(7, 1)), None, None, None]);
    for (number, other) in (20..).zip(&others[1..]) {
        write(&*store, 2, &[settling(other.clone(), number)]);
    }
    let expected = [mark(10, 1), mark(7, 1), mark(20, 1), mark(21, 1), mark(22, 1)];
    assert_eq!(marks_of(&*store, &all), expected.map(Some));
    assert_eq!(marks_of(&*store, &[]), []);
}

/// A write of what was read again ends where it ends; the mark tells of the furthest one.
pub(crate) fn keeps_the_end_of_the_furthest_write(bench: &dyn Bench) {
    let store = bench.store();
    let check = |turn: u64, end: u64, expected: u64| {
        let known = SettledMark { writes: turn - 1, ..SettledMark::default() };
        let range = WriteRange { settled: Offset(1), end: Offset(end) };
        write(&*store, turn, &[Settling { source: source(0), range, known }]);
        let expected = SettledMark { offset: Offset(1), writes: turn, written_end: Offset(expected) };
        assert_eq!(marks_of(&*store, &[source(0)]), [Some(expected)]);
    };
    check(1, 40, 40);
    check(2, 30, 40);
    check(3, 41, 41);
}

/// Rows are written all the same: revisions guard them.
pub(crate) fn leaves_a_mark_that_is_behind(bench: &dyn Bench) {
    let store = bench.store();
    let settling = |known| Settling { source: source(0), range: range(90), known };
    let behind = |turn: u64, known: SettledMark, expected: Option<SettledMark>| {
        let (outcome, marked) = write(&*store, turn, &[settling(known)]);
        assert_eq!((outcome, marked), (Outcome::Stored, vec![Marked::Behind]), "{known:?}");
        assert_eq!(marks_of(&*store, &[source(0)]), [expected]);
    };
    behind(1, mark(50, 3), None);
    let fresh = Settling { range: range(20), ..settling(SettledMark::default()) };
    assert_eq!(write(&*store, 2, &[fresh]).1, [Marked::At(mark(20, 1))]);
    behind(3, mark(21, 1), Some(mark(20, 1)));
    behind(4, mark(20, 2), Some(mark(20, 1)));
    behind(5, SettledMark { written_end: END.next(), ..mark(20, 1) }, Some(mark(20, 1)));
    let other = Settling { source: source(1), ..settling(SettledMark::default()) };
    let (_, marked) = write(&*store, 6, &[settling(mark(20, 2)), other]);
    assert_eq!(marked, [Marked::Behind, Marked::At(mark(90, 1))]);
}
