//! Tests of marks: a database that was restored says so, whoever has written to it since.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn write(writer: u64, number: u64) -> WriteId {
    WriteId { writer, number }
}

fn written_by<const N: usize>(offset: u64, writes: u64, writers: [(u64, u64); N]) -> SettledMark {
    let mut mark = SettledMark { offset: Offset(offset), writes, ..SettledMark::default() };
    let last = mark.writers.iter_mut().zip(writers);
    last.for_each(|(place, (writer, number))| *place = write(writer, number));
    mark
}

fn numbers(offset: u64, writes: u64) -> KnownMark {
    KnownMark::Numbers { offset: Offset(offset), writes }
}

fn knowns() -> impl Strategy<Value = KnownMark> {
    let write = (1..u64::MAX, any::<u64>()).prop_map(|(writer, number)| WriteId { writer, number });
    prop_oneof![write.prop_map(KnownMark::Write), any::<[u64; 2]>().prop_map(|[o, w]| numbers(o, w))]
}

/// A database as a set of transactions, beside the mark that it has.
#[derive(Clone, Debug, Default)]
struct Database {
    mark: SettledMark,
    transactions: BTreeSet<usize>,
}

/// A process that writes, what it knows, and the transactions behind that.
#[derive(Clone, Debug, Default)]
struct Process {
    writer: u64,
    number: u64,
    known: KnownMark,
    transactions: BTreeSet<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A process writes a transaction that settles so much, if the database lets it.
    Write(usize, u64),
    /// The same, but nobody tells the process what became of it: it goes on as another writer.
    WriteUnanswered(usize, u64),
    /// A process starts anew, with what it finds.
    Start(usize),
    /// The database is set back to a state that it once had, also one of a history that was given up.
    Restore(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3_usize, 0..4_u64).prop_map(|(process, settled)| Step::Write(process, settled)),
        1 => (0..3_usize, 0..4_u64).prop_map(|(process, settled)| Step::WriteUnanswered(process, settled)),
        1 => (0..3_usize).prop_map(Step::Start),
        2 => any::<prop::sample::Index>().prop_map(Step::Restore),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #[test]
    fn marks_are_read_as_they_were_written(
        topic_id: [u8; 16],
        by_shard in prop::collection::btree_map(".{0,12}", knowns(), 0..20),
    ) {
        let marks = CommittedMarks { topic_id, by_shard };
        let metadata = marks.metadata();
        prop_assert!(metadata.is_ascii() && metadata.len() < 4_096);
        prop_assert_eq!(CommittedMarks::read(&metadata), Some(marks));
    }

    #[test]
    fn marks_of_earlier_formats_are_read(topic_id: [u8; 16], offset: u64, writes: u64) {
        let (id, shard) = (URL_SAFE_NO_PAD.encode(topic_id), URL_SAFE_NO_PAD.encode("shard"));
        let by_shard = BTreeMap::from([("shard".to_owned(), numbers(offset, writes))]);
        let expected = Some(CommittedMarks { topic_id, by_shard });
        for text in [
            format!("settled1 {id} {shard}:{offset}:{writes}"),
            format!("settled2 {id} {shard}:{offset}:{writes}:90"),
        ] {
            prop_assert_eq!(CommittedMarks::read(&text), expected.clone());
        }
    }

    #[test]
    fn foreign_metadata_has_no_marks(metadata in ".{0,40}") {
        prop_assert_eq!(CommittedMarks::read(&metadata), None);
    }

