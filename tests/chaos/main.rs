//! `chaos`: workers, sinks, servers and connections are killed, stopped and cut while the pipeline runs on real servers;
//! in the end everything published and stored must be what one pass over the raw topic gives.
//!
//! | file | subject |
//! |---|---|
//! | `generator` | the input, which a seed decides (`yahtzee_loadgen::hostile`), at an even pace |
//! | `oracle` | what must come out, by a fold of its own |
//! | `watch` | reads a topic along with the run, for `raw`, `summaries`, `commits` and `letters` |
//! | `workers`, `cluster`, `admin`, `servers`, `proxy` | the processes, the broker, and the wire between them |
//! | `stores`, `postgres`, `rows`, `reader` | what carries summaries into a store, its databases, and who reads them |
//! | `rig`, `scenarios` | a run, and what is done to it: C to the pipeline, S to PostgreSQL |
//! | `eras`, `segments` | what a generation of the job had to fold, and how a log comes to lose records |
//! | `clocks` | processes and producers whose clock is wrong |
//! | `returns`, `broker_probe` | how soon processes go on after the broker has come back |
//! | `gaps`, `logs`, `judge`, `stored`, `report` | which windows lost input, the verdict, and the line that is printed |
//! | `stacks` | what the threads of a process are doing that has not gone on |
//! | `lifetime` | that no process outlives the run |

mod admin;
mod broker_probe;
mod clocks;
mod cluster;
mod commits;
mod eras;
mod gaps;
mod generator;
mod ingress;
mod judge;
mod letters;
mod lifetime;
mod logs;
mod options;
mod oracle;
mod policy;
mod postgres;
mod proxy;
mod raw;
mod reader;
mod readiness;
mod report;
mod returns;
mod rig;
mod rows;
mod scenarios;
mod segments;
mod servers;
mod stacks;
mod stored;
mod stores;
mod summaries;
mod watch;
mod workers;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;

use options::Options;
use rig::Rig;
use scenarios::Scenario;

fn main() -> ExitCode {
    if let Err(error) = lifetime::begin() {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let options = Options::parse();
    if options.list {
        scenarios::ALL.iter().for_each(|scenario| println!("{:<4} {}", scenario.name, scenario.about));
        return ExitCode::SUCCESS;
    }
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went as it must and everything that must be zero is.
fn run(options: &Options) -> Result<bool> {
    let name = options.name.as_deref().unwrap_or_default();
    let scenario = scenarios::find(name).with_context(|| format!("there is no {name}; try --list"))?;
    if scenario.needs_fence && !options.is_fenced() {
        bail!("{} is about the fence, which workers do not have under at-least-once", scenario.name);
    }
    let folder = tempfile::Builder::new().prefix("yahtzee-chaos-").tempdir()?;
    let mut rig = Rig::start(options, scenario, folder.path())?;
    let played = play(&mut rig, scenario);
    if let Err(error) = &played {
        eprintln!("chaos: {error:#}");
        rig.abandon();
    }
    let report = judge::judge(&rig, scenario.name)?;
    drop(rig);
    let is_good = played.is_ok() && report.must_be_zero.is_zero();
    if !is_good || options.keep {
        eprintln!(
            "chaos: seed {}; the logs of all processes are in {}",
            options.seed,
            folder.keep().display()
        );
    }
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(is_good)
}

fn play(rig: &mut Rig, scenario: &Scenario) -> Result<()> {
    (scenario.run)(rig)?;
    rig.settle()?;
    (scenario.after)(rig)?;
    rig.stop()
}
