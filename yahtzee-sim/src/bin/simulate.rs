//! What `cargo xtask simulate` runs: seeds of the simulated world, and whether any of them broke a promise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use yahtzee_sim::{Campaign, Kills, Mutant, Outcome, PRODUCTION, Totals, kills, mutants, run_twice, shrink};

/// Failed seeds that are shrunk and saved; one is enough to work on.
const SHRUNK_MAX: usize = 3;

/// Run the production core in a simulated world of crashes, zombies and failures
#[derive(Debug, Parser)]
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate")]
struct Options {
    /// How many seeds to run
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    seeds: u64,
    /// Run this seed alone, twice, and show what it breaks
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// First seed; without it one is taken from the time, and printed
    #[arg(long, value_name = "SEED")]
    from: Option<u64>,
    /// Build this mistake in: see --list-mutants
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,
    /// Show the mistakes that can be built in, and which promise each must break
    #[arg(long)]
    list_mutants: bool,
    /// Print the rows of the table in docs/commit-rule.md: of all mistakes, or of those whose names begin with PREFIX
    #[arg(long, value_name = "PREFIX", num_args = 0..=1, default_missing_value = "", conflicts_with = "seed")]
    table: Option<String>,
    /// One line of JSON instead of text
    #[arg(long)]
    json: bool,
    /// Threads; without it one per core
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Where the shrunken operations of failed seeds go; nowhere for a mutant unless this is given
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
}

/// What was run, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    test: &'static str,
    mutant: &'static str,
    from: u64,
    seeds: u64,
    crashes: u64,
    zombies: u64,
    records: u64,
    failed_seeds: Vec<u64>,
    trace_hash: String,
    seeds_per_s: u64,
    crashes_per_s: u64,
    must_be_zero: MustBeZero,
}

#[derive(Serialize)]
struct MustBeZero {
    diverged: u64,
}

fn main() -> ExitCode {
    match simulate(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the seeds. Fails if any of them broke a promise.
fn simulate(options: &Options) -> Result<()> {
    if options.list_mutants {
        list_mutants();
        return Ok(());
    }
    if let Some(prefix) = &options.table {
        print_table(options, prefix);
        return Ok(());
    }
    let mutant = find_mutant(options.mutant.as_deref())?;
    let from = options.seed.or(options.from).unwrap_or_else(seed_of_now);
    let started = Instant::now();
    let totals = match options.seed {
        Some(seed) => totals_of(run_twice(seed, &mutant)),
        None => run_all(options, from, mutant),
    };
    let report = report(&mutant, from, &totals, started.elapsed());
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print_report(&report, &totals);
    }
    save_failures(options, &mutant, &totals)?;
    if totals.failed > 0 {
        bail!("{} of {} seeds broke a promise", totals.failed, totals.seeds);
    }
    Ok(())
}

fn list_mutants() {
    for mutant in mutants() {
        println!("{:<30} {:<17} {}", mutant.name, mutant.killed_by, mutant.mistake);
    }
}

/// One row per mistake: in how many of the seeds, those from 1 unless asked otherwise, its property is broken.
fn print_table(options: &Options, prefix: &str) {
    let from = options.from.unwrap_or(1);
    for mutant in mutants().iter().filter(|mutant| mutant.name.starts_with(prefix)) {
        let Kills { seeds, first } = kills(mutant, from..from + options.seeds, threads(options));
        let property = mutant.killed_by.name().split(' ').next().unwrap_or_default();
        let first = first.map_or_else(|| "none".to_owned(), |first| first.to_string());
        println!("| `{}` | {} | {property} | {seeds} | {first} |", mutant.name, mutant.mistake);
    }
}

fn threads(options: &Options) -> usize {
    options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn find_mutant(name: Option<&str>) -> Result<Mutant> {
    let Some(name) = name else { return Ok(PRODUCTION) };
    let found = mutants().into_iter().find(|mutant| mutant.name == name);
    found.with_context(|| format!("there is no mutant `{name}`: see `cargo xtask simulate --list-mutants`"))
}

/// Another base for every run; printed, so that a failure can be repeated.
fn seed_of_now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_1970.as_micros() as u64
}

fn run_all(options: &Options, from: u64, mutant: Mutant) -> Totals {
    let threads = threads(options);
    let bar = Mutex::new(progress_bar(options.seeds));
    let totals = Campaign { from, seeds: options.seeds, threads, mutant }.run(&|totals| {
        let bar = bar.lock().expect("drawing does not panic");
        bar.set_position(totals.seeds);
        bar.set_message(format!("{} crashes, {} failed", totals.crashes, totals.failed));
    });
    bar.into_inner().expect("drawing does not panic").finish_and_clear();
    totals
}

/// Shown on a terminal only.
fn progress_bar(seeds: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {per_sec}, {msg}, {eta} left");
    ProgressBar::new(seeds).with_style(style.expect("the template is a constant"))
}

fn totals_of(outcome: Outcome) -> Totals {
    let Outcome { crashes, zombies, records, trace_hash, .. } = outcome;
    let failed = u64::from(!outcome.failures.is_empty());
    let failures = if failed > 0 { vec![outcome] } else { Vec::new() };
    Totals { seeds: 1, crashes, zombies, records, failed, failures, trace_hash }
}

fn report(mutant: &Mutant, from: u64, totals: &Totals, elapsed: Duration) -> Report {
    let per_s = |count: u64| (count as f64 / elapsed.as_secs_f64().max(1e-9)) as u64;
    Report {
        test: "simulate",
        mutant: mutant.name,
        from,
        seeds: totals.seeds,
        crashes: totals.crashes,
        zombies: totals.zombies,
        records: totals.records,
        failed_seeds: totals.failures.iter().map(|outcome| outcome.seed).collect(),
        trace_hash: format!("{:016x}", totals.trace_hash),
        seeds_per_s: per_s(totals.seeds),
        crashes_per_s: per_s(totals.crashes),
        must_be_zero: MustBeZero { diverged: totals.failed },
    }
}

fn print_report(report: &Report, totals: &Totals) {
    let Report { from, seeds, crashes, zombies, records, trace_hash, seeds_per_s, .. } = report;
    println!("seeds       {seeds} from {from}, {seeds_per_s} per second");
    println!("crashes     {crashes}, {zombies} batches read by zombies, {records} records folded");
    println!("trace hash  {trace_hash}");
    println!("failed      {}", totals.failed);
    for outcome in &totals.failures {
        println!("seed {} (again: cargo xtask simulate --seed {0})", outcome.seed);
        outcome.failures.iter().for_each(|failure| println!("  {failure}"));
    }
}

/// Shrinks the first failed seeds and writes them down as regressions.
fn save_failures(options: &Options, mutant: &Mutant, totals: &Totals) -> Result<()> {
    let ours = Path::new("tests/sim/regressions");
    let folder = match &options.save {
        Some(folder) => folder.as_path(),
        None if mutant.name == PRODUCTION.name && ours.is_dir() => ours,
        None => return Ok(()),
    };
    for outcome in totals.failures.iter().take(SHRUNK_MAX) {
        let Some(regression) = shrink(outcome.seed, mutant) else { continue };
        let path = folder.join(format!("{}-{}.ops", mutant.name, outcome.seed));
        fs::write(&path, regression.to_string()).with_context(|| format!("writing {}", path.display()))?;
        eprintln!("{} operations of seed {} are in {}", regression.len(), outcome.seed, path.display());
    }
    Ok(())
}
