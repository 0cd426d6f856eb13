//! What `/readyz` of the processes under test says.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::rig::Rig;
use crate::workers::Process;

/// An admin address answers from memory.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Every process has noticed by then that the broker is away: a request that was sent is given up after ten seconds.
pub(crate) const NOTICED_AFTER: Duration = Duration::from_secs(15);

impl Rig {
    /// Lets time pass while the broker is away. If it is long enough, no process may say in the end that it works.
    pub(crate) fn pause_without_broker(&mut self, away: Duration) -> Result<()> {
        self.pause(away)?;
        if away < NOTICED_AFTER {
            return Ok(());
        }
        for process in self.processes() {
            if is_ready(process)? {
                bail!("{} is ready although the broker has been away for {away:.1?}", process.name);
            }
        }
        Ok(())
    }

    /// Waits until every process says that it works.
    pub(crate) fn wait_for_readiness(&mut self) -> Result<()> {
        self.wait_until("every process is ready", |rig| {
            rig.processes().all(|process| is_ready(process).unwrap_or(false))
        })
    }

    /// The processes that run.
    fn processes(&self) -> impl Iterator<Item = &Process> {
        let workers = self.workers.iter().map(|worker| &worker.process);
        let ingress = self.ingress.iter().flat_map(|ingress| &ingress.process);
        workers.chain(ingress).chain(&self.stores.sinks).chain(&self.stores.retry)
    }
}

/// Whether a process says that it works. One that has just started has no address yet, and does not.
fn is_ready(process: &Process) -> Result<bool> {
    let Some(answer) = answer_of(process)? else { return Ok(false) };
    match answer.split_whitespace().nth(1) {
        Some("200") => Ok(true),
        Some("503") => Ok(false),
        _ => bail!("{}: /readyz answers {answer}", process.name),
    }
}

/// Whether a process says that it does not work, and why in this word.
pub(crate) fn is_unready_for(process: &Process, word: &str) -> Result<bool> {
    let answer = answer_of(process)?.unwrap_or_default();
    Ok(answer.split_whitespace().nth(1) == Some("503") && answer.contains(word))
}

fn answer_of(process: &Process) -> Result<Option<String>> {
    let log = process.log_text();
    let Some(address) = admin_address(&log) else { return Ok(None) };
    let answer = ask(address).with_context(|| format!("{}: /readyz at {address}", process.name))?;
    Ok(Some(answer))
}

/// The address that a process has logged as that of its administration.
fn admin_address(log: &str) -> Option<&str> {
    let line = log.lines().find(|line| line.contains("admin address:"))?;
    line.split_once("address=")?.1.split_whitespace().next()
}

fn ask(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: chaos\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_log() {
        fn check(log: &str, expected: Option<&str>) {
            assert_eq!(admin_address(log), expected, "{log}");
        }
        check("", None);
        check("INFO yahtzee: listening address=127.0.0.1:1", None);
        check("INFO a\nINFO admin: admin address: /metrics address=127.0.0.1:7\nINFO b", Some("127.0.0.1:7"));
    }
}
