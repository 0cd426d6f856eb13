//! One partition's span through a production core.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use yahtzee_core::commit::Commit;
use yahtzee_core::effect::{Effect, Emit};
use yahtzee_core::erased::AnyPartition;
use yahtzee_core::log_tail::RecordPrint;
use yahtzee_core::lost_tail::LostTail;
use yahtzee_core::owner::Owner;
use yahtzee_core::partition::{History, ResumeError, Start};
use yahtzee_core::record::{LogRecord, MeasurementCounts, Offset, RecordOutcome};
use yahtzee_core::rules::open_from;
use yahtzee_core::summary::SummaryKey;
use yahtzee_core::window::Window;

use crate::cause::Cause;
use crate::log::{CommittedOffset, Item, Log, LogError, MovingReader};
use crate::worker::JobFailure;

use super::{ReplayError, ReplaySpan, Subject};

const POLL: Duration = Duration::from_millis(50);
/// Longest time without progress: the log has lost its records, or does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A recomputed summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recomputed {
    /// Its window.
    pub window: Window,
    /// The effect with which a worker would publish it.
    pub emit: Emit,
}

/// Numbers of what one partition has read and published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayTally {
    /// Records read.
    pub records: u64,
    /// Records that could not be used.
    pub poison: u64,
    /// Measurements by outcome.
    pub outcomes: MeasurementCounts,
    /// Final summaries of wanted windows.
    pub summaries: u64,
    /// Further ones that cannot be published: the job's code panics on them, or they are too large.
    pub failed: u64,
    /// Windows with such summaries.
    pub windows: BTreeSet<Window>,
    /// This window and all before it may lack input: no summary of them comes out.
    pub incomplete_through: Option<Window>,
    /// Further windows that lack input.
    pub incomplete: BTreeSet<Window>,
    /// Wanted windows that have input and were not closed: no final summary of them comes out.
    pub still_open: Vec<Window>,
}

/// A partition that is being recomputed. Call [`Self::turn`] until [`Self::is_done`].
pub struct PartitionReplay<'a> {
    log: &'a dyn Log,
    subject: &'a Subject,
    span: ReplaySpan,
    owner: Option<Owner>,
    core: Box<dyn AnyPartition>,
    reader: &'a mut MovingReader,
    next: Offset,
    effects: Vec<Effect>,
    /// Effects that were handed out and not acknowledged.
    handed_out: u64,
    tally: ReplayTally,
    /// The newest progress and the tally at it: a panic of the job leads back there.
    progress: Option<CommittedOffset>,
    tally_at_progress: ReplayTally,
    /// The records below are counted in it.
    counted_below: Offset,
    poisoned: Vec<RecordPrint>,
    last_progress: Instant,
}

impl<'a> PartitionReplay<'a> {
    /// Opens the span at its start, or at the `progress` of an earlier attempt, and moves the `reader` of [`Subject::reader`]
    /// there. With an `owner`, all records are read, because all of them move the watermark, and only this owner's
    /// summaries come out.
    ///
    /// # Errors
    /// If the log does not answer, or the progress belongs to another topic or generation.
    pub fn open(
        log: &'a dyn Log,
        reader: &'a mut MovingReader,
        subject: &'a Subject,
        span: ReplaySpan,
        owner: Option<Owner>,
        progress: Option<CommittedOffset>,
    ) -> Result<Self, ReplayError> {
        let OpenedReplay { core, next } = open(log, reader, subject, &span, progress.as_ref(), &[])?;
        Ok(Self {
            log,
            subject,
            span,
            owner,
            core,
            reader,
            next,
            effects: Vec::new(),
            handed_out: 0,
            tally: ReplayTally::default(),
            progress,
            tally_at_progress: ReplayTally::default(),
            counted_below: Offset(0),
            poisoned: Vec::new(),
            last_progress: Instant::now(),
        })
    }

    /// Returns the span that is read.
    #[must_use]
    pub fn span(&self) -> &ReplaySpan {
        &self.span
    }

