//! Assigns partitions and shards to sources.

use yahtzee_core::owner::Partition;

use super::DeliveryRole;
use super::source::{Source, Stream};
use crate::job_topics::{JobTopics, retry_group, sink_group};
use crate::store::Shard;

/// Returns the sources of a task, by index: of a sink one per job, of a retry process one per shard.
pub(super) fn sources(
    jobs: &[JobTopics],
    role: DeliveryRole,
    version: &str,
    store: &str,
    shard_names: &[String],
) -> Vec<Source> {
    match role {
        DeliveryRole::Sink { .. } => {
            (0..).zip(jobs).map(|(job, topics)| of_sink(job, topics, version, store)).collect()
        }
        DeliveryRole::Retry { shard } => {
            let partitions = jobs.iter().map(|job| job.partitions).min().unwrap_or(1);
            let mut assignments = assignments(shard_names.len(), partitions);
            assignments.retain(|it| shard.is_none_or(|shard| it.shards.contains(&shard)));
            let group = retry_group(store, version);
            assignments.into_iter().map(|it| of_retry(jobs, it, &group, shard_names)).collect()
        }
    }
}

fn of_sink(job: usize, topics: &JobTopics, version: &str, store: &str) -> Source {
    let stream = |partition| Stream { job, topic: topics.summary.clone(), partition };
    Source::new(
        format!("sink-{}", topics.job),
        format!("sink of {}", topics.job),
        sink_group(store, &topics.job, version),
        topics.all_partitions().into_iter().map(stream).collect(),
        None,
    )
}

fn of_retry(jobs: &[JobTopics], assignment: RetryAssignment, group: &str, shard_names: &[String]) -> Source {
    let RetryAssignment { shards, partitions } = assignment;
    let names: Vec<&str> = shards.iter().map(|shard| shard_names[shard.index()].as_str()).collect();
    let name = names.join("+");
    if names.len() > 1 {
        tracing::warn!(shards = %name, "these shards share a partition of the RETRY topics, and a thread: give the \
            topics at least as many partitions as the store has shards");
    }
    let stream = |job: usize, partition| Stream { job, topic: jobs[job].retry.clone(), partition };
    let streams =
        (0..jobs.len()).flat_map(|job| partitions.iter().map(move |&partition| stream(job, partition)));
    let (part, task) = (format!("retry-{name}"), format!("retry of shard {name}"));
    Source::new(part, task, group.to_owned(), streams.collect(), Some((name, shards)))
}

/// Shards and partitions of one thread of a retry process.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RetryAssignment {
    /// Shards to feed; more than one only if there are fewer partitions than shards.
    shards: Vec<Shard>,
    /// The partition of the shards, and a share of the partitions without a shard: a changed shard map may have left
    /// records in those.
    partitions: Vec<Partition>,
}

/// Divides shards and partitions among threads: every shard and every partition belongs to exactly one, and a shard
/// to the same thread as its partition.
fn assignments(shards: usize, partitions: u32) -> Vec<RetryAssignment> {
    let shards = u32::try_from(shards).expect("shards are few");
    let threads = shards.min(partitions).max(1);
    let assignment = |thread: u32| RetryAssignment {
        shards: (0..shards).filter(|shard| shard % partitions == thread).map(Shard).collect(),
        partitions: (0..partitions)
            .filter(|partition| partition % threads == thread)
            .map(Partition)
            .collect(),
    };
    (0..threads).map(assignment).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn shards_and_partitions_are_divided_without_rest() {
        fn check(shards: usize, partitions: u32) {
            let assignments = assignments(shards, partitions);
            assert_eq!(assignments.len(), shards.min(partitions as usize));
            let all_shards: BTreeSet<u32> =
                assignments.iter().flat_map(|it| &it.shards).map(|it| it.0).collect();
            let all_partitions: BTreeSet<u32> =
                assignments.iter().flat_map(|it| &it.partitions).map(|it| it.0).collect();
            let counts = |of: fn(&RetryAssignment) -> usize| assignments.iter().map(of).sum::<usize>();
            assert_eq!((all_shards.len(), counts(|it| it.shards.len())), (shards, shards));
            assert_eq!(all_partitions.len(), partitions as usize);
            assert_eq!(counts(|it| it.partitions.len()), partitions as usize);
            for assignment in assignments {
                for shard in &assignment.shards {
                    assert!(
                        assignment.partitions.contains(&Partition(shard.0 % partitions)),
                        "{assignment:?}"
                    );
                }
            }
        }
        check(7, 32);
        check(7, 7);
        check(7, 4);
        check(1, 3);
        check(3, 1);
    }
}
