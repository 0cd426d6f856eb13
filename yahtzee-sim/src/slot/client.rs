//! The log client of a slot: it carries out an append or a commit of the machine, one request to the broker at a time.

use std::collections::VecDeque;

use yahtzee_core::effect::Effect;
use yahtzee_core::owner::Partition;
use yahtzee_core::slot::SlotAnswer;
use yahtzee_core::summary::Provenance;

use super::Outside;
use crate::broker::{Answer, Body, Broker, OffsetCommit, OutRecord, ProducerId, Request};
use crate::ops::Fault;
use crate::shell::ShellRules;

/// What is being carried out.
#[derive(Debug)]
enum Work {
    Append(Vec<OutRecord>),
    Commit(VecDeque<Request>),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Client {
    generation: u32,
    fence: Option<(ProducerId, u32)>,
    work: Option<Work>,
    /// Whether anything went into the transaction.
    is_begun: bool,
    /// Bytes of failed appends that a mistaken client will send again.
    leftover: Vec<OutRecord>,
}

impl Client {
    pub(super) fn new(generation: u32) -> Self {
        Self { generation, fence: None, work: None, is_begun: false, leftover: Vec::new() }
    }

    /// Becomes the only producer with this id.
    pub(super) fn init(&mut self, id: ProducerId, broker: &mut Broker) {
        self.fence = Some((id, broker.init(id)));
    }

    pub(super) fn is_idle(&self) -> bool {
        self.work.is_none()
    }

    /// Gives up what is being carried out.
    pub(super) fn abandon(&mut self) {
        self.work = None;
        self.is_begun = false;
    }

    /// `life_of` names the life of a partition that was read.
    pub(super) fn append(
        &mut self,
        effects: Vec<(Partition, Effect)>,
        life_of: impl Fn(Partition) -> usize,
        shell: &dyn ShellRules,
    ) {
        let mut records: Vec<OutRecord> = effects
            .into_iter()
            .filter_map(|(partition, effect)| {
                let mut record = OutRecord::new(self.generation, partition.0, body_of(effect, shell)?);
                record.life = life_of(partition);
                Some(record)
            })
            .collect();
        if !records.is_empty() {
            records.append(&mut self.leftover);
        }
        self.work = Some(Work::Append(records));
    }

    /// Fenced, the commits go into the transaction and end it; else each is sent plainly.
    pub(super) fn commit(&mut self, commits: Vec<OffsetCommit>, shell: &dyn ShellRules) {
        let mut requests = VecDeque::new();
        match self.fence {
            Some(fence) if shell.commits_in_transaction() => {
                let is_begun = self.is_begun || !commits.is_empty();
                requests.extend((!commits.is_empty()).then_some(Request::AddOffsets { fence, commits }));
                requests.extend(is_begun.then_some(Request::End { fence }));
            }
            Some(fence) => {
                requests.extend(commits.into_iter().map(Request::Commit));
                requests.extend(self.is_begun.then_some(Request::End { fence }));
            }
            None => requests.extend(commits.into_iter().map(Request::Commit)),
        }
        self.work = Some(Work::Commit(requests));
    }

    /// Sends the next request, with up to `records` records; `None` once all are answered.
    pub(super) fn send_next(
        &mut self,
        records: usize,
        fault: Fault,
        outside: &mut Outside<'_>,
    ) -> Option<Answer> {
        let request = match self.work.as_mut()? {
            Work::Append(outgoing) => {
                let count = records.max(1).min(outgoing.len());
                let records: Vec<_> = outgoing.drain(..count).collect();
                (count > 0).then_some(Request::Append { fence: self.fence, records })
            }
            Work::Commit(requests) => requests.pop_front(),
        }?;
        let shell = outside.mutant.shell;
        let old_bytes = match &request {
            Request::Append { records, .. } if shell.resends_old_bytes() => records.clone(),
            _ => Vec::new(),
        };
        self.is_begun = !matches!(request, Request::End { .. });
        match outside.broker.send(request, fault) {
            Answer::Failed if shell.ignores_failed_writes() => Some(Answer::Done),
            Answer::Failed => {
                self.leftover.extend(old_bytes);
                Some(Answer::Failed)
            }
            answer => Some(answer),
        }
    }

    /// What has been carried out.
    pub(super) fn finish(&mut self) -> SlotAnswer {
        match self.work.take() {
            Some(Work::Append(_)) => SlotAnswer::Appended,
            Some(Work::Commit(_)) | None => SlotAnswer::Committed,
        }
    }
}

/// What is written of an effect.
fn body_of(effect: Effect, shell: &dyn ShellRules) -> Option<Body> {
    match effect {
        Effect::Emit(emit) => {
            let provenance = Provenance::of_value(&emit.value).expect("the core writes a provenance first");
            Some(Body::Summary { key: emit.key, value: emit.value, provenance })
        }
        Effect::DeadLetter(letter) => shell
            .writes_dead_letters()
            .then_some(Body::DeadLetter { offset: letter.offset.0, reason: letter.reason }),
        // The simulated job summarises everything.
        Effect::Failed(_) => None,
        Effect::Late(late) => shell.writes_late().then_some(Body::Late { offset: late.offset.0 }),
    }
}
