//! Plan and progress of a replay, as commits of two groups of its own, with which an interrupted replay continues.
//!
//! | group                            | offset            | metadata                                                     |
//! |----------------------------------|-------------------|--------------------------------------------------------------|
//! | `yahtzee.replay-plan.<id>.<job>` | start of the span | the rest of the span, the replay's token, and what was asked |
//! | `yahtzee.replay.<id>.<job>`      | replay offset     | [`yahtzee_core::commit`], its incarnation being the token    |
//!
//! The plan fixes what times and `end of the log` meant when the replay began. Progress with another token belongs to
//! an attempt that was begun again since, and counts for nothing.

use yahtzee_core::commit::Commit;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_core::window::Window;

use crate::log::{CommittedOffset, Log, OffsetCommit};

use super::{ReplayError, ReplayRange, ReplaySpan, Subject};

/// Version of the metadata of a plan.
const FORM: &str = "replay-1";

/// The journal of one job in the replay of one id.
pub struct Journal<'a> {
    log: &'a dyn Log,
    id: String,
    job: String,
    asked: String,
}

/// A replay of one job that was begun now or earlier.
pub struct Begun {
    /// The job, with the token that its progress carries.
    pub subject: Subject,
    /// Spans to be read, with the progress of an earlier attempt.
    pub parts: Vec<(ReplaySpan, Option<CommittedOffset>)>,
    /// True if an earlier attempt had begun it.
    pub is_continued: bool,
}

/// Content of the metadata of a plan.
struct Planned {
    span: ReplaySpan,
    token: u32,
    topic_id: String,
    asked: String,
}

impl<'a> Journal<'a> {
    /// Creates the journal of `job` in the replay `id`, which was asked for as `asked` (ASCII).
    #[must_use]
    pub fn new(log: &'a dyn Log, id: &str, job: &str, asked: &str) -> Self {
        Self { log, id: id.to_owned(), job: job.to_owned(), asked: asked.to_owned() }
    }

    /// Returns the group of the progress; also names the fenced writer.
    #[must_use]
    pub fn group(&self) -> String {
        format!("yahtzee.replay.{}.{}", self.id, self.job)
    }

    fn plan_group(&self) -> String {
        format!("yahtzee.replay-plan.{}.{}", self.id, self.job)
    }

    /// Continues an earlier attempt, or begins a new one: always if `is_fresh`.
    ///
    /// # Errors
    /// [`ReplayError::OtherSettings`] if the earlier attempt was asked for something else.
    pub fn begin(
        &self,
        subject: Subject,
        partitions: &[Partition],
        range: &ReplayRange,
        is_fresh: bool,
    ) -> Result<Begun, ReplayError> {
        let earlier = if is_fresh { None } else { self.earlier(&subject, partitions)? };
        let Some((token, spans)) = earlier else {
            let spans = range.resolve(self.log, &subject, partitions)?;
            self.note(&subject, &spans)?;
            let parts = spans.into_iter().map(|span| (span, None)).collect();
            return Ok(Begun { subject, parts, is_continued: false });
        };
        let mut subject = subject;
        subject.identity.owner_tag.incarnation = token;
        let progress = self.log.committed(&self.group(), &subject.raw, partitions)?;
        let progress =
            progress.into_iter().map(|progress| progress.filter(|progress| is_of(token, progress)));
        let parts = spans.into_iter().zip(progress).collect();
        Ok(Begun { subject, parts, is_continued: true })
    }

