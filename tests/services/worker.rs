//! A whole worker on the embedded log: what it writes, and what stops it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use yahtzee_core::assignment::WorkerIndex;
use yahtzee_core::job::{Intake, Job, RawMessage};
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::record::Offset;
use yahtzee_core::summary::Provenance;
use yahtzee_core::window::Policy;
use yahtzee_proto::{DeadLetter, Late};
use yahtzee_runtime::log::embedded::EmbeddedLog;
use yahtzee_runtime::log::{Isolation, Item, NewRecord, SharedLog};
use yahtzee_runtime::topics::TopicLayout;
use yahtzee_runtime::worker::{
    Guarantee, JobFailure, JobPlan, PoisonLimits, ProcessContext, Worker, WorkerSettings,
};

use crate::conformance::Bench;
use crate::kafka::KafkaBench;
use crate::kafka_setup::delete_topic;

/// Counts records; panics on the value `PANIC`.
struct Counting;

const PANIC: u64 = 666;

#[derive(Clone, PartialEq, Message)]
struct Number {
    #[prost(uint64, tag = "16")]
    number: u64,
    #[prost(sint64, tag = "17")]
    time_ms: i64,
}

impl RawMessage for Number {
    fn frame_id(&self) -> &[u8] {
        &[]
    }
}

#[derive(Clone, PartialEq, Message)]
struct Count {
    #[prost(uint64, tag = "16")]
    sum: u64,
}

impl Job for Counting {
    const NAME: &'static str = "counting";
    const MEASUREMENT: &'static str = "NUMBER";
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &[];
    type Record<'a> = Number;
    type Accumulator = u64;
    type Summary = Count;

    fn fold(&self, record: &Number, intake: &mut Intake<'_, Self>) {
        assert!(record.number != PANIC, "this number was made to panic");
        intake.add(record.time_ms * 1_000, [], |sum| *sum += record.number);
    }

    fn summarize(&self, sum: &u64) -> Count {
        Count { sum: *sum }
    }
}

const OWNER: Owner = Owner([5; 16]);
const START_MS: i64 = 1_700_000_000_000;

/// A folder with a log and the topics of the job, one partition each.
struct World {
    log: SharedLog,
    plan: JobPlan,
    layout: TopicLayout,
    _folder: Option<tempfile::TempDir>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log: SharedLog = Arc::new(EmbeddedLog::open(folder.path()).unwrap());
        Self { _folder: Some(folder), ..Self::on(log, "v1") }
    }

    /// As [`Self::new`], on another log, with topics of this version.
    fn on(log: SharedLog, version: &str) -> Self {
        let layout = TopicLayout {
            version: version.to_owned(),
            partitions: 1,
            raw_retention_ms: None,
            summary_retention_ms: None,
            timestamp_ahead_max_ms: None,
            ..TopicLayout::default()
        };
        let policy = Policy { flush_interval_ms: 20, publishes_late: true, ..Policy::default() };
        let plan = JobPlan { policy, ..JobPlan::new(Arc::new(Counting)) };
        plan.topics(&layout).iter().for_each(|topic| log.create_topic(topic).unwrap());
        Self { log, plan, layout, _folder: None }
    }

    /// Appends values received at these minutes after the start.
    fn feed(&self, values: &[(i64, Vec<u8>)]) {
        let record = |(minute, value): &(i64, Vec<u8>)| NewRecord {
            topic: self.layout.raw("NUMBER").into(),
            partition: Partition(0),
            timestamp_ms: START_MS + minute * 60_000,
            key: OWNER.0.to_vec(),
            value: value.clone(),
            headers: Vec::new(),
        };
        let appender = self.log.appender(Duration::from_secs(10)).unwrap();
        appender.append_and_wait(&values.iter().map(record).collect::<Vec<_>>()).unwrap();
    }

    fn start(&self, guarantee: Guarantee, context: &ProcessContext) -> Worker {
        let settings = WorkerSettings {
            worker: WorkerIndex::ALONE,
            slots: 1,
            layout: self.layout.clone(),
            guarantee,
            incarnation: 1,
            write_deadline: Duration::from_secs(10),
            poison: PoisonLimits { run_max: 50, percent_max: 50 },
            memory_max_bytes: None,
            pause_max: None,
        };
        Worker::start(vec![self.plan.clone()], &self.log, &settings, context)
    }

    /// Runs a worker until it has read everything, and stops it.
    fn run(&self, guarantee: Guarantee) {
        let context = ProcessContext::default();
        let worker = self.start(guarantee, &context);
        let end = self.log.bounds(&self.layout.raw("NUMBER"), &[Partition(0)]).unwrap()[0].end.0;
        let started = Instant::now();
        while context.progress.jobs().get("counting").is_none_or(|job| job.positions < end) {
            assert!(started.elapsed() < Duration::from_secs(60), "{:?}", context.progress.jobs());
            assert!(!context.stop.is_stopped(), "the job stopped");
            std::thread::yield_now();
        }
        context.stop.stop();
        worker.join().unwrap();
    }

    /// All values of a topic, in order.
    fn values(&self, topic: &str) -> Vec<Vec<u8>> {
        let from = [(Partition(0), Offset(0))];
        let mut reader = self.log.reader(topic, &from, Isolation::Committed).unwrap();
        let mut values = Vec::new();
        loop {
            for item in reader.poll(Duration::from_secs(10)).unwrap() {
                match item {
                    Item::Record(_, record, _) => values.push(record.value.to_vec()),
                    Item::End(..) => return values,
                }
            }
        }
    }

    /// Sum and finality of the last summary of each window, by its first offset.
    fn summaries(&self) -> Vec<(u64, u64, bool)> {
        let mut last = std::collections::BTreeMap::new();
        for value in self.values(&self.layout.summary("NUMBER")) {
            let provenance = Provenance::of_value(&value).unwrap();
            let sum = Count::decode(&*value).unwrap().sum;
            last.insert(provenance.first_offset, (provenance.first_offset, sum, provenance.is_final));
        }
        last.into_values().collect()
    }
}

