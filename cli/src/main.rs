//! The `yahtzee` command with the jobs of this pipeline.

use std::process::ExitCode;

fn main() -> ExitCode {
    yahtzee_cli::main(yahtzee_cli::stock_jobs())
}
