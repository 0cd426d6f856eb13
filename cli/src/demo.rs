//! `yahtzee demo`: the whole pipeline in one process, on the embedded log, fed by a generator or a recording.

use std::fs::{self, File};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::SignedDuration;
use yahtzee_runtime::config::{Config, Environment, LogChoice, process_environment};
use yahtzee_runtime::telemetry::logging::LogOutput;

use crate::ingress::Heartbeats;
use crate::process::{GlobalOptions, Process};

mod ending;
mod fleet;
mod pipeline;
mod poster;
mod report;
mod snapshot;
mod source;
mod view;
mod watch;

use pipeline::Pipeline;
use source::Source;

/// How to run the demo.
#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// Seed of the generated traffic: the same seed, the same fleet
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Apps of the generated fleet
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    apps: u32,
    /// Log lines per second of the generated fleet
    #[arg(long, default_value_t = 600.0, value_name = "LINES")]
    rate: f64,
    /// End after this time with a report, as in `60s` or `5m`; without it on `q` or Ctrl-C
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<SignedDuration>,
    /// Make the report one JSON document on standard output, and show nothing before it
    #[arg(long)]
    json: bool,
    /// Read recorded drain bodies, syslog lines or `heroku logs` text instead of generating traffic; minutes are those
    /// of the recording
    #[arg(long, value_name = "FILE", num_args = 1..)]
    input: Vec<PathBuf>,
    /// Keep log and store in this folder, and continue from it; without it a temporary folder
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(crate) fn demo(global: &GlobalOptions, options: &DemoOptions) -> Result<()> {
    if !(options.rate.is_finite() && options.rate > 0.0) {
        bail!("--rate {} must be above 0", options.rate);
    }
    let duration = options.duration.map(Duration::try_from).transpose().context("--for is negative")?;
    let folder = Folder::open(options.data.as_deref())?;
    let config = config(global, folder.path(), !options.input.is_empty())?;
    let is_live = !options.json && std::io::stdout().is_terminal() && options.input.is_empty();
    let process = Process::start_with(config, log_output(folder.path(), is_live)?)?;
    let started = Instant::now();
    let source = Source::new(options)?;
    let heartbeats = if options.input.is_empty() { Heartbeats::On } else { Heartbeats::Off };
    let pipeline = Pipeline::start(global, &process, source.names(), heartbeats)?;
    announce(&process, &pipeline, &folder, options);
    let feeding = source.start(&process, &pipeline)?;
    watch::watch(
        &process,
        &pipeline,
        &feeding,
        &watch::Options { is_live, is_quiet: options.json, duration, started },
    )?;
    let report = ending::end(&global.jobs, &process, pipeline, feeding, started)?;
    match options.json {
        true => println!("{}", report.json()),
        false => print!("{}", report.text()),
    }
    Ok(())
}

/// The demo's settings. Variables of the form `YAHTZEE_SECTION__KEY` apply, those of a platform do not.
fn config(global: &GlobalOptions, folder: &Path, is_recording: bool) -> Result<Config> {
    let mut text = "
        [topics]
        partitions = 8
        [worker]
        slots = 2
        [ingress]
        listen = '127.0.0.1:0'
        [admin]
        listen = '127.0.0.1:0'
        [logging]
        filter = 'warn'
    "
    .to_owned();
    for job in global.jobs.all() {
        text += &format!("\n[jobs.{}]\nflush_interval_ms = 1000\n", job.name());
    }
    let own: Environment =
        process_environment().into_iter().filter(|(name, _)| name.starts_with("YAHTZEE_")).collect();
    let mut config = Config::parse(&text, "(demo)", &own)?;
    config.log = LogChoice::Embedded(folder.join("log"));
    config.sink.embedded_folder = folder.join("store");
    if is_recording {
        // Retention goes by the records' own time: a log of 2016 would be deleted at once.
        config.layout.raw_retention_ms = None;
        config.layout.summary_retention_ms = None;
        config.layout.store_retention_ms = None;
    }
    Ok(config)
}

/// While the terminal shows the view, log lines go to a file.
fn log_output(folder: &Path, is_live: bool) -> Result<LogOutput> {
    if !is_live {
        return Ok(LogOutput::StandardError);
    }
    let path = folder.join("demo.log");
    let file = File::options().create(true).append(true).open(&path);
    Ok(LogOutput::File(file.with_context(|| format!("cannot write {}", path.display()))?))
}

fn announce(process: &Process, pipeline: &Pipeline, folder: &Folder, options: &DemoOptions) {
    if options.json {
        return;
    }
    eprintln!("drains   http://{}/drain", pipeline.drain_address);
    if let Some(admin) = process.admin {
        eprintln!("metrics  http://{admin}/metrics");
    }
    let keeping = if options.data.is_some() { "kept" } else { "temporary; keep it with --data DIR" };
    eprintln!("data     {} ({keeping})", folder.path().display());
}

/// Where log and store are.
enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
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
