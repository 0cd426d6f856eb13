//! The four stages tied together for one partition of one job: the only stateful public type of the core.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::commit::{Commit, Identity};
use crate::effect::{
    DEAD_LETTER_BYTES, DeadLetter, Effect, Emit, FailedSummary, Late, SummaryFailure, summary_bytes_max,
};
use crate::fold::{Acceptance, Origin, RecordFold, Scratch};
use crate::incomplete::IncompleteWindows;
use crate::job::{Intake, Job, Record};
use crate::log_tail::{LogTail, RecordExcerpt, RecordPrint};
use crate::lost_tail::LostTail;
use crate::owner::{Owner, Partition};
use crate::record::{FrameId, LogRecord, MeasurementCounts, Offset, Poison, RecordOutcome, owner_of};
use crate::rules::{CommitGate, Production, Rules};
use crate::series::{KeyedHash, SeriesState, StateBytes, WindowState, Windows};
use crate::summary::{Provenance, SummaryKey, encode_key, reserved_field};
use crate::window::{Policy, Window};

mod losses;
mod resume;
mod tail;

use losses::LossWatch;
use resume::Resume;
pub use resume::{History, Opened, ResumeError, ResumeKind, Start};
use tail::TailCheck;

/// A partition seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Next offset to be read.
    pub position: Offset,
    /// Running maximum of the log timestamps, milliseconds since 1970.
    pub watermark_ms: Option<i64>,
    /// Whether the end that was read at the start has been reached.
    pub is_caught_up: bool,
    /// Open windows.
    pub open_windows: usize,
    /// Series over all open windows.
    pub series: usize,
    /// Windows that may have lost input.
    pub incomplete: IncompleteWindows,
    /// What the log had lost from its end before it was folded anew.
    pub losses: Vec<LostTail>,
}

/// One partition of one job, owned by one thread.
///
/// Call [`Self::ingest`] with every record in offset order, [`Self::reached`] at the end of the partition and
/// [`Self::tick`] as time passes. All but `reached` append to the shell's list of what is to be written. When the
/// shell has written, [`Self::acknowledged`] may answer with a commit: there is no other way to one, so that nothing
/// is committed before what it promises is durable.
///
/// A failed write is a crash: the shell drops the core and opens the partition again from its last commit. So no
/// old bytes are ever sent again.
#[derive(Debug)]
pub struct PartitionCore<J: Job, R: Rules = Production> {
    job: Arc<J>,
    policy: Policy,
    identity: Identity,
    partition: Partition,
    position: Offset,
    watermark_ms: Option<i64>,
    windows: Windows<J::Accumulator>,
    incomplete: IncompleteWindows,
    losses: LossWatch,
    /// Incomplete windows before this one were named by a commit and can be forgotten with the next.
    named_before: Window,
    /// Records on which the job has panicked, which cost an opening each: dead letters without a second try.
    poisoned: Vec<RecordPrint>,
    log_end_at_start: Offset,
    /// Monotonic milliseconds from which changed summaries may go out.
    next_due_ms: u64,
    /// Position of the commit this incarnation started from.
    resumed_position: Offset,
    emitted: u64,
    acknowledged: u64,
    /// Value of `emitted` after the last effect that a commit vouches for.
    required: u64,
    /// The moment of which the write under way allows a commit.
    written: Option<CommitPoint>,
    tail_check: TailCheck,
    /// The end of what was read before this incarnation.
    resumed_tail: LogTail,
    /// The last record that it has read itself.
    last_record: Option<RecordExcerpt>,
    scratch: Scratch,
    /// Memory that encoding a summary needs and the next one uses again.
    buffer: Vec<u8>,
    rules: PhantomData<R>,
}

/// A moment that a commit can speak of.
#[derive(Debug)]
struct CommitPoint {
    /// Number of emitted effects up to and including the last one that the commit vouches for.
    required: u64,
    position: Offset,
    watermark_ms: Option<i64>,
    open: Vec<(Window, Offset)>,
    incomplete: IncompleteWindows,
    losses: Vec<LostTail>,
    tail: LogTail,
}

