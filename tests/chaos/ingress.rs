//! The ingress under test, and a drain that posts to it, one request after the other, and remembers what was acknowledged.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use yahtzee_core::job::Record as _;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};
use yahtzee_jobs::view::{Measurements, PlatformError};
use yahtzee_runtime::log::Isolation;
use yahtzee_runtime::utc;

use crate::cluster::Cluster;
use crate::policy::PARTITIONS;
use crate::watch::{Sight, Watch};
use crate::workers::{Launcher, Process};

/// Between two requests.
const STEP: Duration = Duration::from_millis(20);
/// Logplex gives a request up after this time.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(5);
const TOKEN: &str = "d.1e4c5bb9-0e1c-4a5e-9c0b-6f1d7a3b2c4d";

/// The ingress of a run, and what is known of what it was sent.
pub(crate) struct IngressSide {
    pub(crate) process: Option<Process>,
    drain: Option<Drain>,
    acknowledged_ms: BTreeSet<i64>,
    lines: Watch<ErrorLines>,
}

impl IngressSide {
    pub(crate) fn start(launcher: &mut Launcher, cluster: &Cluster) -> Result<Self> {
        let process = launcher.ingress()?;
        let (topic, start) = (cluster.error_lines(), [Offset(0); PARTITIONS as usize]);
        let lines =
            Watch::start(&cluster.log, &topic, &start, Isolation::Uncommitted, ErrorLines::default())?;
        let drain = Some(Drain::start(process.log.clone())?);
        Ok(Self { process: Some(process), drain, acknowledged_ms: BTreeSet::new(), lines })
    }

    /// When the newest request was acknowledged.
    pub(crate) fn acknowledged_at(&self) -> Option<Instant> {
        self.drain.as_ref()?.acknowledged_at()
    }

    /// Starts an ingress again that has ended by itself.
    pub(crate) fn supervise(&mut self, launcher: &mut Launcher) -> Result<()> {
        if let Some(process) = &mut self.process
            && process.has_ended_by_itself()?
        {
            let again = launcher.ingress()?;
            self.drain.iter().for_each(|drain| drain.follow(&again.log));
            *process = again;
        }
        Ok(())
    }

    /// Ends the drain; from then on it is known what was acknowledged.
    pub(crate) fn end_drain(&mut self) {
        self.acknowledged_ms = self.drain.take().map_or_else(BTreeSet::new, Drain::finish);
    }

    /// Whether every line is read that lies below these offsets.
    pub(crate) fn has_read(&self, ends: &[Offset]) -> bool {
        let seen = self.lines.seen();
        (0..).map(Partition).zip(ends).all(|(partition, &end)| seen.position(partition) >= end)
    }

    /// How many acknowledged lines are not in the log.
    pub(crate) fn lost(&self) -> u64 {
        let seen = self.lines.seen();
        let lost = self.acknowledged_ms.difference(&seen.sight.times_ms);
        let lost: Vec<String> = lost.map(|&time_ms| utc::date_and_time(time_ms)).collect();
        if !lost.is_empty() {
            let all = self.acknowledged_ms.len();
            eprintln!("chaos: {} of {all} acknowledged lines are not in the log: {lost:?}", lost.len());
        }
        lost.len() as u64
    }
}

/// A drain at work. Every request has one error line, whose time is not that of any other.
struct Drain {
    ingress_log: Arc<Mutex<PathBuf>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<i64>>,
    acknowledged_at: Arc<Mutex<Option<Instant>>>,
}

impl Drain {
    /// Begins to post to the ingress that writes this log file, once it has said where it listens.
    fn start(ingress_log: PathBuf) -> Result<Self> {
        let ingress_log = Arc::new(Mutex::new(ingress_log));
        let (stop, acknowledged_at) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let thread = std::thread::Builder::new().name("drain".to_owned()).spawn({
            let (stop, acknowledged_at) = (Arc::clone(&stop), Arc::clone(&acknowledged_at));
            let ingress_log = Arc::clone(&ingress_log);
            move || {
                let mut acknowledged = BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    let (log, time_ms) = (locked(&ingress_log).clone(), now_ms());
                    if post(&log, time_ms).is_ok_and(|is_acknowledged| is_acknowledged) {
                        *locked(&acknowledged_at) = Some(Instant::now());
                        acknowledged.insert(time_ms);
                    }
                    std::thread::sleep(STEP);
                }
                acknowledged
            }
        })?;
        Ok(Self { ingress_log, stop, thread, acknowledged_at })
    }

    /// When the newest request was acknowledged.
    fn acknowledged_at(&self) -> Option<Instant> {
        *locked(&self.acknowledged_at)
    }

    /// Posts to another ingress from now on, which writes this log file.
    fn follow(&self, ingress_log: &Path) {
        *locked(&self.ingress_log) = ingress_log.to_owned();
    }

    /// Ends it; returns the times of the lines that were acknowledged, in milliseconds since 1970.
    fn finish(self) -> BTreeSet<i64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the drain does not panic")
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Posts one line; returns whether it was acknowledged.
fn post(ingress_log: &Path, time_ms: i64) -> Result<bool> {
    let log = std::fs::read_to_string(ingress_log)?;
    let address = address_in(&log).context("it does not listen yet")?;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(GIVEN_UP_AFTER))?;
    let line = line(time_ms);
    let body = format!("{} {line}", line.len());
    write!(
        stream,
        "POST /drain HTTP/1.1\r\nHost: chaos\r\nContent-Type: application/logplex-1\r\nLogplex-Msg-Count: 1\r\n\
         Logplex-Drain-Token: {TOKEN}\r\nLogplex-Frame-Id: {time_ms:032x}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_whitespace().nth(1).is_some_and(|status| status.starts_with('2')))
}

/// The address that the newest ingress in a log listens on.
fn address_in(log: &str) -> Option<&str> {
    let line = log.lines().rfind(|line| line.contains("listening for drains"))?;
    line.split_once("address=")?.1.split_whitespace().next()
}

fn line(time_ms: i64) -> String {
    let time = utc::date_and_time(time_ms);
    format!("<45>1 {time} host heroku web.1 - Error R14 (Memory quota exceeded)")
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as i64
}

/// The raw topic of error lines: the times of the lines in it.
#[derive(Default)]
struct ErrorLines {
    times_ms: BTreeSet<i64>,
}

impl Sight for ErrorLines {
    fn see(&mut self, _: Partition, record: &LogRecord<'_>) {
        let read = Measurements::<PlatformError<'_>>::read(record.value);
        let times_us = read.iter().flat_map(Measurements::iter).map(|measurement| measurement.time_us);
        self.times_ms.extend(times_us.map(|time_us| time_us / 1_000));
    }
}
