//! The source of the demo's input: a generator over HTTP, or recordings.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};
use yahtzee_ingress::{BodyCounts, RawTopics, TokenTable};
use yahtzee_runtime::clock::wall_clock_us;
use yahtzee_runtime::log::LogError;
use yahtzee_runtime::shutdown::StopSignal;

use crate::DemoOptions;
use crate::pipeline::{AppNames, RunningPipeline};
use crate::playback::{InputFile, Playback};
use crate::poster::{DrainPoster, PosterCounts};
use crate::report::UnreadableInput;
use yahtzee_loadgen::drain::{Fleet, FleetSettings};

/// Number of connections of the generated drains.
const CONNECTIONS: usize = 4;
/// Interval at which the generator produces frames.
const GENERATOR_TURN: Duration = Duration::from_millis(100);
/// Maximum number of chunks of a recording that wait for the log.
const CHUNKS_IN_FLIGHT: usize = 64;
const APPEND_DEADLINE: Duration = Duration::from_secs(10);

/// Configuration of the source.
pub(crate) enum Feed {
    Generator(Box<Fleet>),
    Recordings(Vec<InputFile>),
}

impl Feed {
    pub(crate) fn new(options: &DemoOptions) -> Result<Self> {
        if options.input.is_empty() {
            let settings =
                FleetSettings { seed: options.seed, apps: options.apps, lines_per_second: options.rate };
            return Ok(Self::Generator(Box::new(Fleet::new(settings, wall_clock_us()))));
        }
        let inputs = options.input.iter().map(|text| InputFile::parse(text));
        Ok(Self::Recordings(inputs.collect::<Result<_>>()?))
    }

    /// Returns the apps that are known before anything is read.
    pub(crate) fn names(&self) -> AppNames {
        match self {
            Self::Generator(fleet) => AppNames {
                by_owner: fleet.apps().map(|app| (app.owner, app.name.clone())).collect(),
                tokens: fleet.apps().map(|app| (app.drain_token.clone(), app.owner)).collect(),
            },
            Self::Recordings(inputs) => AppNames {
                by_owner: inputs.iter().map(|input| (input.owner, input.name.clone())).collect(),
                tokens: Vec::new(),
            },
        }
    }

    /// Starts the source.
    pub(crate) fn start(self, pipeline: &RunningPipeline) -> Result<Feeding> {
        let (stop, abandon) = (StopSignal::new(), StopSignal::new());
        let is_done = Arc::new(AtomicBool::new(false));
        let done = SetWhenDropped(Arc::clone(&is_done));
        let stop_of_thread = stop.clone();
        let named = std::thread::Builder::new().name("source".to_owned());
        let recorded = Arc::new(Mutex::new(Recorded::default()));
        let thread = match self {
            Self::Generator(fleet) => {
                let url = format!("http://{}/drain", pipeline.drain_address);
                let poster = DrainPoster::start(&url, None, CONNECTIONS, abandon.clone())?;
                named.spawn(move || {
                    let _done = done;
                    Ok(Some(generate(*fleet, poster, &stop_of_thread)))
                })?
            }
            Self::Recordings(inputs) => {
                let appender = pipeline.log.appender(APPEND_DEADLINE)?;
                let topics = RawTopics::new(appender, &pipeline.layout);
                let recorded = Arc::clone(&recorded);
                named.spawn(move || {
                    let _done = done;
                    play(&inputs, &topics, &recorded, &stop_of_thread)?;
                    Ok(None)
                })?
            }
        };
        Ok(Feeding { thread, stop, abandon, is_done, recorded })
    }
}

/// A running source.
pub(crate) struct Feeding {
    thread: JoinHandle<Result<Option<PosterCounts>>>,
    stop: StopSignal,
    abandon: StopSignal,
    is_done: Arc<AtomicBool>,
    recorded: Arc<Mutex<Recorded>>,
}

/// Counts of what was read from recordings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded {
    /// Chunks, each treated as a frame.
    pub(crate) chunks: u64,
    /// Lines that could be read.
    pub(crate) readable_lines: u64,
    /// Lines that could not be read.
    pub(crate) bad_lines: u64,
    /// Files that could not be read, or not to their end.
    pub(crate) unreadable_inputs: Vec<UnreadableInput>,
    /// Whether it ended before everything was read.
    pub(crate) ended_early: bool,
    /// Counts of the lines that could be read.
    pub(crate) counts: BodyCounts,
}

