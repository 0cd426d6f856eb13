//! Mistakes around the core: what it is opened with, or what comes out of it, is altered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use prost::Message as _;
use yahtzee_core::commit::{Commit, Identity};
use yahtzee_core::effect::{Effect, Emit};
use yahtzee_core::erased::AnyPartition;
use yahtzee_core::partition::{History, Opened, ResumeError, Start, Status};
use yahtzee_core::record::{LogRecord, Offset, RecordOutcome};
use yahtzee_core::rules::Production;
use yahtzee_core::series::StateBytes;
use yahtzee_core::summary::Provenance;
use yahtzee_core::window::Policy;

use super::open;
use crate::job::{SimJob, SimSummary, SimValue};

type OpenResult = Result<Opened<Box<dyn AnyPartition>>, ResumeError>;

/// Opens a partition from its commit as a mistake sees it.
fn open_from(
    job: Arc<SimJob>,
    policy: Policy,
    identity: Identity,
    history: History<'_>,
    seen: impl Fn(Commit) -> Commit,
) -> OpenResult {
    let read = |offset, metadata| Commit::read(offset, metadata).ok();
    let altered = match history.start {
        Start::Commit { offset, metadata } => {
            read(offset, metadata).map(|(commit, committed)| (offset, seen(commit).metadata(&committed)))
        }
        Start::Beginning | Start::Time { .. } => None,
    };
    let start = altered
        .as_ref()
        .map_or(history.start, |(offset, metadata)| Start::Commit { offset: *offset, metadata });
    open::<Production>(job, policy, identity, History { start, ..history })
}

pub(super) fn watermark_not_restored(
    job: Arc<SimJob>,
    policy: Policy,
    identity: Identity,
    history: History<'_>,
) -> OpenResult {
    open_from(job, policy, identity, history, Commit::without_watermark)
}

pub(super) fn settings_not_compared(
    job: Arc<SimJob>,
    policy: Policy,
    identity: Identity,
    history: History<'_>,
) -> OpenResult {
    open::<Production>(job, policy, Identity { acceptance: None, ..identity }, history)
}

pub(super) fn incomplete_forgotten(
    job: Arc<SimJob>,
    policy: Policy,
    identity: Identity,
    history: History<'_>,
) -> OpenResult {
    open_from(job, policy, identity, history, Commit::without_incomplete)
}

pub(super) fn losses_forgotten(
    job: Arc<SimJob>,
    policy: Policy,
    identity: Identity,
    history: History<'_>,
) -> OpenResult {
    open_from(job, policy, identity, history, Commit::without_losses)
}

pub(super) fn revision_is_position(
    job: Arc<SimJob>,
    policy: Policy,
    identity: Identity,
    history: History<'_>,
) -> OpenResult {
    let Opened { core, read_from, verdict } = open::<Production>(job, policy, identity, history)?;
    Ok(Opened { core: Box::new(RevisionIsPosition(core)), read_from, verdict })
}

pub(super) fn unchanged_not_finalised(
    job: Arc<SimJob>,
    policy: Policy,
    identity: Identity,
    history: History<'_>,
) -> OpenResult {
    let Opened { core, read_from, verdict } = open::<Production>(job, policy, identity, history)?;
    let core = Box::new(UnchangedNotFinalised { core, newest: BTreeMap::new(), is_written: VecDeque::new() });
    Ok(Opened { core, read_from, verdict })
}

/// Stamps summaries with the position at their emission.
struct RevisionIsPosition(Box<dyn AnyPartition>);

impl RevisionIsPosition {
    fn restamp(&mut self, out: &mut Vec<Effect>, call: impl FnOnce(&mut dyn AnyPartition, &mut Vec<Effect>)) {
        let (position, before) = (self.0.status().position, out.len());
        call(&mut *self.0, out);
        for effect in &mut out[before..] {
            if let Effect::Emit(Emit { value, .. }) = effect {
                let (provenance, body) = Provenance::split(value).expect("the core writes its own summaries");
                let SimSummary { digest } =
                    SimSummary::decode(body).expect("the summary of the simulated job");
                let provenance = Some(Provenance { last_offset: position.0, ..provenance });
                *value = SimValue { provenance, digest }.encode_to_vec();
            }
        }
    }
}