impl<J: Job, R: Rules> PartitionCore<J, R> {
    /// Opens a partition at what its last commit and the log's range allow: see [`History`].
    ///
    /// # Errors
    /// [`ResumeError`] if the commit belongs to another topic, partition count, window length or generation, or if the
    /// job's summaries could overwrite their provenance.
    pub fn open(
        job: Arc<J>,
        policy: Policy,
        identity: Identity,
        history: History<'_>,
    ) -> Result<Opened<Self>, ResumeError> {
        if let Some(number) = reserved_field::<J::Summary>() {
            return Err(ResumeError::ReservedField { number });
        }
        policy.check().map_err(ResumeError::Policy)?;
        let resume = Resume::from::<R>(&history, &identity)?;
        let windows = Windows::new(KeyedHash::new(identity.topic_id));
        let core = Self {
            job,
            policy,
            identity,
            partition: history.partition,
            position: resume.read_from,
            watermark_ms: resume.watermark_ms,
            windows,
            incomplete: resume.incomplete,
            losses: resume.losses,
            named_before: Window(i64::MIN),
            poisoned: history.poisoned.to_vec(),
            log_end_at_start: history.log_end,
            next_due_ms: 0,
            resumed_position: resume.position,
            emitted: 0,
            acknowledged: 0,
            required: 0,
            written: None,
            tail_check: resume.tail_check,
            resumed_tail: resume.tail,
            last_record: None,
            scratch: Scratch::default(),
            buffer: Vec::new(),
            rules: PhantomData,
        };
        Ok(Opened { core, read_from: resume.read_from, verdict: resume.verdict })
    }

    /// Folds one record. Closes windows that its log timestamp pushes out of the open range first; their final
    /// summaries go to `out`.
    pub fn ingest(&mut self, record: LogRecord<'_>, out: &mut Vec<Effect>) -> RecordOutcome {
        if !self.tail_check.is_over() && self.tail_check.see(&record).is_err() {
            return RecordOutcome::OtherLog;
        }
        let fate = match self.fold(&record, out) {
            Ok(outcomes) => RecordOutcome::Folded(outcomes),
            Err(reason) => {
                self.require(record.offset, out, || Effect::DeadLetter(DeadLetter::of(&record, reason)));
                RecordOutcome::Poison(reason)
            }
        };
        if record.has_stamp() {
            self.last_record = Some(RecordExcerpt::of(&record));
        }
        self.move_to(record.offset.next());
        fate
    }

    fn fold(&mut self, record: &LogRecord<'_>, out: &mut Vec<Effect>) -> Result<MeasurementCounts, Poison> {
        if !record.has_stamp() {
            return Err(Poison::Timestamp);
        }
        self.settle_gaps(record.offset, record.timestamp_ms);
        self.advance_watermark(record.timestamp_ms, out);
        if R::is_heartbeat(record) {
            return Ok(MeasurementCounts::default());
        }
        let owner = owner_of(record)?;
        if owner.partition(self.identity.partition_count) != self.partition {
            return Err(Poison::Partition);
        }
        let is_offset = |poisoned: &RecordPrint| poisoned.offset == record.offset;
        // The log may have given the offset to another record since.
        if self.poisoned.iter().any(is_offset) && self.poisoned.contains(&RecordPrint::of(record)) {
            return Err(Poison::Panic);
        }
        // Where the job has panicked before, every record is tried first: a panic then costs nothing but its record.
        if !self.poisoned.is_empty() {
            let tried = catch_unwind(AssertUnwindSafe(|| self.fold_value(record, owner, true)));
            tried.unwrap_or(Err(Poison::Panic))?;
        }
        let outcomes = self.fold_value(record, owner, false)?;
        if self.policy.publishes_late && outcomes.late() + outcomes.future > 0 {
            let LogRecord { offset, timestamp_ms, value, .. } = *record;
            let value = value.to_vec();
            self.require(offset, out, || Effect::Late(Late { offset, timestamp_ms, owner, outcomes, value }));
        }
        Ok(outcomes)
    }

    /// Folds the measurements of a record, in a rehearsal into copies of what they would change.
    fn fold_value(
        &mut self,
        record: &LogRecord<'_>,
        owner: Owner,
        is_rehearsal: bool,
    ) -> Result<MeasurementCounts, Poison> {
        let message = J::Record::read(record.value).map_err(|_| Poison::Value)?;
        let (open_from, open_through) = R::accepts(self.watermark_ms, record.timestamp_ms, &self.policy);
        let Self { policy, incomplete, windows, scratch, .. } = self;
        let takes_series = R::takes_series;
        let acceptance = Acceptance { policy, open_from, open_through, incomplete, takes_series };
        let frame = R::frame_key(owner, FrameId::from_bytes(message.frame_id()));
        let origin = Origin { offset: record.offset, owner, frame };
        let mut intake = Intake(RecordFold::new(acceptance, origin, windows, scratch));
        if is_rehearsal {
            intake.0.rehearse();
        }
        self.job.fold(&message, &mut intake);
        Ok(intake.0.finish())
    }

