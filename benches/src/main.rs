//! `cargo run --profile dist -p yahtzee-benches -- [fold|worker|client|all|accumulators|readers|store]`: figures, see README.md
//! beside this package.

use std::io::Write as _;
use std::process::ExitCode;
use std::{env, fs, io};

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use yahtzee_benches::case::{Case, Group, Source};
use yahtzee_benches::report::Report;
use yahtzee_benches::rounds::{Bed, Isolation};
use yahtzee_benches::site::Site;
use yahtzee_benches::state;
use yahtzee_loadgen::population::Mix;

/// Names the broker that may be filled with topics.
const BROKER: &str = "YAHTZEE_TEST_KAFKA";

/// CPU time per measurement of every part of Yahtzee, beside consumers that do nothing.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    child: Option<Child>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Child {
    /// Runs one case in this process and prints JSON
    #[command(hide = true, name = yahtzee_benches::rounds::RUN_CASE)]
    RunCase { case: String, site: String },
    /// What the state of many series takes: five windows of router latency are filled and left open
    State(StateOptions),
    /// Fills one state in this process and prints JSON
    #[command(hide = true, name = yahtzee_benches::state::RUN_STATE)]
    RunState { mix: Mix, series: u64 },
    /// Figures with goals, beside the cost of a measurement
    #[command(flatten)]
    Figures(yahtzee_benches::figures::Command),
}

#[derive(Debug, Args)]
struct StateOptions {
    /// Series, one per app
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    series: u64,
    /// How requests are spread over apps; both unless one is named
    #[arg(long, value_enum)]
    mix: Option<Mix>,
    /// Prints JSON instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Options {
    /// What to measure
    #[arg(value_enum, default_value_t = Group::All)]
    group: Group,
    /// Only this case, by its name in the table; may be given several times
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,
    /// Rounds; every case runs once in each
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Frames of input; single-measurement records are five times as many
    #[arg(long, default_value_t = 400_000)]
    frames: usize,
    /// Prints JSON instead of a table
    #[arg(long)]
    json: bool,
    /// One round in this process, without children: for profilers
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.child {
        Some(Child::RunCase { case, site }) => run_case(case, site),
        Some(Child::State(options)) => weigh_states(options),
        Some(Child::RunState { mix, series }) => run_state(*mix, *series),
        Some(Child::Figures(command)) => command.run(),
        None => measure(&cli.options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run_case(case: &str, site: &str) -> Result<ExitCode> {
    let case = Case::named(case).with_context(|| format!("there is no case {case}"))?;
    let site: Site = serde_json::from_str(site)?;
    serde_json::to_writer(io::stdout(), &case.run(&site)?)?;
    Ok(ExitCode::SUCCESS)
}

fn run_state(mix: Mix, series: u64) -> Result<ExitCode> {
    serde_json::to_writer(io::stdout(), &state::fill(mix, series)?)?;
    Ok(ExitCode::SUCCESS)
}

fn weigh_states(options: &StateOptions) -> Result<ExitCode> {
    let mixes = options.mix.map_or_else(|| vec![Mix::Flat, Mix::Zipf], |mix| vec![mix]);
    let mut runs = Vec::new();
    for mix in mixes {
        let run = state::fill_in_child(mix, options.series)?;
        if !options.json {
            println!("{run}");
        }
        runs.push(run);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&runs)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(options: &Options) -> Result<ExitCode> {
    let brokers = env::var(BROKER).ok();
    let cases = selected(options, brokers.is_some())?;
    let (rounds, isolation) =
        if options.once { (1, Isolation::None) } else { (options.rounds, Isolation::Process) };
    eprintln!("{}", machine());
    let mut bed = Bed::new(options.frames, brokers)?;
    let all = bed.run(&cases, rounds, isolation, |doing| eprintln!("{doing}"))?;
    let report = Report::of(&all);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    io::stdout().flush()?;
    for runs in all.iter().filter(|runs| runs.void() > 0) {
        let found: Vec<_> = runs.runs.iter().map(|run| run.output).collect();
        eprintln!("VOID: {}: expected {:?}, found {found:?}", runs.case.name(), runs.expected);
    }
    Ok(if report.is_void() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The cases asked for, without those that need a broker where there is none.
fn selected(options: &Options, has_broker: bool) -> Result<Vec<Case>> {
    for name in &options.cases {
        let names = || Case::all().map(|case| case.name()).collect::<Vec<_>>().join(", ");
        ensure!(Case::named(name).is_some(), "there is no case {name}; there are {}", names());
    }
    let is_named = |case: &Case| options.cases.is_empty() || options.cases.contains(&case.name());
    let wanted = Case::all().filter(|case| case.is_in(options.group) && is_named(case));
    let (possible, skipped): (Vec<_>, Vec<_>) =
        wanted.partition(|case| has_broker || case.source != Source::Kafka);
    if !skipped.is_empty() {
        eprintln!(
            "NOT MEASURED: {} cases on Kafka. Run `eval \"$(cargo xtask services up kafka)\"`, which exports \
             {BROKER}=host:port, and then this again.",
            skipped.len()
        );
    }
    ensure!(!possible.is_empty(), "nothing is left to be measured");
    Ok(possible)
}

/// Processor, cores and load, as far as `/proc` tells.
fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!("{} x {}, load average {load}", cores, model.map_or("unknown processor", |(_, name)| name))
}
