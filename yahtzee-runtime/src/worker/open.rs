//! Opening the slots of a job: what their machines ask for, done against the log, until each is assigned.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use yahtzee_core::commit::{AcceptanceSettings, Identity, OwnerTag};
use yahtzee_core::lost_tail::LostTail;
use yahtzee_core::owner::Partition;
use yahtzee_core::partition::ResumeKind;
use yahtzee_core::record::Offset;
use yahtzee_core::slot::{Assignment, OpenPartition, SlotAnswer, SlotMachine, SlotRequest};

use crate::log::scan::first_records;
use crate::log::{
    CommittedOffset, Isolation, Log, LogError, LogReader, SharedLog, SlotName, SlotWriter, require_topic,
};
use crate::topics::{TopicLayout, generation_of, group};

use super::worker_topics::WorkerTopics;
use super::writer::open_writer;
use super::{JobFailure, JobPlan, JobSlot, WorkerSettings};

/// A job whose slots are open.
pub(super) struct OpenJob {
    pub(super) topics: WorkerTopics,
    /// Identity of the raw topic.
    pub(super) raw_id: [u8; 16],
    /// The writers of the slots, in their order.
    pub(super) writers: Vec<Box<dyn SlotWriter>>,
    pub(super) reader: Box<dyn LogReader>,
}

/// Opens all slots of a job and a reader over their partitions. `may_go_on` fails once another process may have taken them.
///
/// # Errors
/// If the log fails, a topic is not as configured, a partition must not be worked on, or `may_go_on` fails.
pub(super) fn open(
    plan: &JobPlan,
    log: &SharedLog,
    settings: &WorkerSettings,
    slots: &mut [JobSlot],
    now_ms: u64,
    may_go_on: &dyn Fn() -> Result<(), JobFailure>,
) -> Result<OpenJob, JobFailure> {
    let (topics, identity) = check_topics(plan, log, settings)?;
    let group = group(plan.job.name(), plan.generation, &settings.layout.version);
    let answers = JobAnswers::default();
    let opener = SlotOpener { plan, log, settings, group: &group, topics: &topics, identity, answers };
    let (mut writers, mut from) = (Vec::new(), Vec::new());
    for slot in slots {
        may_go_on()?;
        writers.push(opener.open(slot, &mut from, now_ms)?);
    }
    may_go_on()?;
    let reader = log.reader(&topics.raw, &from, Isolation::Uncommitted)?;
    Ok(OpenJob { topics, raw_id: identity.topic_id, writers, reader })
}

struct SlotOpener<'a> {
    plan: &'a JobPlan,
    log: &'a SharedLog,
    settings: &'a WorkerSettings,
    group: &'a str,
    topics: &'a WorkerTopics,
    identity: Identity,
    answers: JobAnswers,
}

/// Answers that serve all slots of a job, by partition of the topic: each costs a client of its own.
#[derive(Default)]
struct JobAnswers {
    /// What is committed while nothing is fenced yet.
    committed: OnceCell<Vec<Option<CommittedOffset>>>,
    /// What earlier generations have committed.
    earlier: OnceCell<Vec<Vec<CommittedOffset>>>,
}

