//! Where the partitions of a source are read from: at their commits, unless the log or the database of a shard is other
//! than they say.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use yahtzee_core::delivery::{CommittedMarks, KnownMark, SettledMark, begin};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::log::{Bounds, CommittedOffset, LogError, OffsetCommit};

use super::source::{Source, SourceOpening, Stream, TopicStreams};
use super::{DeliveryRole, TaskContext};
use crate::metric_names;
use crate::store::{Shard, SourcePartition};

/// What is known of a partition before it is opened.
struct FoundPartition<'a> {
    stream: &'a Stream,
    committed: Option<CommittedOffset>,
    bounds: Bounds,
    /// Marks in the databases by shard, of those that have answered.
    marks: BTreeMap<usize, SettledMark>,
}

impl SourceOpening {
    /// Finds out where to begin. A commit that lies beyond what a restored database has, or beyond the end of the log, is moved back
    /// at once: from then on a successor begins there as well, however far this process comes, and however long the log has become.
    /// One that retention has overtaken, or that tells of what a database has lost, is made anew too: else every opening would find
    /// the same loss until there is a new summary.
    pub(super) fn of(shared: &TaskContext, source: &Source) -> Result<Self, LogError> {
        let (mut opening, mut committed, mut bounds) = (Self::default(), Vec::new(), Vec::new());
        for TopicStreams { topic, job, partitions, .. } in source.by_topic() {
            shared.check_topics(job)?;
            let topic_id = shared.topic_id(topic)?;
            let keep = |&partition: &Partition| SourcePartition {
                group: source.group.as_str().into(),
                topic: Arc::clone(topic),
                topic_id,
                partition,
            };
            opening.partitions.extend(partitions.iter().map(keep));
            committed.extend(shared.log.committed(&source.group, topic, &partitions)?);
            bounds.extend(shared.log.bounds(topic, &partitions)?);
        }
        let marks = shared.marks(source, &opening.partitions);
        let found = source.streams.iter().zip(committed).zip(bounds).zip(marks);
        for (number, (((stream, committed), bounds), marks)) in found.enumerate() {
            opening.open(shared, number, FoundPartition { stream, committed, bounds, marks });
        }
        opening.recommit(shared, source)?;
        Ok(opening)
    }

    fn open(&mut self, shared: &TaskContext, number: usize, found: FoundPartition<'_>) {
        let FoundPartition { stream: Stream { topic, partition, .. }, committed, bounds, marks } = found;
        let mut position = bounds.start;
        let mut known_marks: BTreeMap<usize, KnownMark> =
            marks.iter().map(|(&shard, mark)| (shard, mark.known())).collect();
        for (&shard, mark) in marks.iter().filter(|(_, mark)| mark.offset > bounds.end) {
            self.vanished += shared.report_vanished(shard, topic, *partition, bounds.end..mark.offset);
        }
        if let Some(CommittedOffset { offset: committed, metadata }) = committed {
            let known = CommittedMarks::read(&metadata);
            if committed > bounds.end
                || known.as_ref().is_some_and(|it| it.topic_id != self.partitions[number].topic_id)
            {
                // Reading all of it again changes no row that is newer.
                tracing::error!(%topic, %partition, %committed, end = %bounds.end,
                    "the topic was made anew, or ends before what was stored from it: it is read again from its start");
                self.recommitted.push(number);
            } else {
                let known = shared.known_marks(known);
                position = begin(committed, compared(&marks, &known).map(|(_, found, known)| (found, known)));
                self.lost += shared.count_lost(topic, *partition, position, bounds.start);
                let mut is_behind = false;
                for (shard, found, known) in compared(&marks, &known) {
                    if found.is_behind(known) {
                        is_behind = true;
                        shared.report_restored(shard, topic, *partition, again(found, bounds, committed));
                    }
                }
                position = position.max(bounds.start);
                if position < committed {
                    self.again.insert(number, committed);
                }
                if is_behind || position != committed {
                    self.recommitted.push(number);
                }
                // What a shard that does not answer has is compared by its first write.
                for (shard, mark) in known {
                    known_marks.entry(shard).or_insert(mark);
                }
            }
        }
        self.positions.push(position);
        self.marks.push(known_marks);
    }

    fn recommit(&self, shared: &TaskContext, source: &Source) -> Result<(), LogError> {
        let commit = |&number: &usize| {
            let Stream { topic, partition, .. } = &source.streams[number];
            let metadata = shared.metadata(&self.partitions[number], &self.marks[number]);
            let committed = CommittedOffset { offset: self.positions[number], metadata };
            OffsetCommit { topic, partition: *partition, committed }
        };
        let commits: Vec<OffsetCommit<'_>> = self.recommitted.iter().map(commit).collect();
        if commits.is_empty() { Ok(()) } else { shared.log.commit(&source.group, &commits) }
    }
}

