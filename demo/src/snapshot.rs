//! A snapshot of what the demo shows: the newest figures of each app, and the pipeline's own.
//!
//! Two minutes are shown: the *running* minute, the newest one that any app has a summary of, with its figures so far;
//! and the *previous* minute just before it. Nothing is extrapolated. An app without a summary in one of them has no
//! figures there.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use yahtzee_core::job::Job as _;
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::SummaryKey;
use yahtzee_jobs::dyno_load::DynoLoad;
use yahtzee_jobs::dyno_memory::DynoMemory;
use yahtzee_jobs::errors::Errors;
use yahtzee_jobs::figures::Figures;
use yahtzee_jobs::router_latency::RouterLatency;

/// Process type that provides the load and memory shown for an app, if the app has it.
const WEB: &str = "web";

const BYTES_PER_MB: f64 = 1_048_576.0;

/// Codes by which the log system announces that lines were lost.
const LOSS_CODES: &[&str] = &["L10", "L11", "L12", "L13"];

/// Number of past points that the view can draw.
const HISTORY_POINTS: usize = 120;

/// All data on the screen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Snapshot {
    /// Time since the start of the demo.
    pub(crate) elapsed: Duration,
    /// The two minutes; `None` before the first summary.
    pub(crate) minutes: Option<Minutes>,
    /// Apps with a summary in either minute, the busiest first.
    pub(crate) apps: Vec<AppRow>,
    /// The pipeline's own figures.
    pub(crate) pipeline: PipelineFigures,
    /// Measurements per second, the newest last.
    pub(crate) throughput: Vec<u64>,
}

/// The windows that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Minutes {
    /// Start of the running one, milliseconds since 1970.
    pub(crate) running_start_ms: i64,
    /// Length of both, in milliseconds.
    pub(crate) length_ms: u32,
}

impl Minutes {
    /// Returns the start of the previous one, milliseconds since 1970.
    pub(crate) fn previous_start_ms(self) -> i64 {
        self.running_start_ms - i64::from(self.length_ms)
    }
}

/// The pipeline's own figures. Totals count from the start of the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PipelineFigures {
    /// Measurements folded per second, over the last few seconds.
    pub(crate) measurements_per_s: f64,
    /// Drain frames received.
    pub(crate) frames: u64,
    /// Log lines received.
    pub(crate) lines: u64,
    /// Measurements behind the watermark by more than the allowed lateness.
    pub(crate) late: u64,
    /// Measurements ahead of their record's log timestamp by more than is allowed.
    pub(crate) future: u64,
    /// Duplicates: frames dropped at the ingress, and measurements dropped by the worker.
    pub(crate) duplicates: u64,
    /// Records that could not be decoded.
    pub(crate) poison: u64,
    /// Records not yet read.
    pub(crate) position_lag: u64,
    /// Records that a restart would read again.
    pub(crate) replay_lag: u64,
    /// Seconds since the oldest of the partitions' last commits; `None` before the first.
    pub(crate) commit_age_s: Option<f64>,
    /// Summaries acknowledged.
    pub(crate) summaries: u64,
    /// Commits acknowledged.
    pub(crate) commits: u64,
}

/// One app.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AppRow {
    /// Its name, or its UUID if no name is known.
    pub(crate) name: String,
    /// Its UUID.
    pub(crate) owner: Owner,
    /// Figures of the running minute so far.
    pub(crate) running: Minute,
    /// Figures of the previous minute.
    pub(crate) previous: Minute,
}

/// One app in one minute. Absent figures are `None`, never 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Minute {
    /// Requests with a status; of a running minute, so far. `None` without a latency summary.
    pub(crate) requests: Option<u64>,
    /// Percentiles and greatest service time, in milliseconds: of the process type with the most requests.
    pub(crate) p50_ms: Option<f64>,
    /// See [`Self::p50_ms`].
    pub(crate) p95_ms: Option<f64>,
    /// See [`Self::p50_ms`].
    pub(crate) p99_ms: Option<f64>,
    /// See [`Self::p50_ms`].
    pub(crate) max_ms: Option<f64>,
    /// Requests by the first digit of their status: 1xx to 5xx.
    pub(crate) by_class: [u64; 5],
    /// Mean 1-minute load average of the web dynos (of the first process type if there is no web).
    pub(crate) load_mean: Option<f64>,
    /// Mean memory of the same dynos, in MB (1,048,576 bytes).
    pub(crate) memory_mean_mb: Option<f64>,
    /// Memory that each of them may use, in MB.
    pub(crate) memory_quota_mb: Option<f64>,
    /// Occurrences by code, over all process types.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Whether the log system announced in this minute that lines were lost: the figures are then lower
    /// bounds.
    pub(crate) is_incomplete: bool,
}

/// Newest summaries of all apps, from which the rows are made.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppRows {
    names: HashMap<Owner, String>,
    length_ms: u32,
    /// Summaries by window start, of which the last two are kept, then by app.
    windows: BTreeMap<i64, HashMap<Owner, AppSummaries>>,
}

/// Figures of one app in one window, by process type, and by process type and code.
#[derive(Clone, Debug, Default)]
struct AppSummaries {
    router: BTreeMap<String, Figures>,
    load: BTreeMap<String, Figures>,
    memory: BTreeMap<String, Figures>,
    errors: BTreeMap<(String, String), Figures>,
}

impl AppRows {
    /// Creates an empty set of rows; `names` are the names of the apps.
    pub(crate) fn new(names: HashMap<Owner, String>) -> Self {
        Self { names, ..Self::default() }
    }

