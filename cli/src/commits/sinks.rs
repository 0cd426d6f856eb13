//! The commits of the sinks of a job: how far each store has its summaries.

use std::fmt::{self, Write as _};

use serde::Serialize;
use yahtzee_core::delivery::CommittedMarks;
use yahtzee_core::owner::Partition;
use yahtzee_runtime::log::{Bounds, CommittedOffset, Log, LogError, TopicDescription};
use yahtzee_storage::job_topics::{JobTopics, sink_group};

/// Names of the stores, as their sinks' groups have them.
const STORES: [&str; 2] = ["embedded", "postgres"];

/// The commits of one sink.
#[derive(Serialize)]
pub(super) struct SinkCommits {
    store: &'static str,
    consumer_group: String,
    summary_topic: String,
    partitions: Vec<SinkPartition>,
}

/// The commit of a sink in one partition.
#[derive(Serialize)]
struct SinkPartition {
    partition: u32,
    log_start: u64,
    log_end: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    committed_offset: Option<u64>,
    lag: u64,
    flags: Vec<SinkFlag>,
}

/// A fault that an operator should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum SinkFlag {
    /// Retention has deleted summaries that were not stored.
    BelowLogStart {
        /// Their number.
        lost: u64,
    },
    /// The topic ends before what was stored from it.
    AboveLogEnd,
    /// The topic was deleted and created again.
    OtherTopic,
}

impl fmt::Display for SinkFlag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BelowLogStart { lost } => write!(
                formatter,
                "below the log start: retention has deleted {lost} summaries that were not stored; `yahtzee verify` names \
                 the rows that are missing, `yahtzee replay` makes them anew"
            ),
            Self::AboveLogEnd => formatter.write_str(
                "above the log end: the topic was made anew or has lost its end; the sink reads all of it again when it \
                 starts",
            ),
            Self::OtherTopic => formatter.write_str(
                "the commit belongs to a topic since deleted; the sink reads all of the new one when it starts",
            ),
        }
    }
}

/// Returns the commits of all sinks of a job that have ever committed.
pub(super) fn of_job(log: &dyn Log, topics: &JobTopics, version: &str) -> Result<Vec<SinkCommits>, LogError> {
    let Some(topic) = log.describe_topic(&topics.summary)? else { return Ok(Vec::new()) };
    let partitions: Vec<Partition> = (0..topic.partitions).map(Partition).collect();
    let bounds = log.bounds(&topics.summary, &partitions)?;
    let mut sinks = Vec::new();
    for store in STORES {
        let consumer_group = sink_group(store, &topics.job, version);
        let committed = log.committed(&consumer_group, &topics.summary, &partitions)?;
        if committed.iter().all(Option::is_none) {
            continue;
        }
        let each = partitions.iter().zip(committed).zip(&bounds);
        let partitions = each.map(|((partition, committed), bounds)| {
            SinkPartition::of(*partition, committed.as_ref(), bounds, &topic)
        });
        let (partitions, summary_topic) = (partitions.collect(), topic.name.clone());
        sinks.push(SinkCommits { store, consumer_group, summary_topic, partitions });
    }
    Ok(sinks)
}

impl SinkCommits {
    /// Returns one line and the partitions with a fault, or `all` of them.
    pub(super) fn text(&self, all: bool) -> String {
        let Self { store, consumer_group, summary_topic, partitions } = self;
        let fine = partitions.iter().filter(|part| part.flags.is_empty()).count();
        let fine = fine_text(fine, partitions.len());
        let lag: u64 = partitions.iter().map(|part| part.lag).sum();
        let mut text = format!("  sink into {store}  {fine}, lag {lag}  {summary_topic}  {consumer_group}\n");
        let mut shown = partitions.iter().filter(|part| all || !part.flags.is_empty()).peekable();
        if shown.peek().is_some() {
            text += "  part    offset c       lag  log\n";
        }
        for SinkPartition { partition, log_start, log_end, committed_offset, lag, flags } in shown {
            let offset = committed_offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
            text += &format!("  {partition:>4}  {offset:>10} {lag:>9}  {log_start}..{log_end}\n");
            flags
                .iter()
                .for_each(|flag| writeln!(text, "        ! {flag}").expect("a String takes any text"));
        }
        text
    }
}