/// Returns the shards that have answered and that the commit names, each with the mark found and the one known.
fn compared(
    marks: &BTreeMap<usize, SettledMark>,
    known: &BTreeMap<usize, KnownMark>,
) -> impl Iterator<Item = (usize, SettledMark, KnownMark)> {
    marks.iter().filter_map(|(shard, found)| Some((*shard, *found, *known.get(shard)?)))
}

/// Returns what is read again for a shard that was restored to the mark `found`: what retention has left of what it lost.
fn again(found: SettledMark, bounds: Bounds, committed: Offset) -> Range<Offset> {
    found.offset.max(bounds.start).min(committed)..committed
}

impl TaskContext {
    /// Returns the metadata of a commit: the marks that shards are known to have.
    pub(super) fn metadata(&self, partition: &SourcePartition, marks: &BTreeMap<usize, KnownMark>) -> String {
        let by_shard = marks.iter().map(|(&shard, &mark)| (self.shard_names[shard].clone(), mark)).collect();
        let marks = CommittedMarks { topic_id: partition.topic_id, by_shard };
        self.report_unmarked(marks.left_out());
        marks.metadata()
    }

    /// Says, whenever there are more of them, that shards have no room in commits: nothing of what a restored database of theirs
    /// has lost would be read again.
    fn report_unmarked(&self, shards: usize) {
        if shards <= self.unmarked.fetch_max(shards, Ordering::Relaxed) {
            return;
        }
        let (role, all) = (if self.is_retry() { "retry" } else { "sink" }, self.shard_names.len());
        let remark = format!(
            "a commit has no room for the marks of {shards} of {all} shards: what a database of theirs loses when it is restored is \
             not read again; use fewer shards or shorter names, and after a restore reset the group to the start of the topic"
        );
        tracing::warn!(role, shards, "{remark}");
        self.health.remark(&format!("{role}-marks"), remark);
    }

    /// Returns the marks of a commit by the number of the shard.
    fn known_marks(&self, committed: Option<CommittedMarks>) -> BTreeMap<usize, KnownMark> {
        let by_shard = committed.map(|committed| committed.by_shard).unwrap_or_default();
        let names = self.shard_names.iter().enumerate();
        names.filter_map(|(shard, name)| Some((shard, *by_shard.get(name)?))).collect()
    }

    /// Returns the marks in the databases of the shards that a source feeds, by partition and shard. A shard that does
    /// not answer is left out; one without a mark has the mark of an empty database.
    fn marks(&self, source: &Source, partitions: &[SourcePartition]) -> Vec<BTreeMap<usize, SettledMark>> {
        let mut by_partition = vec![BTreeMap::new(); partitions.len()];
        for (number, marks) in (0..).zip(self.store.marks(partitions)) {
            match marks {
                Ok(marks) if source.feeds(Shard(number)) => {
                    for (of_partition, mark) in by_partition.iter_mut().zip(marks) {
                        of_partition.insert(Shard(number).index(), mark.unwrap_or_default());
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(task = source.task, %error, "what the shard has is compared by its first write");
                }
            }
        }
        by_partition
    }

    fn topic_id(&self, topic: &Arc<str>) -> Result<[u8; 16], LogError> {
        let missing = || LogError::NoSuchTopic { topic: topic.to_string(), partition: None };
        Ok(self.log.describe_topic(topic)?.ok_or_else(missing)?.id)
    }

    /// Checks the topics at the start, and reports faults that would otherwise show only in the first outage.
    fn check_topics(&self, job: usize) -> Result<(), LogError> {
        let topics = &self.jobs[job];
        let has_retry = self.role != DeliveryRole::Sink { has_retry: false };
        for topic in [Some(&topics.quarantine), has_retry.then_some(&topics.retry)].into_iter().flatten() {
            self.topic_id(topic)?;
        }
        Ok(())
    }

    /// Counts what retention has deleted before it was stored; returns how much that is.
    fn count_lost(&self, topic: &str, partition: Partition, from: Offset, start: Offset) -> u64 {
        let lost = start.0.saturating_sub(from.0);
        if lost > 0 {
            let counter = if self.is_retry() { metric_names::RETRY_LOST } else { metric_names::SINK_LOST };
            counter.with(&[self.store.name()]).increment(lost);
            tracing::error!(topic, %partition, lost, %from, to = %start,
                "retention has deleted summaries that were not stored yet: `yahtzee verify` names the rows that are \
                 missing, `yahtzee replay` makes them anew");
        }
        lost
    }

    /// Reports what a shard has stored of a partition that ends before it: the mark of a topic that was made anew is not
    /// compared, it has another id. Returns how much it is.
    fn report_vanished(
        &self,
        shard: usize,
        topic: &str,
        partition: Partition,
        vanished: Range<Offset>,
    ) -> u64 {
        let (shard, summaries) = (&self.shard_names[shard], vanished.end.0 - vanished.start.0);
        let counter =
            if self.is_retry() { metric_names::RETRY_VANISHED } else { metric_names::SINK_VANISHED };
        counter.with(&[self.store.name(), shard]).increment(summaries);
        tracing::error!(shard, topic, %partition, end = %vanished.start, stored = %vanished.end, summaries,
            "the log ends before what the shard has stored from it: it was put back to an earlier state, or has lost its \
             newest records. Rows of what is gone stay until a greater revision comes: `yahtzee verify` names those that \
             differ, a greater generation (`[jobs.NAME] generation`) writes them anew");
        summaries
    }

    fn report_restored(&self, shard: usize, topic: &str, partition: Partition, again: Range<Offset>) {
        let (shard, summaries) = (&self.shard_names[shard], again.end.0 - again.start.0);
        let counter = if self.is_retry() { metric_names::RETRY_REREAD } else { metric_names::SINK_REREAD };
        counter.with(&[self.store.name(), shard]).increment(summaries);
        tracing::warn!(shard, topic, %partition, from = %again.start, to = %again.end, summaries,
            "the database of the shard has less than was stored in it: it was restored to an earlier point, and \
             summaries are read again");
    }
}

#[cfg(test)]
mod tests {
    use yahtzee_runtime::admin::install_metrics;
    use yahtzee_runtime::shutdown::StopSignal;

