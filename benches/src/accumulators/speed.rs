//! CPU time of single operations, beside the hdrhistogram crate with the same buckets.

use std::hint::black_box;

use anyhow::Result;
use hdrhistogram::Histogram;
use yahtzee_core::accumulate::{Accumulator, Counts, Distribution, Moments};

use crate::measure::measured;
use crate::samples::{SERVICE_MAX_MS, Shape};
use crate::sheet::{Scale, Setting, Sheet};
use yahtzee_loadgen::Rng;

const SEED: u64 = 50;

/// CPU time of `work` in nanoseconds per operation.
fn ns_per(operations: usize, work: impl FnOnce()) -> f64 {
    let ((), cost) = measured(work);
    cost.cpu_ns as f64 / operations as f64
}

fn filled(values: &[u64]) -> Distribution {
    let mut distribution = Distribution::default();
    values.iter().for_each(|&value| distribution.record(value));
    distribution
}

fn hdr(values: &[u64]) -> Histogram<u32> {
    let mut histogram =
        Histogram::new_with_bounds(1, SERVICE_MAX_MS, 2).expect("two digits and these bounds are possible");
    values.iter().for_each(|&value| histogram.saturating_record(value));
    histogram
}

/// Updates of random ones among 100,000 accumulators, so that most miss the caches.
pub(super) fn update(setting: &Setting) -> Result<Sheet> {
    let series = setting.scale.of(100_000, 100);
    let updates = Updates::new(series);
    let mut sheet = Sheet::default();
    let mut distributions = vec![Distribution::default(); series];
    let lists = updates.take(10);
    let ns = ns_per(lists.len(), || lists.iter().for_each(|&(at, value)| distributions[at].record(value)));
    sheet.figure("Distribution, from 0 to about 10 samples each", "CPU ns", ns);
    let more = &updates.take(50)[lists.len()..];
    more.iter().for_each(|&(at, value)| distributions[at].record(value));
    let last = &updates.all[updates.take(50).len()..];
    let ns = ns_per(last.len(), || last.iter().for_each(|&(at, value)| distributions[at].record(value)));
    sheet.figure("Distribution, from about 50 to about 100 samples each", "CPU ns", ns);
    let count: u64 = distributions.iter().map(Distribution::count).sum();
    sheet.check("samples in all distributions", count, updates.all.len() as u64);
    drop(distributions);
    moments_and_counts(&updates, &mut sheet);
    peer(&updates, &mut sheet);
    Ok(sheet)
}

/// Which accumulator is updated with which value.
struct Updates {
    series: usize,
    all: Vec<(usize, u64)>,
}

impl Updates {
    /// A hundred per series, in random order.
    fn new(series: usize) -> Self {
        let mut rng = Rng::new(SEED);
        let draw = |_| (rng.below(series as u64) as usize, Shape::Lognormal.draw(&mut rng));
        Self { series, all: (0..series * 100).map(draw).collect() }
    }

    /// The first ones, so many per series.
    fn take(&self, per_series: usize) -> &[(usize, u64)] {
        &self.all[..self.series * per_series]
    }
}

fn moments_and_counts(updates: &Updates, sheet: &mut Sheet) {
    let lists = updates.take(10);
    let mut moments = vec![Moments::default(); updates.series];
    let ns = ns_per(lists.len(), || lists.iter().for_each(|&(at, value)| moments[at].record(value)));
    sheet.figure("Moments", "CPU ns", ns);
    let sum: u64 = moments.iter().map(Moments::sum).sum();
    sheet.check("sum of all moments", sum, lists.iter().map(|(_, value)| value).sum());
    let mut counts = vec![Counts::default(); updates.series];
    let status = |value: u64| [200, 200, 302, 404, 500][(value % 5) as usize];
    let ns = ns_per(lists.len(), || lists.iter().for_each(|&(at, value)| counts[at].add(status(value), 1)));
    sheet.figure("Counts, four keys", "CPU ns", ns);
    let total: u64 = counts.iter().map(Counts::total).sum();
    sheet.check("total of all counts", total, lists.len() as u64);
}

fn peer(updates: &Updates, sheet: &mut Sheet) {
    let lists = updates.take(10);
    let mut peers = vec![hdr(&[]); updates.series];
    let ns = ns_per(lists.len(), || {
        lists.iter().for_each(|&(at, value)| peers[at].saturating_record(value));
    });
    sheet.figure("peer: hdrhistogram, 2 digits to 60 s, 32-bit counters", "CPU ns", ns);
    let count: u64 = peers.iter().map(Histogram::len).sum();
    sheet.check("samples in all peers", count, lists.len() as u64);
}

