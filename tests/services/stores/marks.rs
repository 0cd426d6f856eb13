//! What a store keeps of the partitions that its rows come from.

use yahtzee_core::delivery::{KnownMark, SettledMark, WRITERS_MAX, WriteId};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_storage::store::{Day, Marked, Outcome, OwnedSummary, Settling, SourcePartition, SummaryStore};

use super::Bench;
use super::support::{Entry, key, step};

fn source(partition: u32) -> SourcePartition {
    let (group, topic) = ("yahtzee.sink.errors.v1".into(), "ERROR_SUMMARY.v1".into());
    SourcePartition { group, topic, topic_id: [9; 16], partition: Partition(partition) }
}

/// What a mark tells, but for the numbers that a process gives to its writes.
#[derive(Debug, PartialEq)]
struct Seen {
    offset: u64,
    writes: u64,
    /// Last first.
    writers: Vec<u64>,
}

fn seen(offset: u64, writes: u64, writers: &[u64]) -> Seen {
    Seen { offset, writes, writers: writers.to_vec() }
}

impl Seen {
    fn of(mark: SettledMark) -> Self {
        let writers: Vec<u64> = mark.writers.iter().map(|last| last.writer).collect();
        let count = writers.iter().filter(|&&writer| writer != 0).count();
        seen(mark.offset.0, mark.writes, &writers[..count])
    }
}

/// The mark in an answer.
fn answered(marked: Marked) -> SettledMark {
    match marked {
        Marked::At(mark) => mark,
        other => panic!("{other:?}"),
    }
}

fn settling(source: SourcePartition, settled: u64, writer: u64, known: KnownMark) -> Settling {
    Settling { source, settled: Offset(settled), writer, known }
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
    let check = |turn: u64, by: (u64, KnownMark), offset: u64, outcome: &Outcome, expected: Seen| {
        let (found, marked) = write(&*store, turn, &[settling(source(0), offset, by.0, by.1)]);
        let mark = answered(marked[0]);
        assert_eq!((found, Seen::of(mark)), (outcome.clone(), expected));
        assert_eq!(marks_of(&*store, &[source(0)]), [Some(mark)]);
        mark.known()
    };
    // A writer whose id needs all bits.
    let (one, two) = (u64::MAX, 7);
    let first = check(1, (one, KnownMark::Nothing), 10, &Outcome::Stored, seen(10, 1, &[one]));
    let second = check(2, (one, first), 30, &Outcome::Stored, seen(30, 2, &[one]));
    // A sink that knows less, as after a crash or beside another one, moves nothing back.
    let third = check(3, (two, first), 20, &Outcome::Stored, seen(30, 3, &[two, one]));
    let fourth = check(4, (one, second), 20, &Outcome::Stored, seen(30, 4, &[one, two]));
    check(4, (two, third), 40, &Outcome::Stale, seen(40, 5, &[two, one]));
    check(5, (two, fourth), 40, &Outcome::Stored, seen(40, 6, &[two, one]));
    drop(store);
    let found = marks_of(&*bench.reopen(), &[source(0)]);
    assert_eq!(found[0].map(Seen::of), Some(seen(40, 6, &[two, one])));
}

/// Partitions that differ from the first one in one thing each.
fn others() -> [SourcePartition; 4] {
    [
        source(1),
        SourcePartition { group: "yahtzee.retry.v1".into(), ..source(0) },
        SourcePartition { topic: "RETRY.ERROR_SUMMARY.v1".into(), ..source(0) },
        SourcePartition { topic_id: [8; 16], ..source(0) },
    ]
}

pub(crate) fn keeps_the_marks_of_partitions_apart(bench: &dyn Bench) {
    let store = bench.store();
    let others = others();
    let of = |source: SourcePartition, offset| settling(source, offset, offset, KnownMark::Nothing);
    let found = |of: &[SourcePartition]| -> Vec<Option<Seen>> {
        marks_of(&*store, of).into_iter().map(|mark| mark.map(Seen::of)).collect()
    };
    // In any order, and several at once.
    let (_, marked) = write(&*store, 1, &[of(others[0].clone(), 7), of(source(0), 10)]);
    let marked: Vec<Seen> = marked.into_iter().map(answered).map(Seen::of).collect();
    assert_eq!(marked, [seen(7, 1, &[7]), seen(10, 1, &[10])]);
    let all = [vec![source(0)], others.to_vec()].concat();
    assert_eq!(found(&all), [Some(seen(10, 1, &[10])), Some(seen(7, 1, &[7])), None, None, None]);
    for (number, other) in (20..).zip(&others[1..]) {
        write(&*store, 2, &[of(other.clone(), number)]);
    }
    let expected = [10, 7, 20, 21, 22].map(|number| Some(seen(number, 1, &[number])));
    assert_eq!(found(&all), expected);
    assert_eq!(found(&[]), []);
}