    /// Whoever knows of a transaction that a database has not any more finds it behind, whatever others have written since; and
    /// who knows of none does not, unless more writers have pushed his out than a mark keeps.
    #[test]
    fn a_database_is_behind_whoever_knows_more_than_it_has(steps in steps()) {
        let (mut database, mut states) = (Database::default(), vec![Database::default()]);
        let mut processes = [1, 2, 3].map(|writer| Process { writer, ..Process::default() });
        let (mut starts, mut settled) = (3, 0);
        for (transaction, step) in steps.into_iter().enumerate() {
            match step {
                Step::Write(process, more) => {
                    let process = &mut processes[process];
                    process.number += 1;
                    settled += more;
                    let write = WriteId { writer: process.writer, number: process.number };
                    let moved = database.mark.after_write(Offset(settled), write, process.known);
                    prop_assert_eq!(moved.is_none(), database.mark.is_behind(process.known));
                    if let Some(mark) = moved {
                        database.mark = mark;
                        database.transactions.insert(transaction);
                        states.push(database.clone());
                        (process.known, process.transactions) = (mark.known(), database.transactions.clone());
                    }
                }
                Step::WriteUnanswered(process, more) => {
                    let process = &mut processes[process];
                    process.number += 1;
                    settled += more;
                    let write = WriteId { writer: process.writer, number: process.number };
                    if let Some(mark) = database.mark.after_write(Offset(settled), write, process.known) {
                        database.mark = mark;
                        database.transactions.insert(transaction);
                        states.push(database.clone());
                    }
                    starts += 1;
                    process.writer = starts;
                }
                Step::Start(process) => {
                    starts += 1;
                    let (known, transactions) = (database.mark.known(), database.transactions.clone());
                    processes[process] = Process { writer: starts, number: 0, known, transactions };
                }
                Step::Restore(to) => database = to.get(&states).clone(),
            }
            for process in &processes {
                let has_lost = !process.transactions.is_subset(&database.transactions);
                let is_behind = database.mark.is_behind(process.known);
                prop_assert!(is_behind || !has_lost, "{process:?} {database:?}");
                prop_assert!(has_lost || !is_behind || starts > WRITERS_MAX as u64, "{process:?} {database:?}");
            }
        }
    }

    /// A database that writes the records of one partition in batches, each with the mark that delivery gives it, and
    /// is set back to an earlier state, whatever has gone elsewhere meanwhile.
    #[test]
    fn nothing_that_a_restored_database_has_lost_lies_below_the_beginning(
        batches in prop::collection::vec((1..5_u64, prop::option::weighted(0.2, Just(()))), 1..30),
        point: prop::sample::Index,
    ) {
        // The states after each transaction, with the records that are in them.
        let (mut states, mut position, mut rows) = (vec![(SettledMark::default(), 0)], 0, 0);
        for ((records, elsewhere), number) in batches.into_iter().zip(1..) {
            if elsewhere.is_none() {
                let (before, _) = states[states.len() - 1];
                let mark = before.after_write(Offset(position), write(7, number), before.known());
                rows = position + records;
                states.push((mark.unwrap(), rows));
            }
            position += records;
        }
        let (last, _) = states[states.len() - 1];
        let (found, has_rows_below) = states[point.index(states.len())];
        let begin = begin(Offset(position), [(found, last.known())]);
        prop_assert_eq!(begin < Offset(position), found != last);
        prop_assert!(has_rows_below == rows || begin <= Offset(has_rows_below));
    }
}

#[test]
fn a_write_moves_the_mark_unless_the_database_is_behind() {
    fn check(
        found: SettledMark,
        settled: u64,
        by: (u64, u64),
        known: KnownMark,
        expected: Option<SettledMark>,
    ) {
        let after = found.after_write(Offset(settled), write(by.0, by.1), known);
        assert_eq!(after, expected, "{found:?}");
    }
    let known = |writer, number| KnownMark::Write(write(writer, number));
    check(SettledMark::default(), 7, (5, 1), KnownMark::Nothing, Some(written_by(7, 1, [(5, 1)])));
    check(SettledMark::default(), 7, (5, 2), known(5, 1), None);
    // A writer that knows less, beside another one.
    let found = written_by(9, 4, [(5, 3), (6, 1)]);
    check(found, 7, (6, 2), known(6, 1), Some(written_by(9, 5, [(6, 2), (5, 3)])));
    check(found, 12, (5, 4), known(5, 3), Some(written_by(12, 5, [(5, 4), (6, 1)])));
    check(found, 12, (4, 1), known(5, 2), Some(written_by(12, 5, [(4, 1), (5, 3), (6, 1)])));
    check(found, 12, (5, 5), known(5, 4), None);
    // As many transactions to the same offset, of somebody who did not know.
    check(written_by(9, 4, [(6, 1)]), 12, (5, 4), known(5, 3), None);
    // One that comes after a later one of its writer, which did not wait for it.
    check(found, 9, (5, 2), KnownMark::Nothing, Some(written_by(9, 5, [(5, 3), (6, 1)])));
    // Known from a version that kept no writers, or found as it was written by one.
    check(found, 12, (4, 1), numbers(9, 4), Some(written_by(12, 5, [(4, 1), (5, 3), (6, 1)])));
    check(found, 12, (4, 1), numbers(9, 5), None);
    check(found, 12, (4, 1), numbers(10, 4), None);
    check(written_by(9, 4, []), 12, (4, 1), numbers(9, 4), Some(written_by(12, 5, [(4, 1)])));
}