    /// Returns token and spans of an earlier attempt. One that had not noted all of its plan has not begun.
    fn earlier(
        &self,
        subject: &Subject,
        partitions: &[Partition],
    ) -> Result<Option<(u32, Vec<ReplaySpan>)>, ReplayError> {
        let plans = self.log.committed(&self.plan_group(), &subject.raw, partitions)?;
        let Some(plans) = plans.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
        let (mut token, mut spans) = (None, Vec::new());
        for (&partition, plan) in partitions.iter().zip(plans) {
            let planned = Planned::read(partition, &plan)
                .ok_or_else(|| ReplayError::ForeignJournal { group: self.plan_group() })?;
            if planned.asked != self.asked || planned.topic_id != hex(&subject.identity.topic_id) {
                return Err(self.other_settings(planned));
            }
            if *token.get_or_insert(planned.token) != planned.token {
                return Ok(None);
            }
            spans.push(planned.span);
        }
        Ok(token.map(|token| (token, spans)))
    }

    fn other_settings(&self, planned: Planned) -> ReplayError {
        let is_same = planned.asked == self.asked;
        let before =
            if is_same { format!("{} (of a topic since deleted)", planned.asked) } else { planned.asked };
        ReplayError::OtherSettings { id: self.id.clone(), before, now: self.asked.clone() }
    }

    fn note(&self, subject: &Subject, spans: &[ReplaySpan]) -> Result<(), ReplayError> {
        let plan = |span: &ReplaySpan| {
            let planned = Planned {
                span: span.clone(),
                token: subject.identity.owner_tag.incarnation,
                topic_id: hex(&subject.identity.topic_id),
                asked: self.asked.clone(),
            };
            OffsetCommit { topic: &subject.raw, partition: span.partition, committed: planned.commit() }
        };
        let plans: Vec<OffsetCommit<'_>> = spans.iter().map(plan).collect();
        Ok(self.log.commit(&self.plan_group(), &plans)?)
    }
}

impl Planned {
    /// Words in order: form, token, topic id, end, first window, end window, and what was asked.
    fn commit(&self) -> CommittedOffset {
        let Self { span, token, topic_id, asked } = self;
        let ReplaySpan { start, end, first_window, end_window, .. } = span;
        let metadata =
            format!("{FORM} {token:08x} {topic_id} {end} {} {} {asked}", first_window.0, end_window.0);
        CommittedOffset { offset: *start, metadata }
    }

    fn read(partition: Partition, commit: &CommittedOffset) -> Option<Self> {
        let mut words = commit.metadata.splitn(7, ' ');
        if words.next()? != FORM {
            return None;
        }
        let token = u32::from_str_radix(words.next()?, 16).ok()?;
        let topic_id = words.next()?.to_owned();
        let end = Offset(words.next()?.parse().ok()?);
        let first_window = Window(words.next()?.parse().ok()?);
        let end_window = Window(words.next()?.parse().ok()?);
        let asked = words.next()?.to_owned();
        let span = ReplaySpan { partition, start: commit.offset, end, first_window, end_window };
        Some(Self { span, token, topic_id, asked })
    }
}

fn is_of(token: u32, progress: &CommittedOffset) -> bool {
    let read = Commit::read(progress.offset, &progress.metadata);
    read.is_ok_and(|(_, identity)| identity.owner_tag.incarnation == token)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plan_reads_back(
            (start, end, first, last) in any::<(u64, u64, i64, i64)>(),
            token: u32,
            asked in "[ -~]{0,80}",
        ) {
            let span = ReplaySpan {
                partition: Partition(3),
                start: Offset(start),
                end: Offset(end),
                first_window: Window(first),
                end_window: Window(last),
            };
            let planned = Planned { span: span.clone(), token, topic_id: "00ff".to_owned(), asked: asked.clone() };
            let read = Planned::read(Partition(3), &planned.commit()).unwrap();
            prop_assert_eq!((read.span, read.token, read.asked), (span, token, asked));
        }

        #[test]
        fn any_text_is_a_plan_or_none(text in "[ -~]{0,80}") {
            let commit = CommittedOffset { offset: Offset(7), metadata: text };
            if let Some(planned) = Planned::read(Partition(0), &commit) {
                prop_assert_eq!(planned.span.start, Offset(7));
            }
        }
    }
}
