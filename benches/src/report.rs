//! The table, and the same as JSON.

use std::fmt;

use serde::Serialize;

use crate::case::Run;
use crate::rounds::Runs;

/// Least, middle and greatest of the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The middle one; of an even number the mean of the two in the middle.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of the given figures; `None` without any.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let median = f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Self { min, median, max })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:10.0} {:8.0} {:8.0}", self.min, self.median, self.max)
    }
}

/// One case over all rounds. Figures of CPU are user and system time of the process under measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Kind of work / shape of the input.
    pub case: String,
    /// Measurements per run, all passes together.
    pub measurements: u64,
    /// CPU time of a run in seconds, median.
    pub cpu_s: f64,
    /// Elapsed time of a run in seconds, median.
    pub wall_s: f64,
    /// Measurements per CPU-second, from the median.
    pub measurements_per_cpu_s: f64,
    /// CPU time per measurement in nanoseconds.
    pub cpu_ns_per_measurement: Spread,
    /// Summaries per run, median.
    pub summaries: f64,
    /// All CPU time of a run, divided by its summaries, in microseconds; absent without summaries.
    pub cpu_us_per_summary: Option<f64>,
    /// Commits per run, per partition, median.
    pub commits: f64,
    /// Greatest resident memory of all rounds, in MiB.
    pub peak_rss_mib: f64,
    /// Runs with a wrong output: their figures say nothing.
    pub void_runs: usize,
}

impl Row {
    fn of(runs: &Runs) -> Option<Self> {
        let spread = |figure: fn(&Run) -> u64| Spread::of(runs.runs.iter().map(|run| figure(run) as f64));
        let measurements = runs.measurements * runs.runs.first()?.passes;
        let cpu_ns = spread(|run| run.cost.cpu_ns)?;
        let summaries = spread(|run| run.summaries)?.median;
        let per = |cpu_ns: f64| cpu_ns / measurements as f64;
        Some(Self {
            case: runs.case.name(),
            measurements,
            cpu_s: cpu_ns.median / 1e9,
            wall_s: spread(|run| run.cost.wall_ns)?.median / 1e9,
            measurements_per_cpu_s: 1e9 / per(cpu_ns.median),
            cpu_ns_per_measurement: Spread {
                min: per(cpu_ns.min),
                median: per(cpu_ns.median),
                max: per(cpu_ns.max),
            },
            summaries,
            cpu_us_per_summary: (summaries > 0.0).then(|| cpu_ns.median / summaries / 1e3),
            commits: spread(|run| run.commits)?.median,
            peak_rss_mib: spread(|run| run.cost.peak_rss_bytes)?.max / f64::from(1 << 20),
            void_runs: runs.void(),
        })
    }
}

/// What fencing costs: the differences between a fenced case and its twin that writes at least once.
#[derive(Clone, Debug, Serialize)]
pub struct Fencing {
    /// The fenced case.
    pub case: String,
    /// Commits per run, one per partition and write, median.
    pub commits: f64,
    /// Summaries per commit, median.
    pub summaries_per_commit: f64,
    /// CPU time per summary in microseconds, fenced less at-least-once of the same round; below 0 fenced is cheaper.
    pub cpu_us_per_summary: Spread,
}

impl Fencing {
    fn of(fenced: &Runs, all: &[Runs]) -> Option<Self> {
        let unfenced = fenced.case.unfenced()?;
        let unfenced = all.iter().find(|runs| runs.case == unfenced)?;
        let per_summary = |run: &Run| run.cost.cpu_ns as f64 / 1e3 / run.summaries as f64;
        let rounds = fenced.runs.iter().zip(&unfenced.runs);
        let differences = rounds.map(|(fenced, unfenced)| per_summary(fenced) - per_summary(unfenced));
        let per_commit = |run: &Run| run.summaries as f64 / run.commits as f64;
        Some(Self {
            case: fenced.case.name(),
            commits: Spread::of(fenced.runs.iter().map(|run| run.commits as f64))?.median,
            summaries_per_commit: Spread::of(fenced.runs.iter().map(per_commit))?.median,
            cpu_us_per_summary: Spread::of(differences)?,
        })
    }
}

/// All figures of a run of the program.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// One row per case.
    pub rows: Vec<Row>,
    /// What fencing costs, where both sides were measured.
    pub fencing: Vec<Fencing>,
}

impl Report {
    /// The figures of these runs.
    #[must_use]
    pub fn of(all: &[Runs]) -> Self {
        Self {
            rows: all.iter().filter_map(Row::of).collect(),
            fencing: all.iter().filter_map(|runs| Fencing::of(runs, all)).collect(),
        }
    }

    /// Whether a run had a wrong output.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.rows.iter().any(|row| row.void_runs > 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (measurements, million, cpu_ns) = ("measure-", "M per", "CPU ns per measurement");
        writeln!(
            formatter,
            "{:42} {measurements:>8} {million:>6} {cpu_ns:^28} {:>7} {:>7} {:>9} {:>10} {:>5}",
            "", "CPU", "wall", "", "CPU us per", "peak"
        )?;
        writeln!(
            formatter,
            "{:42} {:>8} {:>6} {:>10} {:>8} {:>8} {:>7} {:>7} {:>9} {:>10} {:>5}",
            "case", "ments", "CPU-s", "min", "median", "max", "s", "s", "summaries", "summary", "MiB"
        )?;
        self.rows.iter().try_for_each(|row| writeln!(formatter, "{row}"))?;
        if self.fencing.is_empty() {
            return Ok(());
        }
        writeln!(formatter, "\n{:60} CPU us per summary, fenced less at least once", "")?;
        let (case, commits, summaries) = ("case", "commits", "summaries/commit");
        let [min, median, max] = ["min", "median", "max"];
        writeln!(formatter, "{case:35} {commits:>8} {summaries:>16} {min:>10} {median:>8} {max:>8}")?;
        self.fencing.iter().try_for_each(|fencing| writeln!(formatter, "{fencing}"))
    }
}

impl fmt::Display for Fencing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, commits, summaries_per_commit, cpu_us_per_summary } = self;
        let Spread { min, median, max } = cpu_us_per_summary;
        write!(
            formatter,
            "{case:35} {commits:8.0} {summaries_per_commit:16.0} {min:10.2} {median:8.2} {max:8.2}"
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, measurements, cpu_ns_per_measurement: cpu_ns, cpu_s, wall_s, summaries, .. } = self;
        let (millions, rss_mib) = (self.measurements_per_cpu_s / 1e6, self.peak_rss_mib);
        let per_summary = self.cpu_us_per_summary.map_or_else(|| "-".to_owned(), |us| format!("{us:.2}"));
        write!(
            formatter,
            "{case:42} {measurements:>8} {millions:6.2} {cpu_ns} {cpu_s:7.3} {wall_s:7.3} {summaries:9.0} \
             {per_summary:>10} {rss_mib:5.0}"
        )?;
        if self.void_runs > 0 {
            write!(formatter, "  VOID: {} runs with a wrong output", self.void_runs)?;
        }
        Ok(())
    }
}
