//! However this program ends, SIGKILL included, what it has started ends with it, and it ends with who has started it.

use std::env;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// First argument of a start that becomes another program; then come the parent's number and the command line.
const BECOME: &str = "become";

/// Asks the system for a SIGKILL when the parent ends. Where the arguments say so, this process becomes another program
/// then, which keeps the request: a child can only ask for itself, and only this program does.
pub(crate) fn begin() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot ask to end with the parent")?;
    let mut arguments = env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(BECOME)) {
        return Ok(());
    }
    let parent = Pid::as_raw(getppid()).to_string();
    if arguments.next().as_deref() != Some(OsStr::new(&parent)) {
        bail!("the parent has ended already");
    }
    let program = arguments.next().with_context(|| format!("{BECOME} needs a program"))?;
    // Only a failure returns.
    let error = Command::new(&program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// Returns a command that runs `program` as a child that ends with this process, or rather with the thread that starts
/// it.
pub(crate) fn child(program: &OsStr) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(BECOME).arg(std::process::id().to_string()).arg(program);
    Ok(command)
}