    use super::*;
    use crate::delivery::DeliverySettings;
    use crate::store::SummaryStore;
    use crate::test_world::{ModelStore, World, quick};

    #[test]
    fn what_retention_has_taken_is_not_read_again() {
        fn check(mark: u64, log_start: u64, committed: u64, expected: Range<u64>) {
            let found = SettledMark { offset: Offset(mark), writes: 1, ..SettledMark::default() };
            let bounds = Bounds { start: Offset(log_start), end: Offset(90) };
            let expected = Offset(expected.start)..Offset(expected.end);
            assert_eq!(again(found, bounds, Offset(committed)), expected, "{mark} {log_start} {committed}");
        }
        check(12, 10, 20, 12..20);
        check(5, 10, 20, 10..20);
        check(5, 30, 20, 20..20);
        check(25, 10, 20, 20..20);
    }

    /// Alarms are on these counters.
    #[test]
    fn what_is_lost_read_again_or_vanished_is_counted_by_process_and_shard() {
        let metrics = install_metrics(&[metric_names::ALL]).expect("no other test installs a recorder");
        let check = |role, expected: &[&str]| {
            let world = World::new(1, &["job"]);
            // Of a name that no other test counts under.
            let store: Arc<dyn SummaryStore> = Arc::new(ModelStore::new("counted", 1, world.bell.clone()));
            let plan = world.plan(role, quick(DeliverySettings::of_sink()));
            let log = world.shared_log();
            let shared = TaskContext::new(plan, &log, &store, &world.health, &StopSignal::new()).unwrap();
            let topic = Arc::clone(&world.jobs[0].summary);
            shared.count_lost(&topic, Partition(0), Offset(10), Offset(13));
            shared.count_lost(&topic, Partition(0), Offset(13), Offset(13));
            shared.report_restored(0, &topic, Partition(0), Offset(20)..Offset(25));
            assert_eq!(shared.report_vanished(0, &topic, Partition(0), Offset(30)..Offset(37)), 7);
            let rendered = metrics.render();
            let found: Vec<&str> = rendered.lines().filter(|line| line.contains("counted")).collect();
            assert!(expected.iter().all(|line| found.contains(line)), "{found:#?}");
        };
        let shard = ModelStore::new("counted", 1, World::new(1, &["job"]).bell.clone()).shards().remove(0);
        let line = |name: &str, count: u32| {
            format!("yahtzee_{name}_total{{store=\"counted\",shard=\"{shard}\"}} {count}")
        };
        let lines = [line("sink_reread", 5), line("sink_vanished", 7)];
        check(
            DeliveryRole::Sink { has_retry: true },
            &["yahtzee_sink_lost_total{store=\"counted\"} 3", &lines[0], &lines[1]],
        );
        let lines = [line("retry_reread", 5), line("retry_vanished", 7)];
        check(
            DeliveryRole::Retry { shard: None },
            &["yahtzee_retry_lost_total{store=\"counted\"} 3", &lines[0], &lines[1]],
        );
    }
}
