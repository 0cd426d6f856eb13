//! What the threads of a process are doing, for one that should have gone on and has not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::workers::Process;

/// Writes the stack of every thread of `process` beside its log: by `gdb`, or where there is none, what the kernel tells.
pub(crate) fn write_beside_log(process: &Process) -> Result<()> {
    let path = process.log.with_extension("stacks");
    let text = by_debugger(process.id()).or_else(|_| of_kernel(process.id()))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn by_debugger(id: u32) -> Result<String> {
    let mut gdb = Command::new("gdb");
    gdb.args(["-batch", "-nx", "-ex", "thread apply all backtrace", "-p", &id.to_string()]);
    let output = gdb.stdin(Stdio::null()).output().context("gdb is not installed")?;
    anyhow::ensure!(output.status.success(), "gdb ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Name, state and system call of each thread.
fn of_kernel(id: u32) -> Result<String> {
    let tasks = PathBuf::from(format!("/proc/{id}/task"));
    let threads = fs::read_dir(&tasks).with_context(|| format!("process {id} has ended"))?;
    let folders = threads.map(|thread| Ok(thread?.path())).collect::<Result<Vec<PathBuf>>>()?;
    Ok(folders.iter().map(|folder| thread_line(folder)).collect())
}

fn thread_line(folder: &Path) -> String {
    // A thread may end meanwhile.
    let read = |name| fs::read_to_string(folder.join(name)).unwrap_or_default().trim_end().to_owned();
    let (name, channel, call) = (read("comm"), read("wchan"), read("syscall"));
    format!("{} {name}: {channel} {call}\n", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_of_a_process_is_told() {
        let (started, is_started) = std::sync::mpsc::channel();
        let (end, is_ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("waits-for-ever".to_owned());
        let waiting = thread
            .spawn(move || {
                started.send(()).expect("received below");
                let _ = is_ended.recv();
            })
            .unwrap();
        is_started.recv().unwrap();
        let told = of_kernel(std::process::id()).unwrap();
        assert!(told.contains("waits-for-ever"), "{told}");
        drop(end);
        waiting.join().unwrap();
    }

    #[test]
    fn a_process_that_has_ended_has_no_threads() {
        assert!(of_kernel(u32::MAX).is_err());
    }
}