    /// Settles which windows lack input, as far as a record at this offset tells.
    fn settle_gaps(&mut self, offset: Offset, timestamp_ms: i64) {
        if self.losses.is_pending() {
            self.pass_losses(offset, Some(timestamp_ms));
        }
        if self.incomplete.is_open_ended() {
            self.incomplete.ends_at(R::gap_reaches(timestamp_ms, &self.policy));
        }
    }

    /// Drops the windows that may lack what the log has lost. None of them has been published: until the end of what was kept,
    /// only final summaries go out.
    #[cold]
    fn pass_losses(&mut self, offset: Offset, timestamp_ms: Option<i64>) {
        let open_from = R::open_from(self.watermark_ms, &self.policy);
        if self.losses.begin::<R>(offset, timestamp_ms, open_from, &self.policy) {
            while let Some(dropped) = self.windows.pop_closed(Window(i64::MAX)) {
                self.windows.forget(dropped);
            }
        }
        if let Some(timestamp_ms) = timestamp_ms {
            let last = R::gap_reaches(timestamp_ms, &self.policy);
            self.losses.settle(offset, last, |first| self.incomplete.add_range(first, last));
        }
        self.incomplete.put_in_question(self.losses.is_in_question());
    }

    /// Notes that every record below `next` was read.
    fn move_to(&mut self, next: Offset) {
        self.position = self.position.max(next);
        if self.losses.is_pending() {
            self.pass_losses(self.position, None);
        }
    }

    /// Moves the watermark on, and closes what then lies below the open range.
    fn advance_watermark(&mut self, timestamp_ms: i64, out: &mut Vec<Effect>) {
        let watermark_ms = Some(R::watermark(self.watermark_ms, timestamp_ms));
        if self.watermark_ms == watermark_ms {
            return;
        }
        self.watermark_ms = watermark_ms;
        let open_from = R::open_from(self.watermark_ms, &self.policy);
        while let Some(closed) = self.windows.pop_closed(open_from) {
            self.emit_final(&closed, out);
            self.windows.forget(closed);
        }
    }

    fn emit_final(&mut self, closed: &WindowState<J::Accumulator>, out: &mut Vec<Effect>) {
        let mut buffer = std::mem::take(&mut self.buffer);
        out.reserve(closed.states.len());
        for series in closed.states.iter() {
            out.push(self.summary_of(closed.window, series, true, &mut buffer));
        }
        self.buffer = buffer;
        self.emitted += closed.states.len() as u64;
        self.required = self.emitted;
    }

    /// Emits something that a commit vouches for, unless an earlier incarnation's commit has done so.
    fn require(&mut self, offset: Offset, out: &mut Vec<Effect>, effect: impl FnOnce() -> Effect) {
        if !R::is_done_before(offset, self.resumed_position) {
            out.push(effect());
            self.emitted += 1;
            self.required = self.emitted;
        }
    }

    /// Notes that every record below `next` was delivered. Offsets of control records are skipped only this way.
    ///
    /// # Errors
    /// [`ResumeError::OtherLog`] if the last record before the commit that this incarnation started from is gone: the
    /// partition must not be worked on.
    pub fn reached(&mut self, next: Offset) -> Result<(), ResumeError> {
        self.tail_check.reached(next)?;
        self.move_to(next);
        Ok(())
    }

    /// Returns the monotonic time in milliseconds from which [`Self::tick`] emits what has changed: 0 before the first
    /// tick, then the first multiple of the flush interval after the last one that was due.
    #[must_use]
    pub fn next_due(&self) -> u64 {
        self.next_due_ms
    }

    /// Emits every changed series if `now_ms`, a monotonic time in milliseconds, has reached [`Self::next_due`]; none
    /// while catching up.
    pub fn tick(&mut self, now_ms: u64, out: &mut Vec<Effect>) {
        if now_ms >= self.next_due_ms {
            self.next_due_ms = self.policy.next_flush_ms(now_ms);
            self.flush(out);
        }
    }

    /// Emits every changed series, due or not, the newest window's first; none while catching up.
    pub fn flush(&mut self, out: &mut Vec<Effect>) {
        if !self.is_caught_up() {
            return;
        }
        let (mut open, mut buffer) =
            (std::mem::take(&mut self.windows.open), std::mem::take(&mut self.buffer));
        for state in open.iter_mut().rev() {
            let (window, before) = (state.window, out.len());
            state.drain_dirty(|series| out.push(self.summary_of(window, series, false, &mut buffer)));
            self.emitted += (out.len() - before) as u64;
        }
        (self.windows.open, self.buffer) = (open, buffer);
    }