impl Feeding {
    /// Returns whether the input is exhausted; a generator's never is.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Acquire)
    }

    /// Returns the counts of what was read from recordings so far.
    pub(crate) fn recorded(&self) -> Recorded {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops the source and blocks until its input is acknowledged; abandons what is queued if the pipeline has failed.
    pub(crate) fn finish(self, has_failed: bool) -> Result<(Option<PosterCounts>, Recorded)> {
        self.stop.stop();
        if has_failed {
            self.abandon.stop();
        }
        let counts = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((counts, recorded))
    }
}

struct SetWhenDropped(Arc<AtomicBool>);

impl Drop for SetWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Posts the frames of the fleet as time passes.
fn generate(mut fleet: Fleet, poster: DrainPoster, stop: &StopSignal) -> PosterCounts {
    while !stop.wait(GENERATOR_TURN) {
        for frame in fleet.frames_until(wall_clock_us()) {
            poster.send(frame);
        }
    }
    poster.finish()
}

/// Writes recordings to the raw topics, side by side in the order of their times: one must not make the lines of another
/// late.
fn play(
    inputs: &[InputFile],
    topics: &RawTopics,
    recorded: &Mutex<Recorded>,
    stop: &StopSignal,
) -> Result<()> {
    let mut playbacks = Playback::open_all(inputs, recorded, stop);
    // What has come out of a pipe is not read again: it counts although the pipe goes on.
    let plays_all = recorded.lock().unwrap_or_else(PoisonError::into_inner).ended_early;
    let tokens = TokenTable::default();
    let (done, acknowledged) = mpsc::channel::<Result<(), LogError>>();
    let mut in_flight = 0;
    while plays_all || !stop.is_stopped() {
        let next_us = |playback: &&mut Playback| playback.chunk().map_or(i64::MAX, |chunk| chunk.recv_us());
        let Some(playback) = playbacks.iter_mut().min_by_key(next_us) else { break };
        let Some(chunk) = playback.recording.chunk(playback.next) else { break };
        playback.next += chunk.len();
        let (records, counts) = chunk.records(playback.owner, &tokens, &mut playback.names);
        {
            let mut recorded = recorded.lock().unwrap_or_else(PoisonError::into_inner);
            recorded.chunks += 1;
            recorded.counts.add(&counts);
        }
        if records.is_empty() {
            continue;
        }
        let done = done.clone();
        topics.append(records, move |result| {
            // The receiver lives until all are acknowledged.
            let _ = done.send(result);
        });
        in_flight += 1;
        if in_flight >= CHUNKS_IN_FLIGHT {
            wait_for(&acknowledged)?;
            in_flight -= 1;
        }
    }
    if playbacks.iter().any(|playback| playback.chunk().is_some()) {
        recorded.lock().unwrap_or_else(PoisonError::into_inner).ended_early = true;
    }
    (0..in_flight).try_for_each(|_| wait_for(&acknowledged))
}

fn wait_for(acknowledged: &mpsc::Receiver<Result<(), LogError>>) -> Result<()> {
    let result = acknowledged.recv().map_err(|_| anyhow!("the log dropped a recording's records"))?;
    Ok(result?)
}

#[cfg(test)]
mod tests {
    use yahtzee_runtime::log::{AppendCallback, Appender, NewRecord};
    use yahtzee_runtime::topics::TopicLayout;

    use super::*;

    /// Takes everything at once.
    struct Taking;

    impl Appender for Taking {
        fn append(&self, _: &[NewRecord], done: AppendCallback) {
            done(Ok(()));
        }
    }

    /// Or the report of a part passes for that of all.
    #[test]
    fn input_has_ended_early_if_a_line_of_any_file_is_left() {
        fn check(texts: &[&str], is_stopped: bool, expected: bool) {
            let folder = tempfile::tempdir().unwrap();
            let input = |(text, number): (&&str, u32)| {
                let path = folder.path().join(number.to_string());
                std::fs::write(&path, text).unwrap();
                InputFile::parse(&path.display().to_string()).unwrap()
            };
            let inputs: Vec<InputFile> = texts.iter().zip(0..).map(input).collect();
            let topics = RawTopics::new(Arc::new(Taking), &TopicLayout::default());
            let (recorded, stop) = (Mutex::new(Recorded::default()), StopSignal::new());
            if is_stopped {
                stop.stop();
            }
            play(&inputs, &topics, &recorded, &stop).unwrap();
            let recorded = recorded.into_inner().unwrap();
            assert_eq!(recorded.ended_early, expected, "{texts:?} {is_stopped}");
        }
        let line = "2026-03-04T05:06:07.000000+00:00 app[web.1]: hello\n";
        check(&[line, line], false, false);
        check(&[line, line], true, true);
        check(&[line, ""], true, true);
        check(&["", ""], true, false);
    }
}
