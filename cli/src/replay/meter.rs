//! Progress of a replay, as a bar on a terminal and as lines elsewhere; and the limit of its rate.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};
use yahtzee_runtime::errln;

use indicatif::{ProgressBar, ProgressStyle};
use yahtzee_core::owner::Partition;

const BAR: &str = "{msg}  {wide_bar}  {human_pos}/{human_len} records  {per_sec}  {eta}";
/// Interval between lines if there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// Reports progress on standard error.
pub(crate) struct ReplayMeter {
    view: MeterView,
    done: u64,
    total: u64,
    part: String,
    rate_limit: Option<ReplayRate>,
}

enum MeterView {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl ReplayMeter {
    /// Creates a meter of `total` records, limited to this many per second.
    pub(crate) fn start(total: u64, records_per_second: Option<u32>) -> Self {
        let view = match stderr().is_terminal() {
            true => {
                let style = ProgressStyle::with_template(BAR).expect("the template is written in this file");
                MeterView::Bar(ProgressBar::new(total).with_style(style))
            }
            false => MeterView::Lines { last: Instant::now() },
        };
        let rate_limit = records_per_second.map(ReplayRate::new);
        Self { view, done: 0, total, part: String::new(), rate_limit }
    }

    /// Begins a partition.
    pub(crate) fn begin(&mut self, job: &str, partition: Partition) {
        self.part = format!("{job}/{partition}");
        if let MeterView::Bar(bar) = &self.view {
            bar.set_message(self.part.clone());
        }
    }

    /// Adds `records` offsets to those done. Blocks to keep the rate below the limit.
    pub(crate) fn advance(&mut self, records: u64) {
        self.done += records;
        match &mut self.view {
            MeterView::Bar(bar) => bar.set_position(self.done),
            MeterView::Lines { last } if last.elapsed() >= LINE_INTERVAL => {
                *last = Instant::now();
                errln!("{}: {} of {} records", self.part, self.done, self.total);
            }
            MeterView::Lines { .. } => {}
        }
        if let Some(rate_limit) = &mut self.rate_limit {
            rate_limit.pass(records);
        }
    }

    /// Ends the report.
    pub(crate) fn finish(self) {
        match self.view {
            MeterView::Bar(bar) => bar.finish_and_clear(),
            MeterView::Lines { .. } => errln!("{} of {} records, done", self.done, self.total),
        }
    }
}

/// Keeps the mean rate since the start below a limit.
struct ReplayRate {
    records_per_second: f64,
    started: Instant,
    passed: u64,
}

impl ReplayRate {
    fn new(records_per_second: u32) -> Self {
        Self { records_per_second: f64::from(records_per_second), started: Instant::now(), passed: 0 }
    }

    fn pass(&mut self, records: u64) {
        self.passed += records;
        let due = Duration::from_secs_f64(self.passed as f64 / self.records_per_second);
        std::thread::sleep(due.saturating_sub(self.started.elapsed()));
    }
}
