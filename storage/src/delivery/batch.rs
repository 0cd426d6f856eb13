//! One batch into one shard, where a poison revision does not hide the good ones before it.

use yahtzee_core::delivery::OutcomeKind;

use crate::store::{Marked, Outcome, Settling, ShardWriter, Summary, WrittenBatch};

/// Writes a batch as [`ShardWriter::write_and_settle`] does. Of each key the writer tries only the newest summary; if
/// that is poison, the one before it is tried, which was stale for its sake.
pub(super) fn write(
    writer: &mut dyn ShardWriter,
    batch: &[Summary<'_>],
    mut settling: Vec<Settling>,
) -> WrittenBatch {
    let mut answers = vec![Marked::Unknown; settling.len()];
    let WrittenBatch { mut outcomes, marks, mut is_in_doubt } = writer.write_and_settle(batch, &settling);
    Settling::follow_all(&mut settling, &mut answers, &marks);
    loop {
        let hidden = hidden_by_poison(batch, &outcomes);
        if hidden.is_empty() {
            return WrittenBatch { outcomes, marks: answers, is_in_doubt };
        }
        let again: Vec<Summary<'_>> = hidden.iter().map(|&index| batch[index]).collect();
        if is_in_doubt {
            settling.iter_mut().for_each(|settling| settling.writer = new_writer());
        }
        let written = writer.write_and_settle(&again, &settling);
        Settling::follow_all(&mut settling, &mut answers, &written.marks);
        is_in_doubt |= written.is_in_doubt;
        for (index, outcome) in hidden.into_iter().zip(written.outcomes) {
            outcomes[index] = outcome;
        }
    }
}

/// Returns the id of a writer that nobody has had: see [`yahtzee_core::delivery::WriteId::writer`].
pub(super) fn new_writer() -> u64 {
    fastrand::u64(1..)
}

/// Returns the stale summaries of keys of which nothing was tried but poison.
fn hidden_by_poison(batch: &[Summary<'_>], outcomes: &[Outcome]) -> Vec<usize> {
    let is_poison = |outcome: &Outcome| outcome.kind() == OutcomeKind::Poison;
    let is_stale = |outcome: &Outcome| outcome.kind() == OutcomeKind::Stale;
    let poison: Vec<&Summary<'_>> = batch
        .iter()
        .zip(outcomes)
        .filter(|(_, outcome)| is_poison(outcome))
        .map(|(summary, _)| summary)
        .collect();
    let of_key = |one: &Summary<'_>, other: &Summary<'_>| (one.job, one.key) == (other.job, other.key);
    let is_hidden = |&index: &usize| {
        let summary = &batch[index];
        let others = || batch.iter().zip(outcomes).filter(|(other, _)| of_key(other, summary));
        is_stale(&outcomes[index])
            && poison.iter().any(|poison| of_key(poison, summary))
            && others().all(|(_, outcome)| is_poison(outcome) || is_stale(outcome))
            && others().any(|(other, outcome)| is_poison(outcome) && other.revision() > summary.revision())
    };
    (0..batch.len()).filter(is_hidden).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use yahtzee_core::delivery::{KnownMark, SettledMark, WriteId};
    use yahtzee_core::owner::Partition;
    use yahtzee_core::record::Offset;
    use yahtzee_runtime::cause::Cause;

    use super::*;
    use crate::store::{Day, OwnedSummary, SourcePartition};
    use crate::test_world::summaries::{key, value};

    /// Stores the newest of each key, unless its revision is poison; notes what it was asked.
    #[derive(Default)]
    struct Picky {
        poison: Vec<u64>,
        stored: Vec<(u8, u64)>,
        calls: usize,
        /// The mark that each call answers with.
        marks: VecDeque<Marked>,
        /// What each call knew.
        known: Vec<KnownMark>,
        /// By whom each call was.
        writers: Vec<u64>,
        /// Series that the first call does not answer.
        unanswered: Option<u8>,
    }

    impl ShardWriter for Picky {
        fn write_and_settle(&mut self, batch: &[Summary<'_>], settling: &[Settling]) -> WrittenBatch {
            self.calls += 1;
            self.known.extend(settling.iter().map(|settling| settling.known));
            self.writers.extend(settling.iter().map(|settling| settling.writer));
            let outcome = |summary: &Summary<'_>| {
                if self.calls == 1 && self.unanswered == Some(summary.parts.owner.0[0]) {
                    return Outcome::Retryable(Cause::new("planned", "as planned"));
                }
                let is_newest =
                    |other: &Summary<'_>| other.key != summary.key || other.revision() <= summary.revision();
                let (series, revision) = (summary.parts.owner.0[0], summary.provenance.last_offset);
                if !batch.iter().all(is_newest)
                    || self.stored.iter().any(|&(of, kept)| of == series && kept >= revision)
                {
                    return Outcome::Stale;
                }
                if self.poison.contains(&revision) {
                    return Outcome::Poison(Cause::new("planned", "as planned"));
                }
                Outcome::Stored
            };
            let outcomes: Vec<Outcome> = batch.iter().map(outcome).collect();
            for (summary, outcome) in batch.iter().zip(&outcomes) {
                if *outcome == Outcome::Stored {
                    self.stored.push((summary.parts.owner.0[0], summary.provenance.last_offset));
                }
            }
            let is_in_doubt = self.calls == 1 && self.unanswered.is_some();
            WrittenBatch { outcomes, marks: self.marks.pop_front().into_iter().collect(), is_in_doubt }
        }
    }

    fn owned(batch: &[(u8, u64)]) -> Vec<OwnedSummary> {
        let read = |&(series, revision): &(u8, u64)| {
            OwnedSummary::read(&"job".into(), &key(series), &value(revision), Day(i64::MAX)).unwrap()
        };
        batch.iter().map(read).collect()
    }

    /// A try that has written nothing knows nothing of the mark, and must not hide that the database was restored.
    #[test]
    fn the_mark_is_that_of_the_last_try_which_has_written() {
        fn check(marks: [Marked; 2], expected: Marked) {
            let owned = owned(&[(1, 1), (1, 2)]);
            let lent: Vec<Summary<'_>> = owned.iter().map(OwnedSummary::lend).collect();
            let mut writer = Picky { poison: vec![2], marks: marks.into(), ..Picky::default() };
            let written = write(&mut writer, &lent, vec![settling()]);
            assert_eq!((written.marks.as_slice(), writer.calls), ([expected].as_slice(), 2), "{marks:?}");
        }
        let at = |writes| Marked::At(SettledMark { offset: Offset(7), writes, ..SettledMark::default() });
        check([at(1), at(2)], at(2));
        check([at(1), Marked::Unknown], at(1));
        check([Marked::Behind, Marked::Unknown], Marked::Behind);
        // What the first try wrote went into a database that was set back, and is not in the one that has all again.
        check([Marked::Behind, at(1)], Marked::Behind);
        check([at(1), Marked::Behind], Marked::Behind);
        check([Marked::Unknown, at(1)], at(1));
        check([Marked::Unknown, Marked::Unknown], Marked::Unknown);
    }

    /// By the writer 5, which knows nothing.
    fn settling() -> Settling {
        let source = SourcePartition {
            group: "group".into(),
            topic: "topic".into(),
            topic_id: [1; 16],
            partition: Partition(0),
        };
        Settling { source, settled: Offset(0), writer: 5, known: KnownMark::Nothing }
    }

    /// Others may know of a transaction whose answer was lost: what is written without knowing of it is by another writer.
    #[test]
    fn another_writer_goes_on_after_a_try_without_an_answer() {
        fn check(unanswered: Option<u8>, is_same: bool) {
            let owned = owned(&[(1, 1), (1, 2), (2, 1)]);
            let lent: Vec<Summary<'_>> = owned.iter().map(OwnedSummary::lend).collect();
            let mut writer = Picky { poison: vec![2], unanswered, ..Picky::default() };
            write(&mut writer, &lent, vec![settling()]);
            let &[first, second] = writer.writers.as_slice() else { panic!("{:?}", writer.writers) };
            assert_eq!((first, first == second), (5, is_same), "{unanswered:?}");
        }
        check(None, true);
        check(Some(2), false);
    }

    /// Else the database could lose the first try before the second, and nobody would notice.
    #[test]
    fn a_try_knows_what_the_one_before_it_has_written() {
        let owned = owned(&[(1, 1), (1, 2)]);
        let lent: Vec<Summary<'_>> = owned.iter().map(OwnedSummary::lend).collect();
        let mut mark = SettledMark { writes: 1, ..SettledMark::default() };
        mark.writers[0] = WriteId { writer: 5, number: 9 };
        let settling = settling();
        let mut writer =
            Picky { poison: vec![2], marks: [Marked::At(mark), Marked::Unknown].into(), ..Picky::default() };
        write(&mut writer, &lent, vec![settling]);
        assert_eq!(writer.known, [KnownMark::Nothing, mark.known()]);
    }

    #[test]
    fn the_newest_revision_that_is_not_poison_is_stored() {
        fn check(batch: &[(u8, u64)], poison: &[u64], expected: &[&str], calls: usize) {
            let owned = owned(batch);
            let lent: Vec<Summary<'_>> = owned.iter().map(OwnedSummary::lend).collect();
            let mut writer = Picky { poison: poison.to_vec(), ..Picky::default() };
            let outcomes = write(&mut writer, &lent, Vec::new()).outcomes;
            let names: Vec<&str> = outcomes.iter().map(Outcome::name).collect();
            assert_eq!((names.as_slice(), writer.calls), (expected, calls), "{batch:?} {poison:?}");
        }
        check(&[(1, 1), (1, 2)], &[], &["stale", "stored"], 1);
        check(&[(1, 1), (1, 2)], &[2], &["stored", "poison"], 2);
        check(&[(1, 1), (1, 2)], &[1], &["stale", "stored"], 1);
        check(&[(1, 3), (1, 1), (2, 3), (1, 2)], &[3], &["poison", "stale", "poison", "stored"], 2);
        check(&[(1, 1), (1, 2), (1, 3)], &[2, 3], &["stored", "poison", "poison"], 3);
        check(&[(1, 1), (1, 2)], &[1, 2], &["poison", "poison"], 2);
    }
}
