//! What a series takes in memory and its summary on the wire, under traffic that is spread over apps as in production.

use std::sync::Arc;

use anyhow::Result;
use prost::Message;
use yahtzee_core::accumulate::{Accumulator, Distribution};
use yahtzee_core::commit::{Identity, OwnerTag};
use yahtzee_core::effect::Effect;
use yahtzee_core::job::Job;
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::partition::{History, PartitionCore, Start};
use yahtzee_core::record::{LogRecord, Offset};
use yahtzee_core::window::Policy;
use yahtzee_jobs::router_latency::{Requests, RouterLatency};
use yahtzee_pipeline_proto::RecordOf;
use yahtzee_pipeline_proto::raw::RouterRequest;

use crate::measure::resident_bytes;
use crate::oracle::Totals;
use crate::samples::lognormal;
use crate::sheet::{Scale, Sheet, Target};
use yahtzee_loadgen::Rng;
use yahtzee_loadgen::zipf::Zipf;

/// Windows that are open at a time in steady traffic.
const WINDOWS: usize = 5;
const WINDOW_MS: i64 = 60_000;
/// A full minute: 14 November 2023, 22:13.
const BEGIN_MS: i64 = 1_699_999_980_000;
/// As in production.
const PARTITIONS: u32 = 32;
const SEED: u64 = 160;

/// Apps differ in their median service time: one of so many classes, 5 ms to 2 s.
const CLASSES: usize = 16;
/// Different requests per class and window.
const SAMPLES: usize = 256;

/// All included, in memory.
const STATE: Target = Target::at_most(160.0, Some(256.0));
const EACH: &str = "B per series-window";
/// The value of a summary without its key.
const WIRE: Target = Target::at_most(60.0, None);

/// How many measurements are spread over how many apps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mix {
    apps: usize,
    measurements_per_window: usize,
}

impl Mix {
    /// 100,000 apps, 10,000 measurements per second.
    pub(super) fn tail_100k(scale: Scale) -> Self {
        Self { apps: scale.of(100_000, 1_000), measurements_per_window: scale.of(600_000, 6_000) }
    }

    /// A million apps, 100,000 measurements per second.
    pub(super) fn tail_1m(scale: Scale) -> Self {
        Self { apps: scale.of(1_000_000, 2_000), measurements_per_window: scale.of(6_000_000, 12_000) }
    }
}

/// The traffic of a mix: which app is how busy.
struct Traffic {
    mix: Mix,
    owners: Vec<Owner>,
    zipf: Zipf,
    rng: Rng,
}

impl Traffic {
    fn new(mix: Mix) -> Self {
        let mut rng = Rng::new(SEED);
        let owners = (0..mix.apps).map(|_| Owner(rng.bytes())).collect();
        Self { mix, owners, zipf: Zipf::new(mix.apps), rng }
    }

    /// The next measurement: rank of the app, and place of the request among those of the app's class.
    fn draw(&mut self) -> (usize, usize) {
        let rank = self.zipf.draw(&mut self.rng);
        let class = usize::from(self.owners[rank].0[0]) % CLASSES;
        (rank, class * SAMPLES + self.rng.below(SAMPLES as u64) as usize)
    }
}

/// One request of each class and sample, in window 0.
fn requests() -> Vec<RouterRequest> {
    let mut rng = Rng::new(SEED + 1);
    let request = |index: usize| {
        let class = index / SAMPLES;
        let median_ms = 5.0 * 400_f64.powf(class as f64 / (CLASSES - 1) as f64);
        RouterRequest {
            time_us: BEGIN_MS * 1_000,
            process_type: "web".to_owned(),
            dyno_num: Some(1),
            status: Some(if rng.below(10) == 0 { 404 } else { 200 }),
            service_ms: u32::try_from(lognormal(median_ms, 1.1, &mut rng)).ok(),
            connect_ms: Some(rng.below(4) as u32),
            bytes: Some(rng.below(20_000)),
            ..RouterRequest::default()
        }
    };
    (0..CLASSES * SAMPLES).map(request).collect()
}

/// The requests as records without frame id, of one window.
fn encoded(requests: &[RouterRequest], window: usize) -> Vec<Vec<u8>> {
    let shift_us = window as i64 * WINDOW_MS * 1_000;
    let encode = |request: &RouterRequest| {
        let request = RouterRequest { time_us: request.time_us + shift_us, ..request.clone() };
        RecordOf { measurements: vec![request], ..RecordOf::default() }.encode_to_vec()
    };
    requests.iter().map(encode).collect()
}

/// Bytes per series and window of the whole state of a worker, and of the summaries that come from it.
pub(super) fn state(mix: Mix) -> Result<Sheet> {
    let (mut traffic, requests) = (Traffic::new(mix), requests());
    let mut cores: Vec<_> = (0..PARTITIONS).map(|number| open(Partition(number))).collect();
    let before = resident_bytes().unwrap_or(0);
    let expected = feed(&mut cores, &mut traffic, &requests);
    let resident = resident_bytes().unwrap_or(0).saturating_sub(before);
    let heap: usize = cores.iter().flat_map(PartitionCore::series).map(|(_, state)| state.heap_bytes()).sum();
    let mut sheet = Sheet::default();
    let series = expected.series as f64;
    let (resident, heap, inline) =
        (resident as f64 / series, heap as f64 / series, size_of::<Requests>() as f64);
    sheet.figure_for(STATE, "state, all included: resident memory", EACH, resident);
    sheet.figure("of which accumulator, inline", EACH, inline);
    sheet.figure("of which accumulator, heap without allocator overhead", EACH, heap);
    sheet.figure("of which keys, index, offsets, spare room, allocator", EACH, resident - inline - heap);
    sheet.figure("series-windows", "", series);
    sheet.figure("measurements of each", "", expected.accepted as f64 / series);
    let mut wire = Wire::default();
    cores.iter_mut().try_for_each(|core| wire.add(core))?;
    wire.tell(&mut sheet);
    sheet.check("sums over all summaries", wire.totals, expected);
    Ok(sheet)
}

