//! Marks: what they tell of a database that was restored, whoever writes to it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn mark(offset: u64, writes: u64) -> SettledMark {
    SettledMark { offset: Offset(offset), writes }
}

fn by(writer: u64, offset: u64, number: u64) -> SettledMark {
    mark(offset, writer << 32 | number)
}

proptest! {
    #[test]
    fn writers_fit_into_a_signed_integer(random: u64) {
        let first = MarkWriter::new(random).first_write();
        prop_assert!(first > u64::from(u32::MAX) && i64::try_from(first).is_ok());
    }

    #[test]
    fn marks_are_read_as_they_were_written(
        topic_id: [u8; 16],
        shards in prop::collection::btree_map(".{0,12}", (any::<u64>(), any::<u64>()), 0..20),
    ) {
        let by_shard = shards.into_iter().map(|(name, (offset, writes))| (name, mark(offset, writes))).collect();
        let marks = CommittedMarks { topic_id, by_shard };
        let metadata = marks.metadata();
        prop_assert!(metadata.is_ascii() && metadata.len() < 4_096);
        prop_assert_eq!(CommittedMarks::read(&metadata), Some(marks));
    }

    #[test]
    fn foreign_metadata_has_no_marks(metadata in ".{0,40}") {
        prop_assert_eq!(CommittedMarks::read(&metadata), None);
    }

    /// A database that writes the records of one partition in batches, each with the mark that delivery gives it, and
    /// is set back to an earlier state, whatever has gone elsewhere meanwhile.
    #[test]
    fn nothing_that_a_restored_database_has_lost_lies_below_the_beginning(
        batches in prop::collection::vec((1..5_u64, prop::option::weighted(0.2, Just(()))), 1..30),
        point: prop::sample::Index,
    ) {
        // The states after each transaction, with the records that are in them.
        let (mut states, mut position, mut rows) = (vec![(mark(0, 0), 0)], 0, 0);
        for (records, elsewhere) in batches {
            if elsewhere.is_none() {
                let (before, _) = states[states.len() - 1];
                rows = position + records;
                states.push((mark(position, before.writes + 1), rows));
            }
            position += records;
        }
        let (known, _) = states[states.len() - 1];
        let (found, has_rows_below) = states[point.index(states.len())];
        let begin = begin(Offset(position), [(found, known)]);
        prop_assert_eq!(begin < Offset(position), found != known);
        prop_assert!(has_rows_below == rows || begin <= Offset(has_rows_below));
    }
}

#[test]
fn a_write_moves_the_mark_unless_the_database_is_behind() {
    fn check(found: SettledMark, settled: u64, known: SettledMark, expected: Option<SettledMark>) {
        assert_eq!(found.after_write(Offset(settled), known, MarkWriter(3)), expected, "{found:?} {known:?}");
    }
    check(mark(0, 0), 7, mark(0, 0), Some(by(3, 7, 1)));
    check(by(3, 9, 4), 7, by(3, 9, 4), Some(by(3, 9, 5)));
    check(by(3, 9, 4), 12, by(3, 9, 5), None);
    check(by(3, 9, 9), 12, by(3, 10, 5), None);
    // The first one of a writer: of nothing known, of what it has found, and of what was written since by whom it knows.
    check(by(7, 9, 4), 12, mark(0, 0), Some(by(3, 12, 5)));
    check(by(7, 9, 4), 12, by(7, 9, 4), Some(by(3, 12, 5)));
    check(by(7, 9, 6), 12, by(7, 9, 4), Some(by(3, 12, 7)));
    check(mark(9, 4), 12, mark(9, 4), Some(by(3, 12, 5)));
    check(by(7, 9, u64::from(u32::MAX)), 12, mark(0, 0), Some(by(3, 12, 0)));
    // It has not heard of its own first one.
    check(by(3, 9, 1), 12, by(7, 9, 4), Some(by(3, 12, 2)));
    // Another one has written since, or after a restore: with any number of transactions.
    check(by(7, 90, 9), 12, by(3, 9, 4), None);
    check(by(8, 9, 1), 12, by(7, 9, 4), None);
    check(mark(0, 0), 12, by(7, 9, 4), None);
}

#[test]
fn a_shard_holds_the_beginning_back_only_while_it_is_behind() {
    fn check(shards: &[(SettledMark, SettledMark)], expected: u64) {
        assert_eq!(begin(Offset(90), shards.iter().copied()), Offset(expected), "{shards:?}");
    }
    check(&[], 90);
    // Idle for long.
    check(&[(mark(10, 3), mark(10, 3)), (mark(80, 7), mark(80, 7))], 90);
    // Written to after the commit.
    check(&[(mark(88, 9), mark(80, 7))], 90);
    // Restored, or empty; of several the one that has lost most counts.
    check(&[(mark(60, 5), mark(80, 7)), (mark(10, 3), mark(10, 3))], 60);
    check(&[(mark(60, 5), mark(80, 7)), (mark(0, 0), mark(10, 3))], 0);
    // A record that waited for RETRY has held the offset back.
    check(&[(mark(10, 3), mark(10, 4))], 10);
    // As many transactions since, of a sink that knew nothing.
    check(&[(mark(50, 9), mark(80, 7))], 50);
    check(&[(by(4, 50, 7), by(3, 50, 7))], 50);
    // Of a successor that has begun at the commit, or behind it.
    check(&[(by(4, 90, 1), by(3, 80, 7)), (by(4, 95, 1), by(3, 80, 7))], 90);
}

