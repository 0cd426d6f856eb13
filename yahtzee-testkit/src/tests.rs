//! The kit passes a lawful job and catches the others.

use std::marker::PhantomData;

use prost::Message;
use yahtzee_core::accumulate::{Accumulator, DecodeError};
use yahtzee_core::job::{Intake, Job, RawMessage, Record};
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::Provenance;
use yahtzee_core::wire::Malformed;

use super::*;

mod top_k;

#[derive(Clone, PartialEq, Message)]
struct Numbers {
    #[prost(bytes = "vec", tag = "7")]
    frame_id: Vec<u8>,
    #[prost(uint64, repeated, tag = "16")]
    numbers: Vec<u64>,
}

impl RawMessage for Numbers {
    fn frame_id(&self) -> &[u8] {
        &self.frame_id
    }
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(uint64, tag = "16")]
    answer: u64,
}

/// Folds numbers by one way of folding.
struct Folding<F>(PhantomData<F>);

trait Fold: Send + Sync + 'static {
    type State: Accumulator + std::fmt::Debug;
    fn fold(state: &mut Self::State, number: u64);
    fn answer(state: &Self::State) -> u64;
}

impl<F: Fold> Job for Folding<F> {
    const NAME: &'static str = "folding";
    const MEASUREMENT: &'static str = "NUMBERS";
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["parity"];
    type Record<'a> = Numbers;
    type Accumulator = F::State;
    type Summary = Answer;

    fn fold(&self, record: &Numbers, intake: &mut Intake<'_, Self>) {
        for &number in &record.numbers {
            let parity = if number % 2 == 0 { "even" } else { "odd" };
            intake.add(START_US, [parity], |state| F::fold(state, number));
        }
    }

    fn summarize(&self, state: &F::State) -> Answer {
        Answer { answer: F::answer(state) }
    }
}

struct Sum;

impl Fold for Sum {
    type State = u64;
    fn fold(state: &mut u64, number: u64) {
        *state += number;
    }
    fn answer(state: &u64) -> u64 {
        *state
    }
}

struct LastOne;

impl Fold for LastOne {
    type State = u64;
    fn fold(state: &mut u64, number: u64) {
        *state = number;
    }
    fn answer(state: &u64) -> u64 {
        *state
    }
}

/// A sum that loses what it is merged with, or what it is encoded from.
#[derive(Clone, Debug, Default)]
struct Lossy<const ON_MERGE: bool>(u64);

impl<const ON_MERGE: bool> Accumulator for Lossy<ON_MERGE> {
    fn merge(&mut self, other: &Self) {
        if !ON_MERGE || self.0 == 0 {
            self.0 += other.0;
        }
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(if ON_MERGE { self.0 as u8 } else { 0 });
    }
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(bytes[0].into()))
    }
    fn heap_bytes(&self) -> usize {
        0
    }
}

impl<const ON_MERGE: bool> Fold for Lossy<ON_MERGE> {
    type State = Self;
    fn fold(state: &mut Self, number: u64) {
        state.0 += number;
    }
    fn answer(state: &Self) -> u64 {
        state.0
    }
}

struct Fragile;

impl Fold for Fragile {
    type State = u64;
    fn fold(state: &mut u64, number: u64) {
        assert!(number < 50, "a number that was never seen in tests");
        *state += number;
    }
    fn answer(state: &u64) -> u64 {
        *state
    }
}

const APP: Owner = Owner([1; 16]);

fn numbers(numbers: &[u64]) -> Numbers {
    Numbers { frame_id: vec![numbers[0] as u8; 16], numbers: numbers.to_vec() }
}

fn check<F: Fold>() {
    let records = [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]].map(|each| (APP, numbers(&each)));
    check_job(Folding::<F>(PhantomData), &records);
}

#[test]
fn a_lawful_job_passes() {
    check::<Sum>();
}

#[test]
#[should_panic(expected = "the order of records changes a summary")]
fn a_job_that_depends_on_order_is_caught() {
    check::<LastOne>();
}

#[test]
#[should_panic(expected = "merged, differ from the whole")]
fn an_accumulator_that_does_not_merge_is_caught() {
    check::<Lossy<true>>();
}

#[test]
#[should_panic(expected = "merged, differ from the whole")]
fn an_accumulator_that_does_not_round_trip_is_caught() {
    check::<Lossy<false>>();
}

