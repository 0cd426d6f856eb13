//! A job whose accumulator draws a sample of occurrences.

use yahtzee_core::accumulate::{Accumulator, TopK};

use super::*;

fn fold<J: Job<Accumulator = TopK>>(record: &Numbers, intake: &mut Intake<'_, J>) {
    for &number in &record.numbers {
        let occurrence = intake.occurrence();
        intake.add(START_US, [], |top| top.add(occurrence, &number.to_be_bytes()));
    }
}

/// How often the number occurred that occurred most.
struct Most;

impl Job for Most {
    const NAME: &'static str = "most";
    const MEASUREMENT: &'static str = "NUMBERS";
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &[];
    type Record<'a> = Numbers;
    type Accumulator = TopK;
    type Summary = Answer;

    fn fold(&self, record: &Numbers, intake: &mut Intake<'_, Self>) {
        fold(record, intake);
    }

    fn summarize(&self, top: &TopK) -> Answer {
        Answer { answer: top.top(1).first().map_or(0, |top| top.occurrences) }
    }
}

#[test]
fn a_job_that_counts_few_values_keeps_the_laws() {
    check_job(Most, &[(APP, numbers(&[1, 2, 2])), (APP, numbers(&[2, 3])), (APP, numbers(&[3, 3, 3]))]);
}

/// Every occurrence has a hash of its own, in its record and among records: else a value that occurs often would be in the sample too
/// seldom.
#[test]
fn every_occurrence_is_drawn_by_itself() {
    let record = |number: u64| Numbers {
        frame_id: Vec::new(),
        numbers: (0..100).map(|n| if n % 2 == 0 { 7 } else { 1_000 + number * 100 + n }).collect(),
    };
    let bench = (0..20).fold(Bench::new(Most), |bench, number| bench.feed(APP, &record(number)));
    let summaries = bench.flush().summaries();
    let (_, Answer { answer }) = summaries.values().next().unwrap();
    // 1,000 of 2,000, and 4.5 standard errors of 2.2 %.
    assert!((802..=1_198).contains(answer), "{answer}");
}

/// The hash of an only occurrence.
struct Hash;

impl Job for Hash {
    const NAME: &'static str = "hash";
    const MEASUREMENT: &'static str = "NUMBERS";
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &[];
    type Record<'a> = Numbers;
    type Accumulator = TopK;
    type Summary = Answer;

    fn fold(&self, record: &Numbers, intake: &mut Intake<'_, Self>) {
        fold(record, intake);
    }

    /// The wire form ends with the hash and the index of the value.
    fn summarize(&self, top: &TopK) -> Answer {
        let mut bytes = Vec::new();
        top.encode(&mut bytes);
        let (_, hash) = bytes[..bytes.len() - 1].split_last_chunk().unwrap();
        Answer { answer: u64::from_be_bytes(*hash) }
    }
}

/// At one offset of two partitions are records of two owners: what is drawn of one says nothing of the other.
#[test]
fn occurrences_of_two_owners_are_drawn_by_themselves() {
    let drawn = |owner: u8| {
        let record = Numbers { frame_id: Vec::new(), numbers: vec![7] };
        let summaries = Bench::new(Hash).feed(Owner([owner; 16]), &record).flush().summaries();
        summaries.values().next().unwrap().1.answer
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
}