impl SlotOpener<'_> {
    /// Obeys a slot until it is assigned. Its partitions are added to `from` with the offset to be read first.
    fn open(
        &self,
        JobSlot { slot, machine }: &mut JobSlot,
        from: &mut Vec<(Partition, Offset)>,
        now_ms: u64,
    ) -> Result<Box<dyn SlotWriter>, JobFailure> {
        let mut writer = None;
        machine.open(&self.identity, self.open_partition());
        while let Some(request) = machine.poll(now_ms) {
            match request {
                SlotRequest::PeekCommits => {
                    let commits = of_partitions(self.committed_before_fences()?, machine.partitions());
                    self.answer(machine, SlotAnswer::Commits(commits), now_ms)?;
                }
                SlotRequest::Fence => {
                    let name = SlotName { group: self.group.to_owned(), slot: *slot };
                    writer = Some(open_writer(self.log, &name, self.settings)?);
                    self.answer(machine, SlotAnswer::Fenced, now_ms)?;
                }
                SlotRequest::ReadCommits => {
                    let writer = writer.as_deref_mut().expect("a slot asks for its fence before its commits");
                    let read = |topic: &str| writer.committed(topic, machine.partitions());
                    let commits = committed(read, &self.topics.raw, &self.topics.summary)?;
                    self.answer(machine, SlotAnswer::Commits(commits), now_ms)?;
                }
                SlotRequest::ReadEarlierCommits(partitions) => {
                    let commits = of_partitions(self.committed_by_earlier_generations()?, &partitions);
                    self.answer(machine, SlotAnswer::EarlierCommits(commits), now_ms)?;
                }
                SlotRequest::ReadRecords { from, count } => {
                    let records = first_records(&**self.log, &self.topics.raw, &from, count)?;
                    self.answer(machine, SlotAnswer::Records(records), now_ms)?;
                }
                SlotRequest::ReadBounds => {
                    let bounds = self.log.bounds(&self.topics.raw, machine.partitions())?;
                    self.answer(machine, SlotAnswer::Bounds(bounds), now_ms)?;
                }
                SlotRequest::Assign(assignments) => {
                    let assigned = assignments.iter().zip(machine.assigned());
                    assigned.for_each(|(assignment, it)| self.warn_of_loss(assignment, &it.status().losses));
                    from.extend(assignments.iter().map(|it| (it.partition, it.read_from)));
                    break;
                }
                written @ (SlotRequest::Append(_) | SlotRequest::Commit(_)) => {
                    unreachable!("a slot that opens asks for {written:?}")
                }
            }
        }
        Ok(writer.expect("a slot asks for its fence before it is assigned"))
    }

    /// All partitions of the raw topic.
    fn partitions(&self) -> Vec<Partition> {
        (0..self.settings.layout.partitions).map(Partition).collect()
    }

    fn committed_before_fences(&self) -> Result<&Vec<Option<CommittedOffset>>, JobFailure> {
        let partitions = self.partitions();
        let read = |topic: &str| self.log.committed_below_open_transactions(self.group, topic, &partitions);
        once(&self.answers.committed, || committed(read, &self.topics.raw, &self.topics.summary))
    }

    fn committed_by_earlier_generations(&self) -> Result<&Vec<Vec<CommittedOffset>>, JobFailure> {
        let (layout, generation) = (&self.settings.layout, self.plan.generation);
        let ask = || committed_below(&**self.log, self.plan, layout, generation, &self.partitions());
        once(&self.answers.earlier, ask)
    }

    fn open_partition(&self) -> Box<OpenPartition> {
        let (job, policy, identity) = (Arc::clone(&self.plan.job), self.plan.policy, self.identity);
        Box::new(move |history| Arc::clone(&job).open(policy, identity, history))
    }

    fn answer(&self, machine: &mut SlotMachine, answer: SlotAnswer, now_ms: u64) -> Result<(), JobFailure> {
        machine.answer(answer, now_ms).map_err(|refused| JobFailure::refused(&self.topics.raw, &refused))
    }

    fn warn_of_loss(&self, assignment: &Assignment, losses: &[LostTail]) {
        for loss in losses.iter().filter(|loss| loss.windows.is_none()) {
            tracing::warn!(
                job = self.plan.job.name(), topic = self.topics.raw, partition = %assignment.partition,
                kept_before = %loss.kept_before, watermark_ms = ?loss.watermark_ms,
                "the log has lost records that an earlier generation had read: the windows that were open then are incomplete and \
                 will not be published"
            );
        }
        if matches!(assignment.verdict, ResumeKind::Truncated | ResumeKind::Unknown) {
            tracing::warn!(
                job = self.plan.job.name(), topic = self.topics.raw, partition = %assignment.partition,
                log_start = %assignment.bounds.start, verdict = ?assignment.verdict,
                committed = ?assignment.committed.as_ref().map(|committed| committed.offset),
                "input was lost: the windows it may have hit are incomplete and will not be published"
            );
        }
    }
}