/// The writers that have been idle for longest are forgotten; what the others have written stays known.
pub(crate) fn keeps_the_last_writers(bench: &dyn Bench) {
    let store = bench.store();
    let by = |turn: u64, writer: u64, known| {
        answered(write(&*store, turn, &[settling(source(0), 1, writer, known)]).1[0])
    };
    let all = WRITERS_MAX as u64 + 2;
    let marks: Vec<SettledMark> = (1..=all).map(|writer| by(writer, writer, KnownMark::Nothing)).collect();
    let newest: Vec<u64> = (3..=all).rev().collect();
    assert_eq!(Seen::of(marks[marks.len() - 1]), seen(1, all, &newest));
    // From the middle to the front.
    let mark = by(all + 1, 5, marks[4].known());
    let expected: Vec<u64> =
        [5].into_iter().chain(newest.into_iter().filter(|&writer| writer != 5)).collect();
    assert_eq!(Seen::of(mark), seen(1, all + 1, &expected));
    let numbers = |mark: SettledMark| {
        let mut writers = mark.writers;
        writers.sort_by_key(|last| last.writer);
        writers.map(|last| last.number)
    };
    // Each number has gone with its writer: 3, 4 and 5 come first in this order, and only that of 5 is another one.
    let (before, after) = (numbers(marks[marks.len() - 1]), numbers(mark));
    let changed: Vec<usize> = (0..WRITERS_MAX).filter(|&place| before[place] != after[place]).collect();
    assert_eq!(changed, [2]);
    assert!(after[2] > before[2]);
}

/// Whatever writers write, and whatever each knows, what the store makes of a mark is what the rule of the core makes of it.
pub(crate) fn moves_marks_as_the_rule_says(bench: &dyn Bench) {
    let store = bench.store();
    let (mut found, mut marks) = (SettledMark::default(), vec![SettledMark::default()]);
    for (turn, bytes) in
        (1..).zip((1..40_u64).map(|turn| (turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ turn).to_be_bytes()))
    {
        // Half of the ids have the top bit.
        let writer = u64::from(bytes[0] % 12 + 1) | u64::from(bytes[0] % 2) << 63;
        let known = marks[marks.len() - 1 - usize::from(bytes[1]) % marks.len().min(24)];
        let known = match (bytes[2] % 4, known.known()) {
            (0, _) => KnownMark::Numbers {
                offset: known.offset,
                writes: known.writes + u64::from(bytes[3] % 8 / 7),
            },
            (1, KnownMark::Write(last)) => KnownMark::Write(WriteId { number: last.number + 1, ..last }),
            (_, known) => known,
        };
        let settling = settling(source(0), u64::from(bytes[4]), writer, known);
        let (_, marked) = write(&*store, turn, std::slice::from_ref(&settling));
        match marked[0] {
            Marked::At(mark) => {
                let expected = found.after_write(settling.settled, mark.writers[0], known);
                assert_eq!(Some(mark), expected, "{found:?} {settling:?}");
                found = mark;
            }
            Marked::Behind => assert!(found.is_behind(known), "{found:?} {settling:?}"),
            Marked::Unknown => panic!("the shard works"),
        }
        marks.push(found);
        let kept = marks_of(&*store, &[source(0)])[0].unwrap_or_default();
        assert_eq!(kept, found, "{settling:?}");
    }
    let behind = marks.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!((1..marks.len() / 2).contains(&behind), "{behind} of {}", marks.len());
}

/// Rows are written all the same: revisions guard them.
pub(crate) fn leaves_a_mark_that_is_behind(bench: &dyn Bench) {
    let store = bench.store();
    let behind = |turn: u64, known: KnownMark, expected: Option<SettledMark>| {
        let (outcome, marked) = write(&*store, turn, &[settling(source(0), 90, 6, known)]);
        assert_eq!((outcome, marked), (Outcome::Stored, vec![Marked::Behind]), "{known:?}");
        assert_eq!(marks_of(&*store, &[source(0)]), [expected]);
    };
    let numbers = |offset, writes| KnownMark::Numbers { offset: Offset(offset), writes };
    let by = |writer, number| KnownMark::Write(WriteId { writer, number });
    behind(1, numbers(50, 3), None);
    behind(2, by(6, 1), None);
    let mark = answered(write(&*store, 3, &[settling(source(0), 20, 5, KnownMark::Nothing)]).1[0]);
    let number = mark.writers[0].number;
    behind(4, numbers(21, 1), Some(mark));
    behind(5, numbers(20, 2), Some(mark));
    behind(6, by(5, number + 1), Some(mark));
    behind(7, by(6, number), Some(mark));
    let other = settling(source(1), 90, 6, KnownMark::Nothing);
    let (_, marked) = write(&*store, 8, &[settling(source(0), 90, 6, numbers(20, 2)), other]);
    assert_eq!(marked[0], Marked::Behind);
    assert_eq!(Seen::of(answered(marked[1])), seen(90, 1, &[6]));
    let (_, marked) = write(&*store, 9, &[settling(source(0), 90, 6, numbers(20, 1))]);
    let mark = answered(marked[0]);
    assert_eq!(Seen::of(mark), seen(90, 2, &[6, 5]));
    // A writer is the same in all partitions that it reads: what one of them has, another one may have lost.
    for other in others() {
        let (_, marked) = write(&*store, 10, &[settling(other.clone(), 90, 6, mark.known())]);
        assert_eq!(marked, [Marked::Behind], "{other:?}");
    }
}
