//! `yahtzee demo`: the whole pipeline in one process, on the embedded log and store, fed by a generator or a recording.

use std::fs::{self, File};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use yahtzee_runtime::{errln, out, outln};

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::SignedDuration;
use yahtzee_ingress::Settings;
use yahtzee_loadgen::drain::LINES_PER_SECOND_MAX;
use yahtzee_runtime::metric_names;
use yahtzee_runtime::process::{Process, ProcessSettings};
use yahtzee_runtime::telemetry::logging::{LogFormat, LogOutput};
use yahtzee_runtime::telemetry::metric::MetricDefinition;
use yahtzee_runtime::topics::TopicLayout;
use yahtzee_runtime::worker::{JobPlan, WorkerSettings};

mod ending;
mod pipe;
mod pipeline;
mod playback;
mod poster;
mod report;
mod snapshot;
mod source;
mod view;
mod watch;

use pipeline::RunningPipeline;
use source::Feed;

/// The metrics of all parts of the pipeline.
const METRICS: &[&[MetricDefinition]] =
    &[yahtzee_ingress::metric_names::ALL, metric_names::ALL, yahtzee_storage::metric_names::ALL];

/// Options of `yahtzee demo`.
#[derive(Debug, Args)]
pub struct DemoOptions {
    /// Seed of the generated traffic: equal seeds give equal fleets
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of apps in the generated fleet
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    apps: u32,
    /// Log lines per second of the generated fleet, up to 1,000,000
    #[arg(long, default_value_t = 600.0, value_name = "LINES", allow_negative_numbers = true)]
    rate: f64,
    /// End after this time with a report, as in `60s` or `5m`; default: on `q` or Ctrl-C
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<SignedDuration>,
    /// Print the report as one JSON document on standard output, and nothing before it
    #[arg(long)]
    json: bool,
    /// Read recorded drain bodies, syslog lines or `heroku logs` text instead of generating traffic; windows are those
    /// of the recorded times
    ///
    /// Text may be in UTF-8 or UTF-16, coloured, and compressed with gzip, zstd, bzip2 or xz. Each file is an app of its own; with APP=FILE all
    /// files of one name are one app. A line counts once, however often its file is read, grown or rotated. A pipe, as in `--input <(command)` or
    /// `--input -`, is read to its end before its lines count, or to that of the demo (--for, Ctrl-C).
    #[arg(long, value_name = "[APP=]FILE", num_args = 1..)]
    input: Vec<String>,
    /// Report every app, not only the busiest
    #[arg(long)]
    all_apps: bool,
    /// Keep log and store in this folder, and continue from it; default: a temporary folder
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Settings of the demo, from the configuration of the command.
pub struct DemoSettings {
    /// The jobs with their policies.
    pub plans: Vec<JobPlan>,
    /// Names and sizes of topics.
    pub layout: TopicLayout,
    /// Settings of the worker.
    pub worker: WorkerSettings,
    /// Settings of the ingress.
    pub ingress: Settings,
    /// The drain address; port 0 lets the system choose.
    pub drain: SocketAddr,
    /// The admin address, if any.
    pub admin: Option<SocketAddr>,
    /// Form of log lines.
    pub log_format: LogFormat,
    /// Level or directives of log lines.
    pub log_filter: String,
}

/// Runs the demo until it is ended, and prints its report.
///
/// # Errors
/// If the options contradict each other, a part of the pipeline cannot be started, or one fails.
pub fn demo(mut settings: DemoSettings, options: &DemoOptions) -> Result<()> {
    if !(options.rate > 0.0 && options.rate <= LINES_PER_SECOND_MAX) {
        bail!("--rate {} must be above 0 and at most {LINES_PER_SECOND_MAX}", options.rate);
    }
    let duration = options.duration.map(Duration::try_from).transpose().context("--for is negative")?;
    let folder = DataFolder::open(options.data.as_deref())?;
    let is_recording = !options.input.is_empty();
    if is_recording {
        keep_for_ever(&mut settings.layout);
        keep_for_ever(&mut settings.worker.layout);
    }
    let is_live = !options.json && std::io::stdout().is_terminal() && !is_recording;
    let process = Process::start(ProcessSettings {
        log_format: settings.log_format,
        log_filter: settings.log_filter.clone(),
        log_output: log_output(folder.path(), is_live)?,
        admin: settings.admin,
        metrics: METRICS,
    })?;
    let started = Instant::now();
    let source = Feed::new(options)?;
    let pipeline = RunningPipeline::start(settings, folder.path(), &process, source.names(), is_recording)?;
    announce(&process, &pipeline, &folder, options);
    let feeding = source.start(&pipeline)?;
    watch::watch(
        &process,
        &pipeline,
        &feeding,
        &watch::Options { is_live, is_quiet: options.json, duration, started },
    )?;
    let report = ending::end(&process, pipeline, feeding, (started, options.all_apps))?;
    match options.json {
        true => outln!("{}", report.json())?,
        false => out!("{}", report.text())?,
    }
    if is_recording && report.lines == report.unreadable_lines {
        let reasons: Vec<String> = report
            .unreadable_inputs
            .iter()
            .map(|input| format!("; {}: {}", input.file, input.reason))
            .collect();
        bail!(
            "nothing of --input {} could be read: expected are drain bodies, syslog lines or `heroku logs` text{}",
            options.input.join(" "),
            reasons.concat()
        );
    }
    Ok(())
}

/// Disables retention, which goes by the records' own time: a recording of 2016 would be deleted at once. Nor is there a
/// clock that its time could be ahead of.
fn keep_for_ever(layout: &mut TopicLayout) {
    layout.raw_retention_ms = None;
    layout.summary_retention_ms = None;
    layout.store_retention_ms = None;
    layout.timestamp_ahead_max_ms = None;
}

/// Returns the output of log lines: a file while the terminal shows the view.
fn log_output(folder: &Path, is_live: bool) -> Result<LogOutput> {
    if !is_live {
        return Ok(LogOutput::StandardError);
    }
    let path = folder.join("demo.log");
    let file = File::options().create(true).append(true).open(&path);
    Ok(LogOutput::File(file.with_context(|| format!("cannot write {}", path.display()))?))
}

fn announce(process: &Process, pipeline: &RunningPipeline, folder: &DataFolder, options: &DemoOptions) {
    if options.json {
        return;
    }
    errln!("drains   http://{}/drain", pipeline.drain_address);
    if let Some(admin) = process.admin {
        errln!("metrics  http://{admin}/metrics");
    }
    let keeping = if options.data.is_some() { "kept" } else { "temporary; keep it with --data DIR" };
    errln!("data     {} ({keeping})", folder.path().display());
}

/// Folder of log and store.
enum DataFolder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl DataFolder {
    fn open(kept: Option<&Path>) -> Result<Self> {
        let Some(folder) = kept else {
            return Ok(Self::Temporary(tempfile::Builder::new().prefix("yahtzee-demo-").tempdir()?));
        };
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create data folder {}", folder.display()))?;
        Ok(Self::Kept(folder.to_owned()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(folder) => folder,
            Self::Temporary(folder) => folder.path(),
        }
    }
}
