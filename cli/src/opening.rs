//! Opening log and store for a process that goes on for long: one that is started while the log is away, or the disk of its
//! store is full, waits for it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use yahtzee_runtime::back_off::{BackOff, seed};
use yahtzee_runtime::health::Condition;
use yahtzee_runtime::log::{LogError, SharedLog};
use yahtzee_runtime::process::Process;
use yahtzee_storage::embedded::EmbeddedStore;
use yahtzee_storage::store::{StoreError, SummaryStore};

use crate::config::Config;
use crate::error_text::error_text;

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
    let open = || config.log.open().and_then(|log| prepare(&log).map(|()| log));
    open_in_time(process, "log", open, LogError::is_transient)
}

/// Opens the store in a folder. Returns `None` if the process is stopped first.
///
/// # Errors
/// Those that no waiting mends: all but a full disk.
pub(crate) fn open_embedded_store(
    config: &Config,
    process: &Process,
) -> Result<Option<Arc<dyn SummaryStore>>> {
    let open = || EmbeddedStore::open(&config.sink.embedded_folder);
    let store = open_in_time(process, "store", open, StoreError::is_full)?;
    Ok(store.map(|store| -> Arc<dyn SummaryStore> { Arc::new(store) }))
}

/// Opens what the health report calls `part` until it is open; it is there until then only.
fn open_in_time<T, E: Error + Send + Sync + 'static>(
    process: &Process,
    part: &str,
    open: impl Fn() -> Result<T, E>,
    may_pass: impl Fn(&E) -> bool,
) -> Result<Option<T>> {
    let Process { health, stop, .. } = process;
    let mut back_off = BackOff::new(WAIT_BASE, WAIT_MAX, seed());
    health.set(part, Condition::Starting("opening".to_owned()));
    while !stop.is_stopped() {
        match open() {
            Ok(opened) => {
                health.forget(part);
                return Ok(Some(opened));
            }
            Err(error) if may_pass(&error) => {
                let wait = back_off.next_wait();
                let error = error_text(&error.into());
                health.set(part, Condition::Troubled(error.clone()));
                tracing::warn!(part, error, ?wait, "not open yet: trying again until it is");
                stop.wait(wait);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
