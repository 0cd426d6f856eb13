//! The whole `yahtzee` command, with one job more.

use std::process::ExitCode;
use std::sync::Arc;

use slow_requests::SlowRequests;

fn main() -> ExitCode {
    let mut jobs = yahtzee_cli::stock_jobs();
    jobs.push(Arc::new(SlowRequests));
    yahtzee_cli::main(jobs)
}
