//! Traffic over time: a day's curve, short waves and bursts per app, and occasional incidents.

use std::f64::consts::TAU;

use crate::rng::Rng;

const MICROS_PER_SECOND: f64 = 1e6;
const DAY_S: f64 = 86_400.0;
const WAVE_S: f64 = 47.0;
const BURST_S: f64 = 97.0;
const INCIDENT_US: i64 = 60_000_000;
const FIRST_INCIDENT_US: i64 = 15_000_000;

/// Number of the busiest apps that incidents can strike, so that they are visible.
const PROMINENT_APPS: u64 = 5;

/// The shape of one app's traffic over time.
#[derive(Clone, Debug)]
pub(super) struct Wobble {
    day_phase: f64,
    wave_phase: f64,
    burst_phase: f64,
}

impl Wobble {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self { day_phase: rng.unit(), wave_phase: rng.unit(), burst_phase: rng.unit() }
    }

    /// Returns the factor on the mean rate; about 1 on average, never negative.
    pub(super) fn factor(&self, time_us: i64) -> f64 {
        let time_s = time_us as f64 / MICROS_PER_SECOND;
        let wave = |period_s: f64, phase: f64| (TAU * (time_s / period_s + phase)).sin();
        let burst = wave(BURST_S, self.burst_phase).max(0.0).powi(8);
        0.9 + 0.15 * wave(DAY_S, self.day_phase) + 0.15 * wave(WAVE_S, self.wave_phase) + 0.75 * burst
    }
}

/// Schedule of incidents: slow answers and timeouts of one app for a minute.
#[derive(Clone, Debug)]
pub(super) struct Incidents {
    rng: Rng,
    apps: u64,
    app: usize,
    from_us: i64,
}

impl Incidents {
    /// Creates the schedule. The first incident comes soon after the start, so that a short run shows one.
    pub(super) fn new(mut rng: Rng, apps: u64, start_us: i64) -> Self {
        let apps = apps.min(PROMINENT_APPS);
        let app = rng.below(apps) as usize;
        Self { rng, apps, app, from_us: start_us + FIRST_INCIDENT_US }
    }

    /// Returns the rank of the app in trouble at `time_us`, if any. Times must not go backwards.
    pub(super) fn app_in_trouble(&mut self, time_us: i64) -> Option<usize> {
        if time_us >= self.from_us + INCIDENT_US {
            let pause_s = self.rng.between(60.0, 180.0);
            self.from_us = time_us + (pause_s * MICROS_PER_SECOND) as i64;
            self.app = self.rng.below(self.apps) as usize;
        }
        (time_us >= self.from_us).then_some(self.app)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_keeps_its_mean() {
        let wobble = Wobble::new(&mut Rng::stream(3, 0));
        let factors: Vec<f64> = (0..86_400_i64).map(|second| wobble.factor(second * 1_000_000)).collect();
        let mean = factors.iter().sum::<f64>() / factors.len() as f64;
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        assert!(factors.iter().all(|&factor| factor > 0.0));
    }

    #[test]
    fn incidents_last_a_minute_and_come_back() {
        let mut incidents = Incidents::new(Rng::stream(3, 0), 40, 0);
        let troubled: Vec<bool> =
            (0..3_600).map(|second| incidents.app_in_trouble(second * 1_000_000).is_some()).collect();
        assert_eq!(troubled.iter().position(|&troubled| troubled), Some(15));
        let starts = troubled.windows(2).filter(|pair| pair == &[false, true]).count();
        let seconds = troubled.iter().filter(|&&troubled| troubled).count();
        assert!(starts > 10, "{starts}");
        assert!((starts * 60 - 60..=starts * 60).contains(&seconds), "{seconds} s in {starts} incidents");
    }
}