/// Samples of the two sides of a merge; to 32 a list, above buckets.
const MERGES: [(&str, usize, usize); 6] = [
    ("list of 10 + list of 10", 10, 10),
    ("list of 30 + list of 30, which makes buckets", 30, 30),
    ("buckets of 1,000 + list of 10", 1_000, 10),
    ("list of 10 + buckets of 1,000", 10, 1_000),
    ("buckets of 1,000 + buckets of 1,000", 1_000, 1_000),
    ("buckets of 100,000 + buckets of 100,000", 100_000, 100_000),
];

/// Pairs that are merged one after the other.
const PAIRS: usize = 64;

/// Merges of two distributions.
pub(super) fn merge(setting: &Setting) -> Result<Sheet> {
    let mut sheet = Sheet::default();
    let mut rng = Rng::new(SEED + 1);
    for (name, ours, theirs) in MERGES {
        let (ours, theirs) = (scaled(ours, setting.scale), scaled(theirs, setting.scale));
        let mut draw = |count| Shape::Lognormal.draw_many(count, &mut rng);
        let values: Vec<_> = (0..PAIRS).map(|_| (draw(ours), draw(theirs))).collect();
        let repeats = setting.scale.of(100, 1);
        let (left, right): (Vec<_>, Vec<_>) =
            values.iter().map(|(left, right)| (filled(left), filled(right))).unzip();
        let mut merged = vec![left; repeats];
        let ns = ns_per(repeats * PAIRS, || {
            for merged in &mut merged {
                merged.iter_mut().zip(&right).for_each(|(left, right)| left.merge(black_box(right)));
            }
        });
        sheet.figure(name, "CPU ns", ns);
        let together = values.iter().map(|(left, right)| filled(&[left.as_slice(), right].concat()));
        sheet.check(name, merged[0].iter().eq(together.collect::<Vec<_>>().iter()), true);
    }
    let values = Shape::Lognormal.draw_many(scaled(1_000, setting.scale), &mut rng);
    let (mut sum, other) = (hdr(&values), hdr(&values));
    let repeats = setting.scale.of(10_000, 1);
    let ns =
        ns_per(repeats, || (0..repeats).for_each(|_| sum.add(black_box(&other)).expect("of equal bounds")));
    sheet.figure("peer: hdrhistogram of 1,000 + one of 1,000", "CPU ns", ns);
    sheet.check("samples of the peer", sum.len(), (values.len() * (repeats + 1)) as u64);
    Ok(sheet)
}

/// Tests have fewer samples, but no buckets become a list.
fn scaled(samples: usize, scale: Scale) -> usize {
    scale.of(samples, samples.min(100))
}

/// Median, 95th and 99th percentile at once.
pub(super) fn quantiles(setting: &Setting) -> Result<Sheet> {
    const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];
    let mut sheet = Sheet::default();
    let mut rng = Rng::new(SEED + 2);
    let repeats = setting.scale.of(1_000, 1);
    for (samples, unit) in [
        (20, "list of 20"),
        (100, "buckets of 100"),
        (1_000, "buckets of 1,000"),
        (100_000, "buckets of 100,000"),
    ] {
        let samples = scaled(samples, setting.scale);
        let values: Vec<_> = (0..PAIRS).map(|_| Shape::Lognormal.draw_many(samples, &mut rng)).collect();
        let distributions: Vec<_> = values.iter().map(|values| filled(values)).collect();
        let ns = ns_per(repeats * PAIRS, || {
            for distribution in (0..repeats).flat_map(|_| &distributions) {
                black_box(distribution.quantiles(black_box(&QUANTILES)));
            }
        });
        sheet.figure(format!("three quantiles, {unit}"), "CPU ns", ns);
        let peers: Vec<_> = values.iter().map(|values| hdr(values)).collect();
        let ns = ns_per(repeats * PAIRS, || {
            for peer in (0..repeats).flat_map(|_| &peers) {
                for quantile in QUANTILES {
                    black_box(peer.value_at_quantile(black_box(quantile)));
                }
            }
        });
        sheet.figure(format!("peer: hdrhistogram, as many samples as the {unit}"), "CPU ns", ns);
        for (distribution, peer) in distributions.iter().zip(&peers) {
            let is_same = |(&quantile, answer): (&f64, Option<u64>)| {
                answer.is_some_and(|answer| peer.equivalent(answer, peer.value_at_quantile(quantile)))
            };
            let answers = distribution.quantiles(&QUANTILES);
            sheet.check("same bucket as the peer", QUANTILES.iter().zip(answers).all(is_same), true);
        }
    }
    Ok(sheet)
}