impl AnyPartition for RevisionIsPosition {
    fn ingest(&mut self, record: LogRecord<'_>, out: &mut Vec<Effect>) -> RecordOutcome {
        let mut outcome = None;
        self.restamp(out, |core, out| outcome = Some(core.ingest(record, out)));
        outcome.expect("the call above")
    }

    fn reached(&mut self, next: Offset) -> Result<(), ResumeError> {
        self.0.reached(next)
    }

    fn tick(&mut self, now_ms: u64, out: &mut Vec<Effect>) {
        self.restamp(out, |core, out| core.tick(now_ms, out));
    }

    fn flush(&mut self, out: &mut Vec<Effect>) {
        self.restamp(out, |core, out| core.flush(out));
    }

    fn next_due(&self) -> u64 {
        self.0.next_due()
    }

    fn begin_write(&mut self) {
        self.0.begin_write();
    }

    fn acknowledged(&mut self, effects: u64) -> Option<Commit> {
        self.0.acknowledged(effects)
    }

    fn status(&self) -> Status {
        self.0.status()
    }

    fn state_bytes(&self) -> StateBytes {
        self.0.state_bytes()
    }

    fn identity(&self) -> &Identity {
        self.0.identity()
    }
}

/// Swallows final summaries that say nothing new but that they are final.
struct UnchangedNotFinalised {
    core: Box<dyn AnyPartition>,
    /// Last offset of the newest summary per key.
    newest: BTreeMap<Vec<u8>, u64>,
    /// Per effect that is not acknowledged, whether the shell has it; the others count as written.
    is_written: VecDeque<bool>,
}

impl UnchangedNotFinalised {
    fn swallow(&mut self, out: &mut Vec<Effect>, call: impl FnOnce(&mut dyn AnyPartition, &mut Vec<Effect>)) {
        let mut effects = Vec::new();
        call(&mut *self.core, &mut effects);
        for effect in effects {
            let is_news = self.is_news(&effect);
            self.is_written.push_back(is_news);
            if is_news {
                out.push(effect);
            }
        }
    }

    fn is_news(&mut self, effect: &Effect) -> bool {
        let Effect::Emit(emit) = effect else { return true };
        let last_offset = Provenance::of_value(&emit.value).expect("the core writes provenance").last_offset;
        let before = self.newest.insert(emit.key.clone(), last_offset);
        !(emit.is_final && before == Some(last_offset))
    }
}

impl AnyPartition for UnchangedNotFinalised {
    fn ingest(&mut self, record: LogRecord<'_>, out: &mut Vec<Effect>) -> RecordOutcome {
        let mut outcome = None;
        self.swallow(out, |core, out| outcome = Some(core.ingest(record, out)));
        outcome.expect("the call above")
    }

    fn reached(&mut self, next: Offset) -> Result<(), ResumeError> {
        self.core.reached(next)
    }

    fn tick(&mut self, now_ms: u64, out: &mut Vec<Effect>) {
        self.swallow(out, |core, out| core.tick(now_ms, out));
    }

    fn flush(&mut self, out: &mut Vec<Effect>) {
        self.swallow(out, |core, out| core.flush(out));
    }

    fn next_due(&self) -> u64 {
        self.core.next_due()
    }

    fn begin_write(&mut self) {
        self.core.begin_write();
    }

    fn acknowledged(&mut self, effects: u64) -> Option<Commit> {
        let (mut written, mut all) = (effects, 0);
        while self.is_written.pop_front_if(|is_written| !*is_written || written > 0).is_some_and(
            |is_written| {
                written -= u64::from(is_written);
                true
            },
        ) {
            all += 1;
        }
        self.core.acknowledged(all)
    }

    fn status(&self) -> Status {
        self.core.status()
    }

    fn state_bytes(&self) -> StateBytes {
        self.core.state_bytes()
    }

    fn identity(&self) -> &Identity {
        self.core.identity()
    }
}