    /// Returns the next offset to be read: the end of the span at most, although batches go beyond it.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.next.min(self.span.end)
    }

    /// Returns whether the whole span has been read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.next >= self.span.end
    }

    /// Returns the numbers so far.
    #[must_use]
    pub fn tally(&self) -> &ReplayTally {
        &self.tally
    }

    /// Reads one batch and returns the final summaries of wanted windows that it has closed.
    ///
    /// A record that makes the job panic is treated as workers treat it: the partition is read again from the newest
    /// progress without it. Summaries may then come a second time, with the same bytes.
    ///
    /// # Errors
    /// If the log fails, or delivers nothing for a minute.
    pub fn turn(&mut self) -> Result<Vec<Recomputed>, ReplayError> {
        if self.is_done() {
            return Ok(Vec::new());
        }
        if let Some(record) = self.read()? {
            self.poisoned.push(record);
            self.begin_again()?;
        }
        Ok(self.take())
    }

    /// Folds one batch. Returns the record on which the job has panicked, if it has.
    fn read(&mut self) -> Result<Option<RecordPrint>, ReplayError> {
        let Self { reader, core, effects, tally, span, next, counted_below, .. } = self;
        let (before, mut at) = (*next, None);
        let batch = reader.poll(POLL)?;
        let folded = catch_unwind(AssertUnwindSafe(|| -> Result<(), ResumeError> {
            for item in batch {
                match item {
                    Item::Record(_, record, _) if record.offset < span.end => {
                        at = Some(record);
                        tally.records += u64::from(record.offset >= *counted_below);
                        fold(&mut **core, &record, effects, tally)?;
                        *next = record.offset.next();
                    }
                    Item::Record(_, record, _) => *next = record.offset,
                    Item::End(_, end) => *next = end.max(*next),
                }
            }
            note_gaps(&**core, tally);
            Ok(())
        }));
        match (folded, at) {
            (Ok(read), _) => read.map_err(|refusal| self.refused(refusal))?,
            (Err(_), Some(record)) => return Ok(Some(RecordPrint::of(&record))),
            (Err(panic), None) => resume_unwind(panic),
        }
        if self.is_done() {
            self.core.reached(self.span.end).map_err(|refusal| self.refused(refusal))?;
        }
        self.check_progress(before)?;
        Ok(None)
    }

    fn refused(&self, refusal: ResumeError) -> JobFailure {
        JobFailure::Refused { topic: self.subject.raw.clone(), partition: self.span.partition, refusal }
    }

    /// Fails if the position has not moved towards the end of the span for too long.
    fn check_progress(&mut self, before: Offset) -> Result<(), LogError> {
        if self.next > before {
            self.last_progress = Instant::now();
        }
        if self.last_progress.elapsed() < PATIENCE {
            return Ok(());
        }
        let ReplaySpan { partition, end, .. } = self.span;
        let what = format!("{}/{partition}, records {} to {end}", self.subject.raw, self.next);
        let cause = Cause::new("no-progress", format!("nothing came for {PATIENCE:?}"));
        Err(LogError::unavailable(what, cause))
    }

    fn begin_again(&mut self) -> Result<(), ReplayError> {
        let Self { log, reader, subject, span, progress, poisoned, .. } = self;
        let opened = open(*log, reader, subject, span, progress.as_ref(), poisoned)?;
        (self.core, self.next) = (opened.core, opened.next);
        self.effects.clear();
        self.handed_out = 0;
        self.tally = self.tally_at_progress.clone();
        Ok(())
    }

    /// Takes the waiting final summaries of wanted windows.
    fn take(&mut self) -> Vec<Recomputed> {
        self.handed_out += self.effects.len() as u64;
        let effects = std::mem::take(&mut self.effects);
        let is_failed = |effect: &&Effect| match effect {
            Effect::Failed(failed) => self.wanted_window(failed.owner, &failed.key).is_some(),
            _ => false,
        };
        self.tally.failed += effects.iter().filter(is_failed).count() as u64;
        let wanted: Vec<Recomputed> = effects.into_iter().filter_map(|effect| self.wanted(effect)).collect();
        self.tally.summaries += wanted.len() as u64;
        self.tally.windows.extend(wanted.iter().map(|summary| summary.window));
        wanted
    }

    fn wanted(&self, effect: Effect) -> Option<Recomputed> {
        let Effect::Emit(emit) = effect else { return None };
        let window = self.wanted_window(emit.owner, &emit.key)?;
        Some(Recomputed { window, emit })
    }

    /// Returns the window of a summary of `of`, if it is wanted.
    fn wanted_window(&self, of: Owner, key: &[u8]) -> Option<Window> {
        let key = SummaryKey::decode(key).expect("the core writes its own keys");
        let window = Window::of_ms(key.window_start_ms, key.window_length_ms);
        let is_wanted = self.span.wants(window) && self.owner.is_none_or(|owner| owner == of);
        is_wanted.then_some(window)
    }

    /// Notes that all returned summaries are durable; returns the progress that this allows, to be stored for a later
    /// attempt.
    #[must_use = "progress that is not stored is work that a later attempt repeats"]
    pub fn acknowledged(&mut self) -> Option<CommittedOffset> {
        let commit = self.core.acknowledged(std::mem::take(&mut self.handed_out))?;
        let metadata = commit.metadata(self.core.identity());
        let progress = CommittedOffset { offset: commit.replay_offset(), metadata };
        self.progress = Some(progress.clone());
        (self.tally_at_progress, self.counted_below) = (self.tally.clone(), self.next);
        Some(progress)
    }

    /// Returns the summaries of wanted windows that are still open at the end of the span, as a worker that has read as far
    /// and is asked to stop publishes them. None before the end is reached.
    pub fn take_open(&mut self) -> Vec<Recomputed> {
        self.core.flush(&mut self.effects);
        self.handed_out += self.effects.len() as u64;
        let effects = std::mem::take(&mut self.effects);
        effects.into_iter().filter_map(|effect| self.wanted(effect)).collect()
    }

    /// Returns the first window that can still change at the end of the span: all before it are final. Returns the
    /// oldest possible window if nothing was read.
    #[must_use]
    pub fn open_from(&self) -> Window {
        open_from(self.core.status().watermark_ms, &self.subject.plan.policy)
    }

    /// Ends the replay of the partition.
    #[must_use]
    pub fn finish(mut self) -> ReplayTally {
        let commit = self.core.acknowledged(self.handed_out);
        let open = commit.iter().flat_map(Commit::open).map(|&(window, _)| window);
        self.tally.still_open = open.filter(|&window| self.span.wants(window)).collect();
        self.tally.incomplete_through =
            self.tally.incomplete_through.filter(|&last| last >= self.span.first_window);
        self.tally
    }
}

