//! How far quantiles are off: against the samples themselves in order, and beside the hdrhistogram crate.

use anyhow::Result;
use hdrhistogram::Histogram;
use yahtzee_core::accumulate::Distribution;

use crate::samples::Shape;
use crate::sheet::{Setting, Sheet, Target};
use yahtzee_loadgen::Rng;

const SEED: u64 = 256;
/// Sets of samples per shape and size; the worst one is told.
const SETS: usize = 20;

/// Named quantiles; the last is the maximum, which is kept exactly.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)];

/// To this many samples answers are exact.
const EXACT: [usize; 3] = [1, 7, 32];

/// What [`Distribution`] documents for more: 1/256 of the value; with two digits 1 % would have done.
const BOUND: Target = Target::at_most(100.0 / 256.0, Some(1.0));
const NO_ERROR: Target = Target::at_most(0.0, None);
/// The same buckets' upper ends, which the peer answers with: 1/128 of the value.
const PEER_BOUND: f64 = 100.0 / 128.0;

/// Greatest relative error in percent, per quantile, of all sets.
#[derive(Default)]
struct Worst([f64; QUANTILES.len()]);

impl Worst {
    fn add(&mut self, index: usize, exact: u64, answer: u64) {
        let error = 100.0 * answer.abs_diff(exact) as f64 / exact as f64;
        self.0[index] = self.0[index].max(error);
    }
}

/// Relative errors of all shapes.
pub(super) fn errors(setting: &Setting) -> Result<Sheet> {
    let mut sheet = Sheet::default();
    let mut rng = Rng::new(SEED);
    let large = [33, 1_000, setting.scale.of(100_000, 2_000)];
    let sets = setting.scale.of(SETS, 2);
    let (mut small_worst, mut peer_worst) = (Worst::default(), Worst::default());
    for shape in Shape::ALL {
        for size in EXACT {
            (0..sets)
                .for_each(|_| add(&shape.draw_many(size, &mut rng), &mut small_worst, &mut Worst::default()));
        }
    }
    tell("at most 32 samples, any shape", &small_worst, [NO_ERROR; 4], &mut sheet);
    for shape in Shape::ALL {
        let mut worst = Worst::default();
        for size in large {
            (0..sets).for_each(|_| add(&shape.draw_many(size, &mut rng), &mut worst, &mut peer_worst));
        }
        tell(shape.name(), &worst, [BOUND, BOUND, BOUND, NO_ERROR], &mut sheet);
    }
    for ((quantile, _), error) in QUANTILES.into_iter().zip(peer_worst.0) {
        let figure = format!("peer: hdrhistogram, all of these shapes: {quantile}, worst");
        sheet.check(&figure, error <= PEER_BOUND, true);
        sheet.figure(figure, "% off", error);
    }
    Ok(sheet)
}

/// Compares the answers about some samples with the samples in order.
fn add(samples: &[u64], worst: &mut Worst, peer_worst: &mut Worst) {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let mut distribution = Distribution::default();
    let mut peer = Histogram::<u64>::new_with_bounds(1, Distribution::HIGHEST_TRACKABLE, 2)
        .expect("two digits and these bounds are possible");
    for &sample in samples {
        distribution.record(sample);
        peer.saturating_record(sample);
    }
    for (index, (_, quantile)) in QUANTILES.into_iter().enumerate() {
        let exact = sorted[nearest_rank(quantile, sorted.len()) - 1];
        let answer = distribution.quantile(quantile).expect("there are samples");
        worst.add(index, exact, answer);
        peer_worst.add(index, exact, peer.value_at_quantile(quantile));
    }
}

/// `ceil(quantile * count)` of hundredths, in whole numbers.
fn nearest_rank(quantile: f64, count: usize) -> usize {
    let hundredths = (quantile * 100.0).round() as usize;
    (hundredths * count).div_ceil(100).clamp(1, count)
}

fn tell(name: &str, worst: &Worst, targets: [Target; QUANTILES.len()], sheet: &mut Sheet) {
    for (((quantile, _), target), error) in QUANTILES.into_iter().zip(targets).zip(worst.0) {
        let figure = format!("{name}: {quantile}, worst");
        sheet.check(&format!("{figure} within {} %", target.goal), error <= target.goal, true);
        sheet.figure_for(target, figure, "% off", error);
    }
}
