//! The stop signal of a process, given from anywhere and seen by threads and by tasks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// A request to stop. Cheap to clone; once given it stays.
#[derive(Clone, Debug, Default)]
pub struct StopSignal(Arc<StopState>);

#[derive(Debug, Default)]
struct StopState {
    is_stopped: AtomicBool,
    lock: Mutex<()>,
    threads: Condvar,
    tasks: Notify,
}

impl StopSignal {
    /// Creates a signal that is not given yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the signal.
    pub fn stop(&self) {
        let guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.is_stopped.store(true, Ordering::Release);
        drop(guard);
        self.0.threads.notify_all();
        self.0.tasks.notify_waiters();
    }

    /// Returns whether the signal was given.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.is_stopped.load(Ordering::Acquire)
    }

    /// Blocks until the signal is given or `time` is over; returns whether it was given.
    pub fn wait(&self, time: Duration) -> bool {
        let guard = self.0.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.threads.wait_timeout_while(guard, time, |()| !self.is_stopped());
        drop(waited);
        self.is_stopped()
    }

    /// Completes when the signal is given.
    pub async fn stopped(&self) {
        loop {
            let notified = self.0.tasks.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.is_stopped() {
                return;
            }
            notified.await;
        }
    }
}

/// Gives the signal on SIGTERM and SIGINT, and ends the process if it is still there after `deadline`.
///
/// The platform kills 30 s after SIGTERM; correctness never depends on a graceful stop. A second signal changes
/// nothing.
///
/// # Errors
/// If the signal handlers cannot be installed.
pub fn stop_on_signals(stop: &StopSignal, deadline: Duration) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
        stop.stop();
        std::thread::spawn(move || {
            std::thread::sleep(deadline);
            tracing::error!(
                ?deadline,
                "still not stopped: ending the process; the next start reads again from the last commit"
            );
            std::process::exit(1);
        });
        loop {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_and_tasks_see_the_signal() {
        let stop = StopSignal::new();
        assert!(!stop.wait(Duration::ZERO));
        let waiting = stop.clone();
        let thread = std::thread::spawn(move || waiting.wait(Duration::from_secs(60)));
        stop.stop();
        assert!(thread.join().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(stop.stopped());
    }
}