/// Returns how many of the partitions need no look, in words.
pub(super) fn fine_text(fine: usize, partitions: usize) -> String {
    match partitions {
        _ if fine == partitions => format!("{partitions} partitions fine"),
        _ => format!("{fine} of {partitions} partitions fine"),
    }
}

impl SinkPartition {
    fn of(
        partition: Partition,
        committed: Option<&CommittedOffset>,
        bounds: &Bounds,
        topic: &TopicDescription,
    ) -> Self {
        let offset = committed.map(|committed| committed.offset);
        let begin = offset.unwrap_or(bounds.start).max(bounds.start);
        Self {
            partition: partition.0,
            log_start: bounds.start.0,
            log_end: bounds.end.0,
            committed_offset: offset.map(|offset| offset.0),
            lag: bounds.end.0.saturating_sub(begin.0),
            flags: committed.map(|committed| flags(committed, bounds, topic.id)).unwrap_or_default(),
        }
    }
}

fn flags(committed: &CommittedOffset, bounds: &Bounds, topic_id: [u8; 16]) -> Vec<SinkFlag> {
    let marks = CommittedMarks::read(&committed.metadata);
    match committed.offset {
        _ if marks.is_some_and(|marks| marks.topic_id != topic_id) => vec![SinkFlag::OtherTopic],
        offset if offset > bounds.end => vec![SinkFlag::AboveLogEnd],
        offset if offset < bounds.start => {
            vec![SinkFlag::BelowLogStart { lost: bounds.start.0 - offset.0 }]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use yahtzee_core::record::Offset;
    use yahtzee_runtime::log::Cleanup;

    use super::*;

    /// What retention has taken is lost, and told as that: it does not wait any more.
    #[test]
    fn the_lag_of_a_sink_is_what_the_log_still_has_for_it() {
        fn check(committed: Option<u64>, expected: u64) {
            let bounds = Bounds { start: Offset(10), end: Offset(90) };
            let topic = TopicDescription {
                name: "topic".to_owned(),
                id: [1; 16],
                partitions: 1,
                replication: 1,
                cleanup: Cleanup::Delete,
                retention_ms: None,
                timestamp_ahead_max_ms: None,
            };
            let at = |offset| CommittedOffset { offset: Offset(offset), metadata: String::new() };
            let of_sink = SinkPartition::of(Partition(0), committed.map(at).as_ref(), &bounds, &topic);
            assert_eq!(of_sink.lag, expected, "{committed:?}");
        }
        check(None, 80);
        check(Some(4), 80);
        check(Some(85), 5);
        check(Some(90), 0);
        check(Some(91), 0);
    }

    #[test]
    fn what_is_wrong_with_the_commit_of_a_sink_is_told() {
        fn check(offset: u64, metadata: String, expected: &[SinkFlag]) {
            let committed = CommittedOffset { offset: Offset(offset), metadata };
            let bounds = Bounds { start: Offset(10), end: Offset(90) };
            assert_eq!(flags(&committed, &bounds, [1; 16]), expected, "{committed:?}");
        }
        let of_topic = |topic_id| CommittedMarks { topic_id, ..CommittedMarks::default() }.metadata();
        check(10, String::new(), &[]);
        check(90, of_topic([1; 16]), &[]);
        check(9, of_topic([1; 16]), &[SinkFlag::BelowLogStart { lost: 1 }]);
        check(91, String::new(), &[SinkFlag::AboveLogEnd]);
        check(50, of_topic([2; 16]), &[SinkFlag::OtherTopic]);
        check(91, of_topic([2; 16]), &[SinkFlag::OtherTopic]);
    }
}