struct OpenedReplay {
    core: Box<dyn AnyPartition>,
    next: Offset,
}

fn open(
    log: &dyn Log,
    reader: &mut MovingReader,
    subject: &Subject,
    span: &ReplaySpan,
    progress: Option<&CommittedOffset>,
    poisoned: &[RecordPrint],
) -> Result<OpenedReplay, ReplayError> {
    let Subject { plan, raw, identity, losses } = subject;
    let partition = span.partition;
    let losses = losses.get(&partition).map_or(&[][..], Vec::as_slice);
    let log_start = log.bounds(raw, &[partition])?[0].start;
    let (start, losses) = match progress {
        Some(progress) => {
            let CommittedOffset { offset, metadata } = progress;
            (Start::Commit { offset: *offset, metadata }, losses_from(progress, losses))
        }
        None => (behind_losses(span.origin(log_start), losses, log_start), losses.to_vec()),
    };
    let history = History {
        partition,
        start,
        // From its beginning the core reads where the log starts; here that is the start of the span.
        log_start: if matches!(start, Start::Beginning) { log_start.max(span.start) } else { log_start },
        log_end: span.end,
        poisoned,
        losses: &losses,
    };
    let opened = Arc::clone(&plan.job)
        .open(plan.policy, *identity, history)
        .map_err(|refusal| JobFailure::Refused { topic: raw.clone(), partition, refusal })?;
    reader.move_to(log, &[(partition, opened.read_from)])?;
    Ok(OpenedReplay { core: opened.core, next: opened.read_from })
}

/// Begins early enough to pass the losses of which nobody has found the windows yet: these may reach beyond the start.
pub(super) fn behind_losses<'a>(start: Start<'a>, losses: &[LostTail], log_start: Offset) -> Start<'a> {
    let Start::Time { offset, first_window } = start else { return start };
    let unnamed = losses.iter().filter(|loss| loss.windows.is_none()).map(|loss| loss.kept_before);
    Start::Time { offset: unnamed.fold(offset, Offset::min).max(log_start), first_window }
}

/// Returns what the log has lost for who goes on from `progress`: that says itself what was lost before, and what of it lies behind;
/// what was lost since lies ahead.
pub(super) fn losses_from(
    CommittedOffset { offset, metadata }: &CommittedOffset,
    losses: &[LostTail],
) -> Vec<LostTail> {
    let Ok((progress, _)) = Commit::read(*offset, metadata) else { return losses.to_vec() };
    let known = progress.losses();
    let is_since = |loss: &&LostTail| loss.kept_before >= progress.position() && !loss.is_among(known);
    let since = losses.iter().filter(is_since).map(|loss| loss.pending());
    known.iter().copied().chain(since).collect()
}

fn fold(
    core: &mut dyn AnyPartition,
    record: &LogRecord<'_>,
    effects: &mut Vec<Effect>,
    tally: &mut ReplayTally,
) -> Result<(), ResumeError> {
    match core.ingest(*record, effects) {
        RecordOutcome::Folded(outcomes) => tally.outcomes.add(outcomes),
        RecordOutcome::Poison(_) => tally.poison += 1,
        RecordOutcome::OtherLog => return Err(ResumeError::OtherLog { offset: record.offset }),
    }
    Ok(())
}

/// Notes which windows lack input: the first record after a gap or a loss has told.
fn note_gaps(core: &dyn AnyPartition, tally: &mut ReplayTally) {
    let incomplete = core.status().incomplete;
    tally.incomplete_through = incomplete.reach_through().max(tally.incomplete_through);
    tally.incomplete.extend(incomplete.windows());
}
