//! A job whose accumulator draws a sample of occurrences.

use yahtzee_core::accumulate::TopK;

use super::*;

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
        for &number in &record.numbers {
            let occurrence = intake.occurrence();
            intake.add(START_US, [], |top| top.add(occurrence, &number.to_be_bytes()));
        }
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
