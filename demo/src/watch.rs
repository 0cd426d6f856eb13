//! Shows the pipeline while it runs, and decides when to end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use yahtzee_runtime::outln;

use anyhow::Result;
use yahtzee_ingress::FrameOutcome;
use yahtzee_runtime::process::Process;

use crate::pipeline::RunningPipeline;
use crate::snapshot::{PipelineFigures, Snapshot, ThroughputHistory};
use crate::source::Feeding;
use crate::view::{TerminalView, line};

const LIVE_TURN: Duration = Duration::from_millis(250);
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Time over which measurements per second are averaged.
const RATE_SPAN: Duration = Duration::from_secs(3);

/// Options of the display: its form, and when to end.
pub(crate) struct Options {
    pub(crate) is_live: bool,
    pub(crate) is_quiet: bool,
    pub(crate) duration: Option<Duration>,
    pub(crate) started: Instant,
}

/// Shows the pipeline until the time is over, a key or signal asks to quit, the input is read, or a part fails.
pub(crate) fn watch(
    process: &Process,
    pipeline: &RunningPipeline,
    feeding: &Feeding,
    options: &Options,
) -> Result<()> {
    let exit = Arc::new(AtomicBool::new(false));
    let mut view = if options.is_live { Some(TerminalView::start(Arc::clone(&exit))?) } else { None };
    let mut meter = ThroughputMeter::default();
    let mut next_line = LINE_INTERVAL;
    loop {
        let elapsed = options.started.elapsed();
        let is_over = options.duration.is_some_and(|duration| elapsed >= duration);
        if is_over
            || exit.load(Ordering::Relaxed)
            || process.stop.is_stopped()
            || feeding.is_done()
            || pipeline.has_failed()
        {
            return Ok(());
        }
        let snapshot = meter.snapshot(pipeline, feeding, elapsed);
        match &mut view {
            Some(view) => {
                view.draw(&snapshot)?;
                view.wait(LIVE_TURN)?;
            }
            None => {
                if !options.is_quiet && elapsed >= next_line {
                    outln!("{}", line(&snapshot))?;
                    next_line = elapsed + LINE_INTERVAL;
                }
                process.stop.wait(LIVE_TURN);
            }
        }
    }
}

/// Converts sums into rates over the last few seconds.
#[derive(Default)]
struct ThroughputMeter {
    sums: VecDeque<(Duration, u64)>,
    history: ThroughputHistory,
    next_point: Duration,
}

impl ThroughputMeter {
    fn snapshot(&mut self, pipeline: &RunningPipeline, feeding: &Feeding, elapsed: Duration) -> Snapshot {
        let mut figures = figures(pipeline, feeding);
        let accepted: u64 = pipeline.progress.jobs().values().map(|job| job.outcomes.accepted).sum();
        figures.measurements_per_s = self.rate(elapsed, accepted);
        let rows = pipeline.rows.lock().unwrap_or_else(PoisonError::into_inner);
        Snapshot {
            elapsed,
            minutes: rows.minutes(),
            apps: rows.apps(),
            pipeline: figures,
            throughput: self.history.points(),
        }
    }

    fn rate(&mut self, elapsed: Duration, sum: u64) -> f64 {
        self.sums.push_back((elapsed, sum));
        while self.sums.len() > 2 && elapsed - self.sums[0].0 > RATE_SPAN {
            self.sums.pop_front();
        }
        let (since, before) = self.sums[0];
        let span_s = (elapsed - since).as_secs_f64();
        let rate = if span_s > 0.0 { (sum - before) as f64 / span_s } else { 0.0 };
        if elapsed >= self.next_point {
            self.next_point = elapsed + Duration::from_secs(1);
            self.history.push(rate);
        }
        rate
    }
}

/// Returns the pipeline's figures, except for the rate.
fn figures(pipeline: &RunningPipeline, feeding: &Feeding) -> PipelineFigures {
    let ingress = pipeline.ingress.stats().snapshot();
    let recorded = feeding.recorded();
    let mut figures = PipelineFigures {
        frames: FrameOutcome::ALL.iter().map(|&outcome| ingress.frames(outcome)).sum::<u64>()
            + recorded.chunks,
        lines: ingress.counts.all_lines() + recorded.counts.all_lines(),
        duplicates: ingress.frames(FrameOutcome::Duplicate),
        ..PipelineFigures::default()
    };
    for job in pipeline.progress.jobs().values() {
        figures.late += job.outcomes.late();
        figures.future += job.outcomes.future;
        figures.duplicates += job.outcomes.duplicate;
        figures.poison += job.poison;
        figures.position_lag += job.position_lag;
        figures.replay_lag += job.replay_lag;
        figures.summaries += job.summaries;
        figures.commits += job.commits;
        if job.commits > 0 {
            let age_s = job.commit_age_ms as f64 / 1_000.0;
            figures.commit_age_s = Some(figures.commit_age_s.map_or(age_s, |oldest| oldest.max(age_s)));
        }
    }
    figures
}
