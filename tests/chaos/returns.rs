//! How soon processes go on after the broker has come back.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Serialize;

use crate::broker_probe::BrokerProbe;
use crate::ingress::IngressSide;
use crate::report::seconds;
use crate::rig::{PATIENCE, POLL, Rig};

/// Every process goes on within this time.
const WITHIN: Duration = Duration::from_secs(5);

/// How long each process took after one return.
pub(crate) struct BrokerReturn {
    /// How long the broker took itself, until it served a new client.
    broker: Duration,
    workers: Vec<Duration>,
    sink: Duration,
    /// Of the records that the generator writes, as ingress does.
    raw: Duration,
    /// Of the ingress itself, where there is one.
    ingress: Option<Duration>,
}

/// Figures over all returns.
#[derive(Debug, Serialize)]
pub(crate) struct ReturnFigures {
    returns: usize,
    broker_return_max_s: f64,
    worker_return_p50_s: f64,
    worker_return_max_s: f64,
    sink_return_p50_s: f64,
    sink_return_max_s: f64,
    raw_return_p50_s: f64,
    raw_return_max_s: f64,
    ingress_return_p50_s: Option<f64>,
    ingress_return_max_s: Option<f64>,
}

impl Rig {
    /// Waits from a return of the broker, now, until every process has gone on, and notes how long each took from when on the broker
    /// served a new client.
    pub(crate) fn measure_return(&mut self, what: &str) -> Result<()> {
        let at = Instant::now();
        let groups = vec![self.cluster.group.clone(), self.stores.sink_group(&self.cluster.layout.version)];
        let probe = BrokerProbe::start(&self.cluster.brokers, groups)?;
        let mut waits: Vec<Option<Duration>> = vec![None; self.newest_works().len()];
        while waits.iter().any(Option::is_none) {
            if at.elapsed() > PATIENCE {
                bail!("{what}: after {} s some have not gone on: {waits:?}", PATIENCE.as_secs());
            }
            for (wait, newest) in waits.iter_mut().zip(self.newest_works()) {
                *wait = wait.or_else(|| newest?.checked_duration_since(at));
            }
            self.pause(POLL)?;
        }
        let served_after = probe.served_since()?.saturating_duration_since(at);
        let mut waits: Vec<Duration> =
            waits.into_iter().flatten().map(|wait| wait.saturating_sub(served_after)).collect();
        eprintln!(
            "chaos: {what}: new clients were served after {served_after:.2?}, and workers, sink, raw records and ingress went on \
             {waits:.2?} later"
        );
        let ingress = self.ingress.as_ref().and_then(|_| waits.pop());
        let raw = waits.pop().unwrap_or_default();
        let sink = waits.pop().unwrap_or_default();
        self.returns.push(BrokerReturn { broker: served_after, workers: waits, sink, raw, ingress });
        Ok(())
    }

    /// When each process has got something done last: commits of the workers and of the sink, acknowledged raw records,
    /// acknowledged requests.
    fn newest_works(&self) -> Vec<Option<Instant>> {
        let commits = self.commits.seen();
        let of_worker = |partitions: Vec<_>| {
            partitions.into_iter().filter_map(|partition| commits.sight.newest_at(partition)).max()
        };
        let workers = self.workers.iter().map(|worker| of_worker(worker.partitions()));
        let sink = self.sink_commits.seen().sight.newest;
        let raw = self.generator.as_ref().and_then(|generator| generator.acknowledged_at());
        let ingress = self.ingress.as_ref().map(IngressSide::acknowledged_at);
        workers.chain([sink, raw]).chain(ingress).collect()
    }
}

/// Figures of these returns, if there are any, and how many processes took too long.
pub(crate) fn figures(returns: &[BrokerReturn]) -> (Option<ReturnFigures>, u64) {
    if returns.is_empty() {
        return (None, 0);
    }
    let workers = sorted(returns.iter().flat_map(|it| it.workers.iter().copied()));
    let sinks = sorted(returns.iter().map(|it| it.sink));
    let raws = sorted(returns.iter().map(|it| it.raw));
    let ingresses = sorted(returns.iter().filter_map(|it| it.ingress));
    let slow =
        [&workers, &sinks, &raws, &ingresses].into_iter().flatten().filter(|wait| **wait > WITHIN).count();
    let median = |waits: &[Duration]| seconds(waits[waits.len() / 2]);
    let longest = |waits: &[Duration]| seconds(waits[waits.len() - 1]);
    let figures = ReturnFigures {
        returns: returns.len(),
        broker_return_max_s: returns.iter().map(|it| seconds(it.broker)).fold(0.0, f64::max),
        worker_return_p50_s: median(&workers),
        worker_return_max_s: longest(&workers),
        sink_return_p50_s: median(&sinks),
        sink_return_max_s: longest(&sinks),
        raw_return_p50_s: median(&raws),
        raw_return_max_s: longest(&raws),
        ingress_return_p50_s: (!ingresses.is_empty()).then(|| median(&ingresses)),
        ingress_return_max_s: (!ingresses.is_empty()).then(|| longest(&ingresses)),
    };
    (Some(figures), slow as u64)
}

fn sorted(waits: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut waits: Vec<Duration> = waits.collect();
    waits.sort_unstable();
    waits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_beyond_the_bound_are_counted_by_process() {
        fn check(returns: &[[u64; 4]], expected_slow: u64, expected_worker_max_s: Option<f64>) {
            let ms = Duration::from_millis;
            let returns: Vec<BrokerReturn> = returns
                .iter()
                .map(|&[one, two, sink, raw]| BrokerReturn {
                    broker: ms(7_000),
                    workers: vec![ms(one), ms(two)],
                    sink: ms(sink),
                    raw: ms(raw),
                    ingress: None,
                })
                .collect();
            let (figures, slow) = figures(&returns);
            assert_eq!(slow, expected_slow);
            assert_eq!(figures.map(|figures| figures.worker_return_max_s), expected_worker_max_s);
        }
        check(&[], 0, None);
        check(&[[100, 5_000, 5_000, 5_000]], 0, Some(5.0));
        check(&[[5_001, 1, 1, 1], [1, 6_000, 5_001, 7_000]], 4, Some(6.0));
    }
}