#[test]
fn shards_beyond_the_limit_are_left_out() {
    let shard = |number: u32| (format!("shard-with-a-long-name-{number}"), mark(u64::MAX, u64::MAX));
    let marks = CommittedMarks { topic_id: [7; 16], by_shard: (0..1_000).map(shard).collect() };
    let read = CommittedMarks::read(&marks.metadata()).unwrap();
    assert!(marks.metadata().len() <= METADATA_BYTES_MAX && !read.by_shard.is_empty());
    assert!(read.by_shard.iter().all(|(name, mark)| marks.by_shard[name] == *mark));
    assert_eq!(read.by_shard.len() + marks.left_out(), 1_000);
    assert_eq!(read.left_out(), 0);
}

/// A database of one shard that every record of a partition goes to, and the group that fills it.
#[derive(Clone, Debug, Default)]
struct Shelf {
    rows: BTreeSet<u64>,
    mark: SettledMark,
}

/// A process of the group.
#[derive(Clone, Debug, Default)]
struct Filler {
    writer: MarkWriter,
    /// What it reads next; closed without it.
    next: Option<u64>,
    /// Waits for RETRY, so that nothing beyond it is settled.
    held: Option<u64>,
    known: SettledMark,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Open,
    Write { records: u64, is_heard_of: bool },
    Hold,
    Settle,
    Commit,
    Crash,
    BackUp,
    Restore,
}

#[derive(Debug, Default)]
struct Group {
    shelf: Shelf,
    backup: Shelf,
    committed: (u64, SettledMark),
    fillers: [Filler; 2],
    writers: u64,
}

impl Filler {
    fn settled(&self, next: u64) -> u64 {
        self.held.unwrap_or(next)
    }
}

impl Group {
    fn step(&mut self, number: usize, step: Step) {
        let filler = &mut self.fillers[number];
        match (step, filler.next) {
            (Step::Open, None) => self.open(number),
            (Step::Write { records, is_heard_of }, Some(next)) => {
                self.write(number, next, records, is_heard_of)
            }
            (Step::Hold, Some(next)) if filler.held.is_none() => {
                // It is in RETRY only once it is settled.
                (filler.held, filler.next) = (Some(next), Some(next + 1));
            }
            (Step::Settle, Some(_)) => {
                self.shelf.rows.extend(filler.held);
                self.backup.rows.extend(filler.held.take());
            }
            (Step::Commit, Some(next)) => self.committed = (filler.settled(next), filler.known),
            (Step::Crash, _) => *filler = Filler::default(),
            (Step::BackUp, _) => self.backup = self.shelf.clone(),
            (Step::Restore, _) => self.shelf = self.backup.clone(),
            _ => {}
        }
    }

    fn open(&mut self, number: usize) {
        let (committed, known) = self.committed;
        let begin = begin(Offset(committed), [(self.shelf.mark, known)]);
        self.writers += 1;
        let (writer, known) = (MarkWriter::new(self.writers), self.shelf.mark);
        self.fillers[number] = Filler { writer, next: Some(begin.0), held: None, known };
        self.check("the beginning", begin.0);
        if begin.0 < committed {
            self.committed = (begin.0, known);
        }
    }

    fn write(&mut self, number: usize, next: u64, records: u64, is_heard_of: bool) {
        let filler = &mut self.fillers[number];
        self.shelf.rows.extend(next..next + records);
        match self.shelf.mark.after_write(Offset(filler.settled(next)), filler.known, filler.writer) {
            None => {
                *filler = Filler::default();
                self.open(number);
            }
            Some(mark) => {
                self.shelf.mark = mark;
                if is_heard_of {
                    (filler.known, filler.next) = (mark, Some(next + records));
                }
                self.check("the mark", mark.offset.0);
            }
        }
    }

    /// Nothing below may be missing: nobody would read it again.
    fn check(&self, place: &str, below: u64) {
        let missing = (0..below).find(|offset| !self.shelf.rows.contains(offset));
        assert_eq!(missing, None, "below {place} {below}: {self:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    /// Two processes of one group, whichever of them writes, commits and crashes, and a database that is restored meanwhile.
    #[test]
    fn nobody_begins_above_what_a_restored_database_has_lost(
        steps in prop::collection::vec(
            (
                0..2_usize,
                prop_oneof![
                    2 => Just(Step::Open),
                    4 => (1..3_u64, any::<bool>())
                        .prop_map(|(records, is_heard_of)| Step::Write { records, is_heard_of }),
                    1 => Just(Step::Hold),
                    1 => Just(Step::Settle),
                    2 => Just(Step::Commit),
                    1 => Just(Step::Crash),
                    1 => Just(Step::BackUp),
                    1 => Just(Step::Restore),
                ],
            ),
            0..60,
        ),
    ) {
        let mut group = Group::default();
        for (number, step) in steps {
            group.step(number, step);
        }
    }
}
