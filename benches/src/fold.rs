//! The pure part: records in memory through partition cores, on one thread.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use prost::Message;
use yahtzee_core::commit::{Identity, OwnerTag};
use yahtzee_core::effect::Effect;
use yahtzee_core::job::{Job, Record};
use yahtzee_core::owner::Partition;
use yahtzee_core::partition::{History, Opened, PartitionCore, Start};
use yahtzee_core::record::{MeasurementCounts, Offset, RecordOutcome};
use yahtzee_core::window::Policy;
use yahtzee_jobs::router_latency::RouterLatency;
use yahtzee_jobs::view::{Measurements, RouterRequest};
use yahtzee_pipeline_proto::{RecordOf, raw};

use crate::case::Run;
use crate::measure::measured;
use crate::oracle::{Decoded, Output, Totals};
use crate::predecoded::Predecoded;
use crate::site::partitions;
use crate::traffic::{PARTITIONS, RawRecord};

/// How often a run goes through its input.
const PASSES: u64 = 3;

/// Which summaries are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emission {
    /// What has changed, every flush interval of log time, and final ones: a partition at the end of its log.
    Live,
    /// Final ones, and at the end what is open: a partition that catches up.
    Replay,
}

/// Decoding alone, into prost's messages.
pub(crate) fn decode(records: &[RawRecord]) -> Run {
    decode_by(records, |value, found| {
        let message = RecordOf::<raw::RouterRequest>::decode(value).unwrap_or_default();
        message.measurements.iter().for_each(|request| found.add(&black_box(request).into()));
    })
}

/// Decoding alone, in place as the job does it.
pub(crate) fn decode_view(records: &[RawRecord]) -> Run {
    decode_by(records, |value, found| {
        let Ok(record) = Measurements::<RouterRequest<'_>>::read(value) else { return };
        record.iter().for_each(|request| found.add(&black_box(request)));
    })
}

fn decode_by(records: &[RawRecord], decode: impl Fn(&[u8], &mut Decoded)) -> Run {
    let mut found = Decoded::default();
    let ((), cost) = measured(|| {
        for _ in 0..PASSES {
            found = Decoded::default();
            records.iter().for_each(|record| decode(black_box(&record.value), &mut found));
        }
    });
    Run { cost, passes: PASSES, output: Output::Decoded(found), summaries: 0, commits: 0 }
}

/// Folding alone: the messages are decoded before.
pub(crate) fn fold(records: &[RawRecord], policy: Policy) -> Run {
    let (job, handles) = Predecoded::from_records(records);
    run(&Arc::new(job), &handles, policy, Emission::Live)
}

/// Decoding and folding.
pub(crate) fn fold_decode(records: &[RawRecord], policy: Policy, emission: Emission) -> Run {
    run(&Arc::new(RouterLatency), records, policy, emission)
}

fn run<J: Job>(job: &Arc<J>, records: &[RawRecord], policy: Policy, emission: Emission) -> Run {
    let (mut summaries, mut commits) = (0, 0);
    let ((), cost) = measured(|| {
        for _ in 0..PASSES {
            let mut pass = Pass::new(job, records, policy, emission);
            pass.run(records, |effects| summaries += effects.drain(..).map(black_box).count() as u64);
            commits += pass.commits;
        }
    });
    let output = Output::Folded(totals(job, records, policy, emission));
    Run { cost, passes: PASSES, output, summaries, commits }
}

/// What a pass adds up to. Not part of what is measured.
fn totals<J: Job>(job: &Arc<J>, records: &[RawRecord], policy: Policy, emission: Emission) -> Totals {
    let mut newest = HashMap::new();
    let mut pass = Pass::new(job, records, policy, emission);
    pass.run(records, |effects| {
        for effect in effects.drain(..) {
            if let Effect::Emit(emit) = effect {
                newest.insert(emit.key, emit.value);
            }
        }
    });
    let mut totals = Totals { late: pass.outcomes.late(), ..Totals::default() };
    for value in newest.values() {
        totals.add_summary(value).expect("the core makes readable summaries");
    }
    totals
}

/// One way through the input, with fresh cores.
struct Pass<J: Job> {
    cores: Vec<PartitionCore<J>>,
    policy: Policy,
    effects: Vec<Effect>,
    outcomes: MeasurementCounts,
    commits: u64,
}

impl<J: Job> Pass<J> {
    fn new(job: &Arc<J>, records: &[RawRecord], policy: Policy, emission: Emission) -> Self {
        let log_end = match emission {
            Emission::Live => Offset(0),
            Emission::Replay => Offset(records.len() as u64),
        };
        let open = |partition| open_fresh(job, policy, partition, log_end);
        let cores = partitions().into_iter().map(open).collect();
        Self { cores, policy, effects: Vec::new(), outcomes: MeasurementCounts::default(), commits: 0 }
    }

    /// Hands effects to `sink` and acknowledges them every flush interval of log time, and at the end.
    fn run(&mut self, records: &[RawRecord], mut sink: impl FnMut(&mut Vec<Effect>)) {
        let mut next_tick_ms = 0;
        for record in records {
            let log_time_ms = record.timestamp_ms.cast_unsigned();
            if log_time_ms >= next_tick_ms {
                next_tick_ms = log_time_ms + self.policy.flush_interval_ms;
                self.tick(log_time_ms, &mut sink);
            }
            let core = &mut self.cores[record.partition.0 as usize];
            if let RecordOutcome::Folded(outcomes) = core.ingest(record.lend(), &mut self.effects) {
                self.outcomes.add(outcomes);
            }
            if !self.effects.is_empty() {
                self.hand_out(record.partition.0 as usize, &mut sink);
            }
        }
        for core in &mut self.cores {
            core.reached(Offset(records.len() as u64))
                .expect("a partition that begins anew has nothing to compare");
        }
        for index in 0..self.cores.len() {
            self.cores[index].flush(&mut self.effects);
            self.hand_out(index, &mut sink);
        }
    }

    fn tick(&mut self, now_ms: u64, sink: &mut impl FnMut(&mut Vec<Effect>)) {
        for index in 0..self.cores.len() {
            self.cores[index].tick(now_ms, &mut self.effects);
            self.hand_out(index, sink);
        }
    }

    /// Effects of one core: handed out, acknowledged, and the commit that this allows written down.
    fn hand_out(&mut self, core: usize, sink: &mut impl FnMut(&mut Vec<Effect>)) {
        let count = self.effects.len() as u64;
        sink(&mut self.effects);
        let core = &mut self.cores[core];
        if let Some(commit) = core.acknowledged(count) {
            black_box(commit.metadata(core.identity()));
            self.commits += 1;
        }
    }
}

/// A partition of which nothing was ever committed, and that has caught up from `log_end` on.
pub(crate) fn open_fresh<J: Job>(
    job: &Arc<J>,
    policy: Policy,
    partition: Partition,
    log_end: Offset,
) -> PartitionCore<J> {
    let history = History {
        partition,
        start: Start::Beginning,
        log_start: Offset(0),
        log_end,
        poisoned: &[],
        losses: &[],
    };
    let opened = PartitionCore::open(Arc::clone(job), policy, identity::<J>(policy), history);
    let Opened { core, .. } = opened.expect("nothing was ever committed, so nothing is refused");
    core
}

fn identity<J: Job>(policy: Policy) -> Identity {
    Identity {
        generation: J::GENERATION,
        topic_id: [7; 16],
        partition_count: PARTITIONS,
        window_length_ms: policy.length_ms,
        acceptance: None,
        owner_tag: OwnerTag::default(),
    }
}
