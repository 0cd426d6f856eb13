//! A thread that reads a topic from a start to the end of the run and hands each record on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};
use yahtzee_runtime::log::{Batch, Isolation, Item, LogError, LogReader, SharedLog};

const POLL: Duration = Duration::from_millis(20);

/// What a thread makes of the records of a topic.
pub(crate) trait Sight: Send + 'static {
    fn see(&mut self, partition: Partition, record: &LogRecord<'_>);
}

/// A topic being read; what was seen so far can be looked at.
pub(crate) struct Watch<S> {
    seen: Arc<Mutex<Seen<S>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What was seen, and how far.
pub(crate) struct Seen<S> {
    pub(crate) sight: S,
    positions: Vec<Offset>,
}

impl<S> Seen<S> {
    /// The offset below which everything of the partition was seen.
    pub(crate) fn position(&self, partition: Partition) -> Offset {
        self.positions[partition.0 as usize]
    }
}

impl<S: Sight> Watch<S> {
    /// Reads `topic` from these offsets, one per partition.
    pub(crate) fn start(
        log: &SharedLog,
        topic: &str,
        from: &[Offset],
        isolation: Isolation,
        sight: S,
    ) -> Result<Self> {
        let (log, name) = (Arc::clone(log), topic.to_owned());
        let open = move |from: &[Offset]| {
            let assigned: Vec<_> = (0..).map(Partition).zip(from.iter().copied()).collect();
            log.reader(&name, &assigned, isolation)
        };
        let reader = open(from).with_context(|| format!("cannot read {topic}"))?;
        let seen = Arc::new(Mutex::new(Seen { sight, positions: from.to_vec() }));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name(format!("watch-{topic}")).spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            move || read(reader, &open, &seen, &stop)
        })?;
        Ok(Self { seen, stop, thread: Some(thread) })
    }

    /// What was seen so far. Keeps the thread waiting.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen<S>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Watch<S> {
    /// Reads no more.
    pub(crate) fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("chaos: a watching thread has panicked: what it saw is not to be trusted");
        }
    }
}

impl<S> Drop for Watch<S> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads on, with a new reader after each failure.
fn read<S: Sight>(
    mut reader: Box<dyn LogReader>,
    open: &impl Fn(&[Offset]) -> Result<Box<dyn LogReader>, LogError>,
    seen: &Mutex<Seen<S>>,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        let polled = reader.poll(POLL).map(|batch| look(batch, seen));
        let Err(error) = polled else { continue };
        eprintln!("chaos: {error}");
        let positions = seen.lock().unwrap_or_else(PoisonError::into_inner).positions.clone();
        match open(&positions) {
            Ok(opened) => reader = opened,
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

fn look<S: Sight>(batch: Batch<'_>, seen: &Mutex<Seen<S>>) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    for item in batch {
        let (partition, next) = match item {
            Item::Record(partition, record, _) => {
                seen.sight.see(partition, &record);
                (partition, record.offset.next())
            }
            Item::End(partition, next) => (partition, next),
        };
        seen.positions[partition.0 as usize] = next;
    }
}
