//! A job whose code panics, in the middle of records and in figures.

use proptest::prelude::*;

use super::*;
use crate::erased::AnyJob;
use crate::job::{Figures, figures_of};
use crate::summary::UnreadableSummary;

/// Sums, and panics in the middle of a record at what it cannot take.
#[derive(Debug)]
struct Picky;

impl Job for Picky {
    const NAME: &'static str = "picky";
    const MEASUREMENT: &'static str = "ID";
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["name"];
    type Record<'a> = IdRecord;
    type Accumulator = u64;
    type Summary = IdSummary;

    fn fold(&self, record: &IdRecord, intake: &mut Intake<'_, Self>) {
        for id in &record.ids {
            intake.add(id.minute * 60_000_000, [&id.dimension], |sum| {
                *sum += u64::from(id.id);
                if *sum % 7 == 3 {
                    std::panic::resume_unwind(Box::new("as planned"));
                }
            });
        }
    }

    fn summarize(&self, sum: &u64) -> IdSummary {
        IdSummary { ids: *sum }
    }

    fn figures(summary: &IdSummary) -> Figures {
        match summary.ids {
            3 => std::panic::resume_unwind(Box::new("as planned")),
            ids => figures_of([("ids", ids)]),
        }
    }
}

#[test]
fn figures_that_panic_are_those_of_one_summary() {
    let figures = |ids| AnyJob::figures(&Picky, &IdSummary { ids }.encode_to_vec());
    assert_eq!(figures(3), Err(UnreadableSummary::Panic));
    assert_eq!(figures(4), Ok(figures_of([("ids", 4)])));
}

proptest! {
    /// A rehearsal panics where the fold itself would, and nowhere else, also at the caps: where a series finds no room it is the
    /// owner's `other` series that takes the measurement.
    #[test]
    fn a_rehearsal_panics_where_the_fold_would(
        // Caps that a few series use up.
        (series_max, series_per_owner_max) in (1..8_usize, 1..6_usize),
        records in prop::collection::vec((0..4_u8, prop::collection::vec((9..11_i64, 0..6_u32, "[a-e]"), 1..5)), 1..20),
    ) {
        let policy = Policy { series_max, series_per_owner_max, ..Policy::default() };
        let open = |poisoned| {
            let history = History { poisoned, ..history(None, 0, 0) };
            PartitionCore::<Picky>::open(Arc::new(Picky), policy, identity(), history).unwrap().core
        };
        let feed = |core: &mut PartitionCore<Picky>, offset: u64, (owner, ids): &(u8, Vec<(i64, u32, String)>)| {
            let id = |(minute, id, dimension): &(i64, u32, String)| Id { minute: *minute, id: *id, dimension: dimension.clone() };
            let value = IdRecord { frame_id: vec![], ids: ids.iter().map(id).collect() }.encode_to_vec();
            let key = [*owner; 16];
            let record = LogRecord { offset: Offset(offset), timestamp_ms: 630_000, key: &key, value: &value };
            core.ingest(record, &mut Vec::new())
        };
        let mut rehearsing = open(&[RecordPrint { offset: Offset(1_000), crc: 0 }]);
        let mut taken: Vec<(u64, &(u8, Vec<_>))> = Vec::new();
        for (offset, record) in (0..).zip(&records) {
            // A fold that panics leaves its partition in no state to go on.
            let mut folding = open(&[]);
            taken.iter().for_each(|&(offset, record)| _ = feed(&mut folding, offset, record));
            let folded = catch_unwind(AssertUnwindSafe(|| feed(&mut folding, offset, record)));
            let rehearsed = feed(&mut rehearsing, offset, record);
            prop_assert_eq!(rehearsed, folded.unwrap_or(RecordOutcome::Poison(Poison::Panic)));
            if rehearsed != RecordOutcome::Poison(Poison::Panic) {
                taken.push((offset, record));
            }
        }
    }

    /// What the job's code panics on depends on all records before it. Where it has panicked before, such a record leaves no
    /// trace but its dead letter: the summaries are those of the others, read without it.
    #[test]
    fn a_record_that_panics_changes_nothing(
        records in prop::collection::vec((0..4_u64, prop::collection::vec((9..12_i64, 0..6_u32, "[ab]"), 1..4)), 1..30),
    ) {
        let open = || {
            let history = History { poisoned: &[RecordPrint { offset: Offset(1_000), crc: 0 }], ..history(None, 0, 0) };
            PartitionCore::<Picky>::open(Arc::new(Picky), Policy::default(), identity(), history).unwrap().core
        };
        let value = |frame: u64, ids: &[(i64, u32, String)]| {
            let id = |(minute, id, dimension): &(i64, u32, String)| Id { minute: *minute, id: *id, dimension: dimension.clone() };
            let frame_id = [[0; 8], frame.to_be_bytes()].concat();
            IdRecord { frame_id, ids: ids.iter().map(id).collect() }.encode_to_vec()
        };
        let feed = |core: &mut PartitionCore<Picky>, offset: u64, value: &[u8], out: &mut Vec<Effect>| {
            core.ingest(LogRecord { offset: Offset(offset), timestamp_ms: 630_000, key: &OWNER.0, value }, out)
        };
        let (mut tried, mut without) = (open(), open());
        let (mut effects, mut expected) = (Vec::new(), Vec::new());
        for (offset, (frame, ids)) in (0..).zip(&records) {
            let value = value(*frame, ids);
            if feed(&mut tried, offset, &value, &mut effects) != RecordOutcome::Poison(Poison::Panic) {
                feed(&mut without, offset, &value, &mut expected);
            }
        }
        tried.flush(&mut effects);
        without.flush(&mut expected);
        effects.retain(|effect| !matches!(effect, Effect::DeadLetter(_)));
        prop_assert_eq!(effects, expected);
    }
}
