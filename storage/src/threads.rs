//! Threads of the processes around a store: a panic in one ends the process instead of stalling the others.

use std::thread::JoinHandle;

use yahtzee_runtime::health::{Condition, Health};
use yahtzee_runtime::shutdown::StopSignal;

/// Starts a thread whose panic is told to `health` and stops the process.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    health: &Health,
    stop: &StopSignal,
    run: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let alarm = Alarm { part: name.to_owned(), health: health.clone(), stop: stop.clone() };
    let body = move || {
        let _alarm = alarm;
        run()
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.expect("the system can start a thread")
}

/// Waits for the end of a thread and passes on its panic.
pub(crate) fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

struct Alarm {
    part: String,
    health: Health,
    stop: StopSignal,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = "a thread has panicked; its message is in the log of the process".to_owned();
            self.health.set(&self.part, Condition::Failed(text));
            self.stop.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stops_the_process_and_a_return_does_not() {
        fn check(run: fn(), is_stopped: bool) {
            let (health, stop) = (Health::default(), StopSignal::new());
            assert_eq!(spawn("part", &health, &stop, run).join().is_err(), is_stopped);
            assert_eq!((stop.is_stopped(), health.is_alive()), (is_stopped, !is_stopped));
        }
        check(|| {}, false);
        check(|| panic!("as planned"), true);
    }
}