#[test]
fn the_writer_that_has_been_idle_for_longest_is_forgotten_first() {
    let writers = [8, 7, 6, 5, 4, 3, 2, 1].map(|writer| (writer, 3));
    let found = written_by(9, 8, writers);
    let after = found.after_write(Offset(9), write(1, 4), found.known()).unwrap();
    let expected = [(1, 4), (8, 3), (7, 3), (6, 3), (5, 3), (4, 3), (3, 3), (2, 3)];
    assert_eq!(after, written_by(9, 9, expected));
    let after = after.after_write(Offset(9), write(9, 1), after.known()).unwrap();
    let expected = [(9, 1), (1, 4), (8, 3), (7, 3), (6, 3), (5, 3), (4, 3), (3, 3)];
    assert_eq!(after, written_by(9, 10, expected));
    assert!(after.is_behind(KnownMark::Write(write(2, 3))));
}

#[test]
fn what_is_known_of_a_database_is_its_last_transaction() {
    fn check(found: SettledMark, expected: KnownMark) {
        assert_eq!(found.known(), expected);
    }
    check(SettledMark::default(), KnownMark::Nothing);
    check(written_by(9, 4, [(5, 3), (6, 7)]), KnownMark::Write(write(5, 3)));
    check(written_by(9, 4, []), numbers(9, 4));
    check(written_by(0, 1, []), numbers(0, 1));
}

#[test]
fn a_shard_holds_the_beginning_back_only_while_it_is_behind() {
    fn check(shards: &[(SettledMark, KnownMark)], expected: u64) {
        assert_eq!(begin(Offset(90), shards.iter().copied()), Offset(expected), "{shards:?}");
    }
    let known = |number| KnownMark::Write(write(5, number));
    let found = |offset, number| written_by(offset, number, [(5, number)]);
    check(&[], 90);
    // Idle for long.
    check(&[(found(10, 3), known(3)), (found(80, 7), known(7))], 90);
    // Written to after the commit.
    check(&[(found(88, 9), known(7))], 90);
    // Restored, or empty; of several the one that has lost most counts.
    check(&[(found(60, 5), known(7)), (found(10, 3), known(3))], 60);
    check(&[(found(60, 5), known(7)), (SettledMark::default(), known(3))], 0);
    // A record that waited for RETRY has held the offset back.
    check(&[(found(10, 3), known(4))], 10);
    // More transactions since, to a greater offset, of a sink that knew nothing.
    check(&[(written_by(95, 9, [(6, 3), (5, 6)]), known(7))], 90);
    check(&[(written_by(50, 9, [(6, 3), (5, 6)]), known(7))], 50);
    // A commit of a version that kept no writers.
    check(&[(found(60, 5), numbers(80, 7)), (found(70, 7), numbers(70, 7))], 60);
}

#[test]
fn shards_beyond_the_limit_are_left_out() {
    let shard = |number: u64| {
        (format!("shard-with-a-long-name-{number}"), KnownMark::Write(write(u64::MAX - number, 1 << 40)))
    };
    let marks = CommittedMarks { topic_id: [7; 16], by_shard: (0..1_000).map(shard).collect() };
    let read = CommittedMarks::read(&marks.metadata()).unwrap();
    assert!(marks.metadata().len() <= METADATA_BYTES_MAX && !read.by_shard.is_empty());
    assert!(read.by_shard.iter().all(|(name, mark)| marks.by_shard[name] == *mark));
    assert_eq!(read.by_shard.len() + marks.left_out(), 1_000);
    assert_eq!(read.left_out(), 0);
}