    /// Adds a summary of the job named `job`. It replaces the previous one under the same key, so the caller must pass
    /// them in the order of their revisions. Windows older than the previous minute, and unknown jobs, are ignored.
    pub(crate) fn update(&mut self, job: &str, key: &SummaryKey, figures: &Figures) {
        if ![RouterLatency::NAME, DynoLoad::NAME, DynoMemory::NAME, Errors::NAME].contains(&job) {
            return;
        }
        self.length_ms = key.window_length_ms;
        let app = self.windows.entry(key.window_start_ms).or_default().entry(key.owner).or_default();
        let figures = figures.clone();
        let dimension = |index: usize| key.dimensions.get(index).cloned().unwrap_or_default();
        match job {
            RouterLatency::NAME => drop(app.router.insert(dimension(0), figures)),
            DynoLoad::NAME => drop(app.load.insert(dimension(0), figures)),
            DynoMemory::NAME => drop(app.memory.insert(dimension(0), figures)),
            Errors::NAME => drop(app.errors.insert((dimension(0), dimension(1)), figures)),
            _ => {}
        }
        self.forget_old();
    }

    /// Returns the minutes to show; `None` before the first summary.
    pub(crate) fn minutes(&self) -> Option<Minutes> {
        let (&running_start_ms, _) = self.windows.last_key_value()?;
        Some(Minutes { running_start_ms, length_ms: self.length_ms })
    }

    /// Returns the apps with a summary in either minute, by requests in both, the busiest first.
    pub(crate) fn apps(&self) -> Vec<AppRow> {
        let Some(minutes) = self.minutes() else { return Vec::new() };
        let mut owners: Vec<Owner> = self.windows.values().flat_map(HashMap::keys).copied().collect();
        owners.sort_unstable();
        owners.dedup();
        let mut rows: Vec<AppRow> = owners.into_iter().map(|owner| self.row(owner, minutes)).collect();
        rows.sort_by_cached_key(|row| (std::cmp::Reverse(row.requests()), row.name.clone()));
        rows
    }

    fn row(&self, owner: Owner, minutes: Minutes) -> AppRow {
        let minute = |start_ms: i64| {
            let summaries = self.windows.get(&start_ms).and_then(|apps| apps.get(&owner));
            summaries.map(AppSummaries::minute).unwrap_or_default()
        };
        AppRow {
            name: self.names.get(&owner).cloned().unwrap_or_else(|| owner.to_string()),
            owner,
            running: minute(minutes.running_start_ms),
            previous: minute(minutes.previous_start_ms()),
        }
    }

    fn forget_old(&mut self) {
        if let Some(minutes) = self.minutes() {
            self.windows = self.windows.split_off(&minutes.previous_start_ms());
        }
    }
}

impl AppRow {
    fn requests(&self) -> u64 {
        self.running.requests.unwrap_or_default() + self.previous.requests.unwrap_or_default()
    }
}

impl AppSummaries {
    fn minute(&self) -> Minute {
        let mut minute = Minute::default();
        self.add_requests(&mut minute);
        let figure = |figures: Option<&Figures>, name: &str| figures?.get(name).copied();
        let (load, memory) = (web_or_first(&self.load), web_or_first(&self.memory));
        minute.load_mean = figure(load, "load_1m_mean");
        minute.memory_mean_mb = figure(memory, "total_bytes_mean").map(|bytes| bytes / BYTES_PER_MB);
        minute.memory_quota_mb = figure(memory, "quota_bytes_max").map(|bytes| bytes / BYTES_PER_MB);
        for ((_, code), figures) in &self.errors {
            let occurrences = figure(Some(figures), "occurrences").unwrap_or_default();
            *minute.errors.entry(code.clone()).or_default() += occurrences as u64;
        }
        minute.is_incomplete = LOSS_CODES.iter().any(|&code| minute.errors.contains_key(code));
        minute
    }

    fn add_requests(&self, minute: &mut Minute) {
        let requests = |figures: &Figures| figures.get("requests").copied().unwrap_or_default() as u64;
        let Some(busiest) = self.router.values().max_by_key(|figures| requests(figures)) else { return };
        minute.requests = Some(self.router.values().map(requests).sum());
        let figure = |name: &str| busiest.get(name).copied();
        minute.p50_ms = figure("service_ms_p50");
        minute.p95_ms = figure("service_ms_p95");
        minute.p99_ms = figure("service_ms_p99");
        minute.max_ms = figure("service_ms_max");
        for (name, count) in self.router.values().flatten() {
            let status = name.strip_prefix("status_").and_then(|status| status.parse::<usize>().ok());
            if let Some(class) = status.and_then(|status| (status / 100).checked_sub(1))
                && let Some(sum) = minute.by_class.get_mut(class)
            {
                *sum += *count as u64;
            }
        }
    }
}

fn web_or_first(by_process_type: &BTreeMap<String, Figures>) -> Option<&Figures> {
    by_process_type.get(WEB).or_else(|| by_process_type.values().next())
}

/// The most recent points of a throughput curve.
#[derive(Clone, Debug, Default)]
pub(crate) struct ThroughputHistory(VecDeque<u64>);

impl ThroughputHistory {
    /// Appends a point, rounded to an integer; negative values count as 0.
    pub(crate) fn push(&mut self, value: f64) {
        if self.0.len() == HISTORY_POINTS {
            self.0.pop_front();
        }
        self.0.push_back(value.round() as u64);
    }

    /// Returns the points, the newest last.
    pub(crate) fn points(&self) -> Vec<u64> {
        self.0.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests;