/// Returns what belongs to each of these partitions, of `all` of the topic.
fn of_partitions<T: Clone>(all: &[T], partitions: &[Partition]) -> Vec<T> {
    partitions.iter().map(|partition| all[partition.0 as usize].clone()).collect()
}

/// Asks only where nobody has got an answer yet.
fn once<T>(answer: &OnceCell<T>, ask: impl FnOnce() -> Result<T, LogError>) -> Result<&T, JobFailure> {
    match answer.get() {
        Some(answer) => Ok(answer),
        None => {
            let found = ask()?;
            Ok(answer.get_or_init(|| found))
        }
    }
}

/// Returns the commits that workers start from, as `read` reads those of a topic: of the raw topic, and of the summary topic
/// where there is none of the raw one. Who deletes a topic deletes its commits, and the summaries that are published still
/// tell which topic they were made from.
///
/// # Errors
/// If `read` fails.
pub fn committed(
    mut read: impl FnMut(&str) -> Result<Vec<Option<CommittedOffset>>, LogError>,
    raw: &str,
    summary: &str,
) -> Result<Vec<Option<CommittedOffset>>, LogError> {
    let (of_raw, of_summaries) = (read(raw)?, read(summary)?);
    let pairs = of_raw.into_iter().zip(of_summaries);
    Ok(pairs.map(|(of_raw, of_summaries)| of_raw.or(of_summaries)).collect())
}

/// Returns, for each partition, what the generations of a job below `generation` have committed of it, the newest one first.
///
/// # Errors
/// If the log does not answer.
pub fn committed_below(
    log: &dyn Log,
    plan: &JobPlan,
    layout: &TopicLayout,
    generation: u32,
    partitions: &[Partition],
) -> Result<Vec<Vec<CommittedOffset>>, LogError> {
    let (job, version) = (plan.job.name(), &layout.version);
    let (raw, summary) = (layout.raw(plan.job.measurement()), layout.summary(plan.job.summary()));
    let groups = log.groups()?;
    let generations = groups.iter().filter_map(|name| generation_of(name, job, version));
    let below: BTreeSet<u32> = generations.filter(|it| *it < generation).collect();
    let mut found = vec![Vec::new(); partitions.len()];
    for generation in below.into_iter().rev() {
        let group = group(job, generation, version);
        // An older commit tells of a loss too, and nobody may be left to end a transaction of that generation.
        let read = |topic: &str| log.committed_below_open_transactions(&group, topic, partitions);
        let commits = committed(read, &raw, &summary)?;
        found.iter_mut().zip(commits).for_each(|(found, commit)| found.extend(commit));
    }
    Ok(found)
}

/// Refuses topics that are missing or of another size than configured.
fn check_topics(
    plan: &JobPlan,
    log: &SharedLog,
    settings: &WorkerSettings,
) -> Result<(WorkerTopics, Identity), JobFailure> {
    let mut raw_id = None;
    for wanted in plan.topics(&settings.layout) {
        let found = require_topic(&**log, &wanted)?;
        raw_id.get_or_insert(found.id);
    }
    let identity = Identity {
        generation: plan.generation,
        topic_id: raw_id.expect("a job has a raw topic"),
        partition_count: settings.layout.partitions,
        window_length_ms: plan.policy.length_ms,
        acceptance: Some(AcceptanceSettings::of(&plan.policy, settings.slots, plan.job.dimensions())),
        owner_tag: OwnerTag {
            worker: u16::try_from(settings.worker.index()).unwrap_or(u16::MAX),
            workers: u16::try_from(settings.worker.count()).unwrap_or(u16::MAX),
            incarnation: settings.incarnation,
        },
    };
    let (layout, measurement) = (&settings.layout, plan.job.measurement());
    let topics = WorkerTopics {
        job: plan.job.name(),
        raw: layout.raw(measurement),
        summary: layout.summary(plan.job.summary()).into(),
        dead_letters: layout.dead_letters(measurement).into(),
        late: layout.late(measurement).into(),
        partitions: layout.partitions,
        window_length_ms: plan.policy.length_ms,
        generation: plan.generation,
    };
    Ok((topics, identity))
}