fn open(partition: Partition) -> PartitionCore<RouterLatency> {
    // Room for all: a state that is full takes no more.
    let policy = Policy { series_max: 1_000_000, ..Policy::default() };
    let identity = Identity {
        generation: RouterLatency::GENERATION,
        topic_id: [7; 16],
        partition_count: PARTITIONS,
        window_length_ms: policy.length_ms,
        acceptance: None,
        owner_tag: OwnerTag::default(),
    };
    let start = Offset(0);
    let history = History {
        partition,
        start: Start::Beginning,
        log_start: start,
        log_end: start,
        poisoned: &[],
        losses: &[],
    };
    let opened = PartitionCore::open(Arc::new(RouterLatency), policy, identity, history);
    opened.expect("nothing was ever committed, so nothing is refused").core
}

/// Feeds all windows, oldest first, and tells what all summaries must add up to.
fn feed(
    cores: &mut [PartitionCore<RouterLatency>],
    traffic: &mut Traffic,
    requests: &[RouterRequest],
) -> Totals {
    let mut expected = Totals::default();
    let (mut offset, mut effects) = (0, Vec::new());
    for window in 0..WINDOWS {
        let records = encoded(requests, window);
        let mut is_active = vec![false; traffic.mix.apps];
        for _ in 0..traffic.mix.measurements_per_window {
            let (rank, request) = traffic.draw();
            let owner = traffic.owners[rank];
            let record = LogRecord {
                offset: Offset(offset),
                timestamp_ms: BEGIN_MS + window as i64 * WINDOW_MS,
                key: &owner.0,
                value: &records[request],
            };
            cores[owner.partition(PARTITIONS).0 as usize].ingest(record, &mut effects);
            offset += 1;
            expected.series += u64::from(!std::mem::replace(&mut is_active[rank], true));
            expected.service_ms += u64::from(requests[request].service_ms.unwrap_or(0));
            expected.bytes += requests[request].bytes.unwrap_or(0);
        }
    }
    assert!(effects.is_empty(), "no window has closed and no tick has come");
    expected.accepted = offset;
    expected
}

/// Sizes and sums of summaries.
#[derive(Default)]
struct Wire {
    values: Vec<usize>,
    key_bytes: usize,
    totals: Totals,
}

impl Wire {
    /// Takes the summaries of all open series.
    fn add(&mut self, core: &mut PartitionCore<RouterLatency>) -> Result<()> {
        let mut effects = Vec::new();
        core.tick(0, &mut effects);
        for effect in effects {
            if let Effect::Emit(emit) = effect {
                self.totals.add_summary(&emit.value)?;
                self.values.push(emit.value.len());
                self.key_bytes += emit.key.len();
            }
        }
        Ok(())
    }

    fn tell(&mut self, sheet: &mut Sheet) {
        self.values.sort_unstable();
        let count = self.values.len();
        let at = |share: f64| self.values[(count as f64 * share) as usize] as f64;
        let mean = |bytes: usize| bytes as f64 / count as f64;
        sheet.figure_for(WIRE, "summary on the wire without its key, median", "B", at(0.5));
        sheet.figure("summary on the wire without its key, mean", "B", mean(self.values.iter().sum()));
        sheet.figure("summary on the wire without its key, p99", "B", at(0.99));
        sheet.figure("key of a summary, mean", "B", mean(self.key_bytes));
    }
}

/// Bytes of a [`Distribution`] alone, side by side without keys or index.
pub(super) fn distribution(mix: Mix) -> Result<Sheet> {
    let (mut traffic, requests) = (Traffic::new(mix), requests());
    let mut distributions: Vec<Distribution> = Vec::with_capacity(mix.apps * WINDOWS);
    let mut places = vec![usize::MAX; mix.apps];
    let before = resident_bytes().unwrap_or(0);
    for _ in 0..WINDOWS {
        places.fill(usize::MAX);
        for _ in 0..mix.measurements_per_window {
            let (rank, request) = traffic.draw();
            if places[rank] == usize::MAX {
                places[rank] = distributions.len();
                distributions.push(Distribution::default());
            }
            let service_ms = requests[request].service_ms.unwrap_or(0);
            distributions[places[rank]].record(service_ms.into());
        }
    }
    let resident = resident_bytes().unwrap_or(0).saturating_sub(before) as f64;
    let count = distributions.len() as f64;
    let bytes: usize = distributions.iter().map(|state| size_of::<Distribution>() + state.heap_bytes()).sum();
    let mut sheet = Sheet::default();
    sheet.figure_for(STATE, "Distribution: resident memory", EACH, resident / count);
    sheet.figure("Distribution, without allocator overhead", EACH, bytes as f64 / count);
    let exact = distributions.iter().filter(|state| state.count() <= 32).count();
    sheet.figure("with at most 32 samples, so exact", "%", 100.0 * exact as f64 / count);
    let recorded: u64 = distributions.iter().map(Distribution::count).sum();
    sheet.check("samples in all distributions", recorded, (mix.measurements_per_window * WINDOWS) as u64);
    Ok(sheet)
}