#[test]
#[should_panic(expected = "never seen in tests")]
fn a_job_that_panics_on_damaged_input_is_caught() {
    check::<Fragile>();
}

/// A summary that could say itself from which record it comes.
#[derive(Clone, PartialEq, Message)]
struct Forged {
    #[prost(message, optional, tag = "1")]
    provenance: Option<Provenance>,
}

struct Forger;

impl Job for Forger {
    const NAME: &'static str = "forger";
    const MEASUREMENT: &'static str = "NUMBERS";
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &[];
    type Record<'a> = Numbers;
    type Accumulator = u64;
    type Summary = Forged;

    fn fold(&self, _record: &Numbers, intake: &mut Intake<'_, Self>) {
        intake.add(START_US, [], |sum| *sum += 1);
    }

    fn summarize(&self, _sum: &u64) -> Forged {
        Forged { provenance: None }
    }
}

#[test]
#[should_panic(expected = "a summary's fields start at 16, found Some(1)")]
fn a_job_that_could_forge_its_revision_is_caught() {
    check_job(Forger, &[(APP, numbers(&[1]))]);
}

fn sum() -> Folding<Sum> {
    Folding(PhantomData)
}

#[test]
fn a_redelivered_frame_counts_once_over_a_crash() {
    let bench = Bench::new(sum()).feed(APP, &numbers(&[2, 4])).flush().crash().restart();
    let bench = bench.feed(APP, &numbers(&[2, 4])).flush();
    assert_eq!(bench.outcomes().0.duplicate, 2);
    bench.assert_summaries(&[((APP, vec!["even".to_owned()], 0), Answer { answer: 6 })]);
}

#[test]
fn every_write_of_a_recording_is_crashed_at() {
    let recording = [
        RecordingStep::Feed(APP, numbers(&[1, 2])),
        RecordingStep::Flush,
        RecordingStep::Feed(APP, numbers(&[3])),
        RecordingStep::AdvanceMinutes(7),
    ];
    // Two changes and a commit; then two final summaries and a commit; each of the three flushes at the end writes
    // one more commit, or none.
    let crashes = crash_everywhere(sum(), 1, &recording);
    assert!((6..=9).contains(&crashes), "{crashes} crashes");
}

#[test]
#[should_panic(expected = "expected Answer { answer: 7 }")]
fn a_wrong_expectation_says_what_was_found() {
    let bench = Bench::new(sum()).feed(APP, &numbers(&[2, 4])).flush();
    bench.assert_summaries(&[((APP, vec!["even".to_owned()], 0), Answer { answer: 7 })]);
}

/// A record that is no message: numbers, separated by commas.
struct Text<'a>(Vec<&'a str>);

impl<'a> Record<'a> for Text<'a> {
    fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(value).map_err(|_| Malformed)?;
        let numbers: Vec<&str> = text.split(',').collect();
        let all_are_numbers = numbers.iter().all(|number| number.parse::<u32>().is_ok());
        if all_are_numbers { Ok(Self(numbers)) } else { Err(Malformed) }
    }

    fn frame_id(&self) -> &[u8] {
        &[]
    }
}

struct Texts;

impl Job for Texts {
    const NAME: &'static str = "texts";
    const MEASUREMENT: &'static str = "TEXTS";
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &[];
    type Record<'a> = Text<'a>;
    type Accumulator = u64;
    type Summary = Answer;

    fn fold(&self, Text(numbers): &Text<'_>, intake: &mut Intake<'_, Self>) {
        let sum: u64 = numbers.iter().filter_map(|number| number.parse::<u64>().ok()).sum();
        intake.add(START_US, [], |state| *state += sum);
    }

    fn summarize(&self, state: &u64) -> Answer {
        Answer { answer: *state }
    }
}

#[test]
fn a_job_that_reads_text_is_checked_with_bytes() {
    let record = |text: &str| (APP, RawBytes(text.as_bytes().to_vec()));
    check_job(Texts, &[record("1,2"), record("3"), record("40,5")]);
    let bench = Bench::new(Texts).feed(APP, &RawBytes(b"1,2".to_vec())).feed(APP, &RawBytes(b"x".to_vec()));
    assert_eq!(bench.outcomes().1, 1, "poison");
    bench.flush().assert_summaries(&[((APP, vec![], 0), Answer { answer: 3 })]);
}