fn number(minute: i64, number: u64) -> (i64, Vec<u8>) {
    late_number(minute, minute, number)
}

/// Received at one minute, measured at another.
fn late_number(received: i64, measured: i64, number: u64) -> (i64, Vec<u8>) {
    (received, Number { number, time_ms: START_MS + measured * 60_000 }.encode_to_vec())
}

#[test]
fn both_guarantees_write_the_same_summaries() {
    for guarantee in [Guarantee::Fenced, Guarantee::AtLeastOnce] {
        let world = World::new();
        world.feed(&[number(0, 1), number(0, 2), number(1, 10)]);
        world.run(guarantee);
        assert_eq!(world.summaries(), [(0, 3, false), (2, 10, false)], "{guarantee:?}");
        world.feed(&[number(6, 100), late_number(6, 1, 20)]);
        world.run(guarantee);
        assert_eq!(world.summaries(), [(0, 3, true), (2, 30, false), (3, 100, false)], "{guarantee:?}");
    }
}

#[test]
fn a_record_that_makes_the_job_panic_goes_to_the_dlq_and_the_rest_is_folded() {
    let world = World::new();
    world.feed(&[number(0, 1), number(0, PANIC), number(0, 2)]);
    for _ in 0..2 {
        world.run(Guarantee::Fenced);
        let letters = world.values(&world.layout.dead_letters("NUMBER"));
        let [letter] = &letters[..] else { panic!("{} letters", letters.len()) };
        let letter = DeadLetter::decode(&**letter).unwrap();
        assert_eq!((letter.offset, letter.reason.as_str()), (1, "panic"));
        assert_eq!(world.summaries(), [(0, 3, false)]);
    }
}

/// The broker deletes the commits with the topic, and offsets begin again: the worker must not take it for its first topic.
#[test]
fn a_raw_topic_that_was_made_anew_is_refused_until_the_job_has_a_new_generation() {
    let Some(bench) = KafkaBench::from_environment() else { return };
    let mut world = World::on(bench.log(), &bench.topic("anew"));
    world.feed(&[number(0, 1), number(0, 2), number(1, 10)]);
    world.run(Guarantee::Fenced);
    let raw = world.layout.raw("NUMBER");
    delete_topic(&bench, &raw);
    world.log.create_topic(&world.plan.topics(&world.layout)[0]).unwrap();
    // Of the first minutes nobody can know what the deleted topic had.
    world.feed(&[number(0, 4), number(20, 8)]);
    let context = ProcessContext::default();
    let (_, refusal) = world.start(Guarantee::Fenced, &context).join().unwrap_err();
    let text = refusal.to_string();
    assert!(
        matches!(refusal, JobFailure::Refused { .. }) && text.contains("deleted and created again"),
        "{text}"
    );
    world.plan.generation = 2;
    world.run(Guarantee::Fenced);
    let values = world.values(&world.layout.summary("NUMBER"));
    let is_new = |value: &&Vec<u8>| Provenance::of_value(value).unwrap().generation == 2;
    let sums: Vec<u64> =
        values.iter().filter(is_new).map(|value| Count::decode(&**value).unwrap().sum).collect();
    assert_eq!(sums, [8]);
}

#[test]
fn what_comes_outside_its_windows_is_in_the_late_topic() {
    let world = World::new();
    world.feed(&[number(10, 1), late_number(10, 4, 2), late_number(10, 12, 3)]);
    world.run(Guarantee::Fenced);
    let late: Vec<Late> = world
        .values(&world.layout.late("NUMBER"))
        .iter()
        .map(|value| Late::decode(&**value).unwrap())
        .collect();
    let seen: Vec<(u64, u64, u64)> = late.iter().map(|late| (late.offset, late.late, late.future)).collect();
    assert_eq!(seen, [(1, 1, 0), (2, 0, 1)]);
}

#[test]
fn too_much_poison_stops_the_job_before_it_drains_the_topic() {
    let world = World::new();
    world.feed(&[number(0, 1)]);
    world.run(Guarantee::Fenced);
    world.feed(&vec![(0, b"\xff".to_vec()); 1_000]);
    let context = ProcessContext::default();
    let (job, failure) = world.start(Guarantee::Fenced, &context).join().unwrap_err();
    assert_eq!(job, "counting");
    assert!(matches!(failure, JobFailure::TooMuchPoison { offset: Offset(51), .. }), "{failure}");
    assert!(context.stop.is_stopped() && !context.health.is_alive());
    assert!(world.values(&world.layout.dead_letters("NUMBER")).len() <= 51);
}