    /// Notes that the effects emitted so far are being written. Their acknowledgement answers with the commit of this
    /// moment: what is folded meanwhile neither holds it back nor is vouched for by it.
    pub fn begin_write(&mut self) {
        self.written = Some(self.commit_point());
    }

    /// The first `effects` not yet acknowledged are durable. Answers with the commit that this allows, as of
    /// [`Self::begin_write`] or, without one, as of now: see [`Rules::may_commit`].
    #[must_use = "a commit that is not written is work that a restart repeats"]
    pub fn acknowledged(&mut self, effects: u64) -> Option<Commit> {
        self.acknowledged += effects;
        debug_assert!(self.acknowledged <= self.emitted, "acknowledged more than was emitted");
        let point = self.written.take().unwrap_or_else(|| self.commit_point());
        let gate = CommitGate {
            acknowledged: self.acknowledged,
            required: point.required,
            is_gap_unknown: point.incomplete.is_open_ended(),
            position: point.position,
            resumed_position: self.resumed_position,
        };
        R::may_commit(&gate).then(|| {
            self.named_before = R::open_from(point.watermark_ms, &self.policy);
            Commit::at::<R>(point.position, point.watermark_ms, point.open, point.incomplete)
                .with_tail(point.tail)
                .with_losses(point.losses)
        })
    }

    /// What a commit of this moment says and waits for.
    ///
    /// A window that has lost input is named by one commit at least, however fast a backlog passes it. The shell
    /// begins another write only after it has made the last commit durable.
    fn commit_point(&mut self) -> CommitPoint {
        self.incomplete.forget_before(self.named_before);
        CommitPoint {
            required: self.required,
            position: self.position,
            watermark_ms: self.watermark_ms,
            open: self.windows.first_offsets(),
            incomplete: self.incomplete.clone(),
            losses: self.losses.all(),
            tail: self.last_record.map_or(self.resumed_tail, |record| LogTail::EndsWith(record.print())),
        }
    }

    /// Whether the end of the log at the start has been reached.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        R::may_emit_changes(self.position, self.log_end_at_start)
    }

    /// The partition seen from outside.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            position: self.position,
            watermark_ms: self.watermark_ms,
            is_caught_up: self.is_caught_up(),
            open_windows: self.windows.open.len(),
            series: self.windows.open.iter().map(|state| state.states.len()).sum(),
            incomplete: self.incomplete.clone(),
            losses: self.losses.all(),
        }
    }

    /// Returns the memory of the open windows. Goes through all of them: for figures, not for every tick.
    #[must_use]
    pub fn state_bytes(&self) -> StateBytes {
        self.windows.bytes()
    }

    /// Returns the identity that its commits belong to.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Every open series with its accumulator, windows from the oldest, series in order of first appearance.
    pub fn series(&self) -> impl Iterator<Item = (SummaryKey, &J::Accumulator)> + '_ {
        let key = |window: Window, series: &SeriesState<J::Accumulator>| {
            let key = encode_key(self.windows.key_of(series), window, self.policy.length_ms);
            SummaryKey::decode(&key).expect("the core writes keys that it can read")
        };
        self.windows.open.iter().flat_map(move |state| {
            state.states.iter().map(move |series| (key(state.window, series), &series.accumulator))
        })
    }

    fn summary_of(
        &self,
        window: Window,
        series: &SeriesState<J::Accumulator>,
        is_final: bool,
        buffer: &mut Vec<u8>,
    ) -> Effect {
        let provenance = Provenance {
            generation: self.identity.generation,
            first_offset: series.first_offset.0,
            last_offset: series.last_offset.0,
            count: series.count,
            is_final,
        };
        let owner = self.windows.owner_of(series);
        let key = encode_key(self.windows.key_of(series), window, self.policy.length_ms);
        // The accumulator is only read, so that a panic leaves nothing half done.
        let summarized = catch_unwind(AssertUnwindSafe(|| self.job.summarize(&series.accumulator)));
        let reason = match summarized.map(|summary| provenance.join_within(&summary, buffer)) {
            Ok(value)
                if key.len() + value.len() <= summary_bytes_max::<J::Accumulator>(J::DIMENSIONS.len()) =>
            {
                return Effect::Emit(Emit { owner, key, value, is_final });
            }
            Ok(value) => {
                let start = value[..value.len().min(DEAD_LETTER_BYTES)].to_vec();
                SummaryFailure::TooLarge { value: start, value_bytes: value.len() }
            }
            Err(_) => SummaryFailure::Panic,
        };
        Effect::Failed(FailedSummary { owner, key, provenance, reason })
    }
}

#[cfg(test)]
mod tests;
