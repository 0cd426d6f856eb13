//! Posts drain frames over HTTP the way Logplex does, from a few threads with one kept-alive connection each.
//!
//! A drain always uses the same connection, one request at a time, so its frames stay in order. Replies mean
//! what they mean to Logplex (heroku/logplex, `src/logplex_http_drain.erl`): 2xx is delivered; any other 4xx
//! than 429 drops the frame for good; all else, a timeout included, repeats the request, at most three per
//! frame. One thing differs: a failed connect counts as a request, so that the queue empties even where
//! nobody listens.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use ureq::Agent;
use ureq::http::StatusCode;

use yahtzee_runtime::shutdown::StopSignal;

use yahtzee_loadgen::drain::{DrainFrame, FrameKind};

/// Maximum number of requests per frame.
const MAX_REQUESTS: u32 = 3;

/// Time limits of Logplex.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause before the second request of a frame; twice as long before the third.
const FIRST_BACK_OFF: Duration = Duration::from_millis(50);

/// Maximum number of frames that wait for one connection; beyond it, a sender blocks.
const QUEUE_FRAMES: usize = 256;

/// A user and password for HTTP basic authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DrainCredentials {
    /// The user.
    pub(crate) user: String,
    /// The password.
    pub(crate) password: String,
}

/// Counts of frames by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PosterCounts {
    /// Frames that were accepted (2xx).
    pub(crate) posted: u64,
    /// Accepted frames that were deliberate redeliveries, which the pipeline must not count twice.
    pub(crate) posted_again: u64,
    /// Accepted frames that were deliberately broken.
    pub(crate) posted_broken: u64,
    /// Requests that repeated an earlier one.
    pub(crate) retried: u64,
    /// Frames that were dropped on a 4xx.
    pub(crate) refused: u64,
    /// Frames that were given up after three requests.
    pub(crate) failed: u64,
    /// Frames that were not sent because the pipeline had failed.
    pub(crate) abandoned: u64,
    /// Times that a sender had to wait because the queue was full.
    pub(crate) queue_full: u64,
}

#[derive(Debug, Default)]
struct Counters {
    posted: AtomicU64,
    posted_again: AtomicU64,
    posted_broken: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    abandoned: AtomicU64,
    queue_full: AtomicU64,
}

