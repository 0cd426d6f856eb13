//! How a slot writes: all waiting effects, then what their acknowledgement allows to commit.

use yahtzee_core::commit::{Commit, Identity};
use yahtzee_core::effect::Effect;
use yahtzee_core::summary::Provenance;

use super::{Holder, Outside, Part, Phase, Slot};
use crate::broker::{Answer, Body, OffsetCommit, OutRecord, Request};
use crate::ops::Fault;
use crate::shell::ShellRules;

/// A stage of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Hands the effects to the log.
    Append,
    /// Tells the cores that their effects are durable, and asks for commits.
    Acknowledge,
    /// Adds the commits to the transaction.
    AddOffsets,
    /// Ends the transaction.
    End,
    /// Commits outside of any transaction, one partition after the other.
    CommitPlainly,
}

/// The stages in their order.
pub(super) fn stages(is_fenced: bool, shell: &dyn ShellRules) -> &'static [Stage] {
    match is_fenced {
        _ if shell.commits_before_writing() => {
            &[Stage::Acknowledge, Stage::CommitPlainly, Stage::Append, Stage::End]
        }
        true if shell.commits_in_transaction() => {
            &[Stage::Append, Stage::Acknowledge, Stage::AddOffsets, Stage::End]
        }
        true => &[Stage::Append, Stage::Acknowledge, Stage::CommitPlainly, Stage::End],
        false => &[Stage::Append, Stage::Acknowledge, Stage::CommitPlainly],
    }
}

/// A write under way.
#[derive(Debug, Default)]
pub(super) struct Write {
    /// Stages that are done.
    done: usize,
    outgoing: Vec<OutRecord>,
    /// Effects of each place.
    emitted: Vec<u64>,
    /// Commits that are to be made, with their places.
    staged: Vec<(usize, Commit)>,
    /// How many of them went out.
    sent: usize,
    /// Whether anything went into the transaction.
    is_begun: bool,
}

impl Slot {
    /// Takes the effects that wait: all of them, or as many as a write may have.
    pub(super) fn begin_write(&mut self, outside: &Outside<'_>) {
        let mut write = Write::default();
        for part in &mut self.parts {
            let count = outside.config.write_max.min(part.effects.len() as u64);
            write.emitted.push(count);
            let records = part.effects.drain(..count as usize).filter_map(|effect| {
                let body = body_of(effect, outside.mutant.shell)?;
                Some(OutRecord::new(self.holder.version, part.partition, body))
            });
            write.outgoing.extend(records);
        }
        if !write.outgoing.is_empty() {
            write.outgoing.append(&mut self.leftover);
        }
        self.has_rest = self.parts.iter().any(|part| !part.effects.is_empty());
        self.phase = Phase::Writing(write);
    }

    /// Goes through the stages up to the next request, and sends it.
    pub(super) fn write(
        &mut self,
        mut write: Write,
        records: usize,
        fault: Fault,
        outside: &mut Outside<'_>,
    ) {
        let shell = outside.mutant.shell;
        while let Some(&stage) = stages(outside.config.is_fenced == 1, shell).get(write.done) {
            let Some(request) = self.request(stage, &mut write, records, outside) else {
                write.done += 1;
                continue;
            };
            let old_bytes = match &request {
                Request::Append { records, .. } if shell.resends_old_bytes() => records.clone(),
                _ => Vec::new(),
            };
            write.is_begun = stage != Stage::End;
            match outside.broker.send(request, fault) {
                Answer::Done => self.phase = Phase::Writing(write),
                Answer::Failed if shell.ignores_failed_writes() => self.phase = Phase::Writing(write),
                Answer::Failed if shell.keeps_core_after_failure() => self.phase = Phase::Running,
                Answer::Failed => {
                    self.leftover.extend(old_bytes);
                    self.reopen();
                }
                Answer::Fenced if outside.config.reopens_when_fenced == 1 => self.reopen(),
                Answer::Fenced => self.end(),
            }
            return;
        }
        self.finish_write(write, outside);
    }

    /// The next request of a stage; `None` once the stage is done.
    fn request(
        &mut self,
        stage: Stage,
        write: &mut Write,
        records: usize,
        outside: &Outside<'_>,
    ) -> Option<Request> {
        let fence = self.fence;
        match stage {
            Stage::Append => {
                let count = records.max(1).min(write.outgoing.len());
                let records: Vec<_> = write.outgoing.drain(..count).collect();
                (count > 0).then_some(Request::Append { fence, records })
            }
            Stage::Acknowledge => {
                let now_ms = self.now_ms(outside);
                let renewal_ms = outside.mutant.shell.renewal_ms();
                let parts = self.parts.iter_mut().zip(&write.emitted).enumerate();
                let commits = parts.filter_map(|(place, (part, &emitted))| {
                    part.next_commit(emitted, now_ms, renewal_ms).map(|commit| (place, commit))
                });
                write.staged = commits.collect();
                None
            }
            Stage::AddOffsets => {
                let commits = write.staged[write.sent..].iter();
                let commits: Vec<_> =
                    commits.map(|(place, commit)| self.stored(*place, commit, outside)).collect();
                write.sent = write.staged.len();
                fence.filter(|_| !commits.is_empty()).map(|fence| Request::AddOffsets { fence, commits })
            }
            Stage::CommitPlainly => {
                let (place, commit) = write.staged.get(write.sent)?;
                write.sent += 1;
                Some(Request::Commit(self.stored(*place, commit, outside)))
            }
            Stage::End => {
                let fence = fence.filter(|_| std::mem::take(&mut write.is_begun));
                fence.map(|fence| Request::End { fence })
            }
        }
    }

    fn finish_write(&mut self, write: Write, outside: &Outside<'_>) {
        let now_ms = self.now_ms(outside);
        for (place, commit) in write.staged {
            self.parts[place].committed = Some(commit);
            self.parts[place].committed_at_ms = now_ms;
        }
        self.phase = Phase::Running;
    }

    fn stored(&self, place: usize, commit: &Commit, outside: &Outside<'_>) -> OffsetCommit {
        let part = &self.parts[place];
        let identity: &Identity = part.core.identity();
        let Holder { version: generation, .. } = self.holder;
        OffsetCommit {
            generation,
            partition: part.partition,
            offset: commit.replay_offset().0,
            metadata: outside.mutant.shell.metadata(commit.metadata(identity)),
            resumed_position: part.resumed_position,
        }
    }
}

impl Part {
    /// What may be committed now that `effects` are durable, if it says anything new or is to be renewed.
    fn next_commit(&mut self, effects: u64, now_ms: u64, renewal_ms: u64) -> Option<Commit> {
        let commit = self.core.acknowledged(effects)?;
        let is_due = now_ms >= self.committed_at_ms + renewal_ms;
        (is_due || self.committed.as_ref() != Some(&commit)).then_some(commit)
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
        Effect::Late(late) => shell.writes_late().then_some(Body::Late { offset: late.offset.0 }),
    }
}
