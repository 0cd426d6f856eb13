//! Opening the log for a process that goes on for long: one that is started while the log is away waits for it.

use std::time::Duration;

use anyhow::Result;
use yahtzee_runtime::back_off::{BackOff, seed};
use yahtzee_runtime::health::Condition;
use yahtzee_runtime::log::{LogError, SharedLog};
use yahtzee_runtime::process::Process;

use crate::config::Config;
use crate::error_text::error_text;

/// Name in the health report; there only until the log is open.
const PART: &str = "log";
const WAIT_BASE: Duration = Duration::from_millis(200);
/// Soon after the return of a broker every process has gone on.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Opens the log and does with it what `prepare` does before the work can start. Returns `None` if the process is stopped
/// first.
///
/// # Errors
/// Those that no waiting mends.
pub(crate) fn open_log(
    config: &Config,
    process: &Process,
    prepare: impl Fn(&SharedLog) -> Result<(), LogError>,
) -> Result<Option<SharedLog>> {
    let Process { health, stop, .. } = process;
    let mut back_off = BackOff::new(WAIT_BASE, WAIT_MAX, seed());
    health.set(PART, Condition::Starting("connecting".to_owned()));
    while !stop.is_stopped() {
        match config.log.open().and_then(|log| prepare(&log).map(|()| log)) {
            Ok(log) => {
                health.forget(PART);
                return Ok(Some(log));
            }
            Err(error) if error.is_transient() => {
                let wait = back_off.next_wait();
                let error = error_text(&error.into());
                health.set(PART, Condition::Troubled(error.clone()));
                tracing::warn!(error, ?wait, "the log is not open yet: trying again until it is");
                stop.wait(wait);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