impl Counters {
    fn read(&self) -> PosterCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PosterCounts {
            posted: read(&self.posted),
            posted_again: read(&self.posted_again),
            posted_broken: read(&self.posted_broken),
            retried: read(&self.retried),
            refused: read(&self.refused),
            failed: read(&self.failed),
            abandoned: read(&self.abandoned),
            queue_full: read(&self.queue_full),
        }
    }

    fn count_posted(&self, kind: FrameKind) {
        count(&self.posted);
        match kind {
            FrameKind::Fresh => {}
            FrameKind::Redelivery => count(&self.posted_again),
            FrameKind::Broken => count(&self.posted_broken),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Destination of frames, and their outcomes.
#[derive(Debug)]
struct DrainTarget {
    url: String,
    authorization: Option<String>,
    counters: Counters,
    abandon: StopSignal,
}

/// A set of connections to one drain URL.
#[derive(Debug)]
pub(crate) struct DrainPoster {
    target: Arc<DrainTarget>,
    connections: Vec<DrainConnection>,
}

#[derive(Debug)]
struct DrainConnection {
    queue: SyncSender<DrainFrame>,
    thread: JoinHandle<()>,
}

impl DrainPoster {
    /// Starts `connections` threads (at least one) that post to `url` (`http://127.0.0.1:8080/drain`).
    /// Once `abandon` is set, queued frames are no longer sent.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub(crate) fn start(
        url: &str,
        credentials: Option<&DrainCredentials>,
        connections: usize,
        abandon: StopSignal,
    ) -> io::Result<Self> {
        Self::start_with_queue(url, credentials, connections, QUEUE_FRAMES, abandon)
    }

    fn start_with_queue(
        url: &str,
        credentials: Option<&DrainCredentials>,
        connections: usize,
        queue_frames: usize,
        abandon: StopSignal,
    ) -> io::Result<Self> {
        let target = Arc::new(DrainTarget {
            url: url.to_owned(),
            authorization: credentials.map(basic),
            counters: Counters::default(),
            abandon,
        });
        let connections =
            (0..connections.max(1)).map(|index| DrainConnection::start(index, &target, queue_frames));
        Ok(Self { connections: connections.collect::<io::Result<_>>()?, target })
    }

    /// Queues `frame`; blocks while its connection's queue is full, and counts that.
    pub(crate) fn send(&self, frame: DrainFrame) {
        let mut hasher = DefaultHasher::new();
        frame.drain_token.hash(&mut hasher);
        let index = hasher.finish() % self.connections.len() as u64;
        let queue = &self.connections[index as usize].queue;
        if let Err(TrySendError::Full(frame)) = queue.try_send(frame) {
            count(&self.target.counters.queue_full);
            queue.send(frame).expect("a connection's thread ends only with its queue");
        }
    }

    /// Counts of frames by outcome.
    #[cfg(test)]
    fn counts(&self) -> PosterCounts {
        self.target.counters.read()
    }

    /// Blocks until the queues are empty, ends the threads, and returns the counts.
    pub(crate) fn finish(self) -> PosterCounts {
        let (queues, threads): (Vec<_>, Vec<_>) =
            self.connections.into_iter().map(|connection| (connection.queue, connection.thread)).unzip();
        drop(queues);
        for thread in threads {
            thread.join().expect("a connection's thread does not panic");
        }
        self.target.counters.read()
    }
}

impl DrainConnection {
    fn start(index: usize, target: &Arc<DrainTarget>, queue_frames: usize) -> io::Result<Self> {
        let (queue, frames) = sync_channel(queue_frames);
        let target = Arc::clone(target);
        let thread =
            thread::Builder::new().name(format!("poster-{index}")).spawn(move || target.post_all(&frames))?;
        Ok(Self { queue, thread })
    }
}

/// Action that a reply requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Done,
    Drop,
    Retry,
}

impl Verdict {
    fn of(status: StatusCode) -> Self {
        if status.is_success() {
            Self::Done
        } else if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
            Self::Drop
        } else {
            Self::Retry
        }
    }
}

impl DrainTarget {
    fn post_all(&self, frames: &Receiver<DrainFrame>) {
        let agent = agent();
        for frame in frames {
            self.post(&agent, &frame);
        }
    }

    fn post(&self, agent: &Agent, frame: &DrainFrame) {
        let mut back_off = FIRST_BACK_OFF;
        for request in 0..MAX_REQUESTS {
            if self.abandon.is_stopped() {
                return count(&self.counters.abandoned);
            }
            if request > 0 {
                thread::sleep(back_off);
                back_off *= 2;
                count(&self.counters.retried);
            }
            match self.request(agent, frame) {
                Verdict::Done => return self.counters.count_posted(frame.kind),
                Verdict::Drop => return count(&self.counters.refused),
                Verdict::Retry => {}
            }
        }
        count(&self.counters.failed);
    }

    fn request(&self, agent: &Agent, frame: &DrainFrame) -> Verdict {
        let mut request = agent
            .post(&self.url)
            .header("Content-Type", "application/logplex-1")
            .header("Logplex-Msg-Count", frame.message_count.to_string())
            .header("Logplex-Frame-Id", &frame.frame_id)
            .header("Logplex-Drain-Token", &frame.drain_token);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let Ok(response) = request.send(&frame.body[..]) else { return Verdict::Retry };
        let verdict = Verdict::of(response.status());
        // A connection is used again only once its reply has been read to the end.
        match response.into_body().read_to_vec() {
            Ok(_) => verdict,
            Err(_) => Verdict::Retry,
        }
    }
}

/// Creates a client of one connection. It ignores the environment's proxies, since the drain is on loopback.
fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .user_agent("Logplex/v73")
        .accept("")
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(REQUEST_TIMEOUT))
        .build()
        .into()
}

fn basic(credentials: &DrainCredentials) -> String {
    let DrainCredentials { user, password } = credentials;
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests;
