//! The bench: partitions, an ingress and a clock.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use prost::Message;
use yahtzee_core::job::Job;
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::record::MeasurementCounts;
use yahtzee_core::summary::{Provenance, SummaryKey};
use yahtzee_core::window::Policy;

use crate::partition::{BenchPartition, Fuse, LogEntry};
use crate::record_value::RecordValue;

/// When a bench begins: 2026-01-01T00:00:00Z, microseconds since 1970.
pub const START_US: i64 = 1_767_225_600_000_000;

/// A series in a window: owner, dimensions, and the window's number counted from the bench's start.
pub type SeriesWindow = (Owner, Vec<String>, i64);

/// A job in a small world. Calls can be chained; a failed expectation panics with what was expected.
///
/// ```
/// # use prost::Message;
/// # use yahtzee_core::{job::{Intake, Job, RawMessage}, owner::Owner};
/// # #[derive(Clone, PartialEq, Message)] struct Hits { #[prost(sint64, tag = "1")] time_us: i64 }
/// # impl RawMessage for Hits { fn frame_id(&self) -> &[u8] { &[] } }
/// # #[derive(Clone, PartialEq, Message)] struct Total { #[prost(uint64, tag = "16")] hits: u64 }
/// # struct CountHits;
/// # impl Job for CountHits {
/// #     const NAME: &'static str = "count-hits"; const MEASUREMENT: &'static str = "HIT";
/// #     const GENERATION: u32 = 1; const DIMENSIONS: &'static [&'static str] = &[];
/// #     type Record<'a> = Hits; type Accumulator = u64; type Summary = Total;
/// #     fn fold(&self, hit: &Hits, intake: &mut Intake<'_, Self>) { intake.add(hit.time_us, [], |hits| *hits += 1) }
/// #     fn summarize(&self, hits: &u64) -> Total { Total { hits: *hits } }
/// # }
/// use yahtzee_testkit::{Bench, START_US};
///
/// let app = Owner([1; 16]);
/// Bench::new(CountHits)
///     .partitions(2)
///     .feed(app, &Hits { time_us: START_US })
///     .flush()
///     .feed(app, &Hits { time_us: START_US })
///     .crash()
///     .restart()
///     .advance_minutes(7)
///     .assert_summaries(&[((app, vec![], 0), Total { hits: 2 })]);
/// ```
pub struct Bench<J: Job> {
    job: Arc<J>,
    policy: Policy,
    partitions: Vec<BenchPartition<J>>,
    elapsed_ms: u64,
    fuse: Fuse,
}

impl<J: Job> Bench<J> {
    /// Creates a bench with one partition and the job's own policy.
    #[must_use]
    pub fn new(job: J) -> Self {
        Self::with(Arc::new(job), None, 1)
    }

    pub(crate) fn with(job: Arc<J>, policy: Option<Policy>, partitions: u32) -> Self {
        let policy = policy.unwrap_or_else(|| Job::policy(&*job));
        let partition = |index| BenchPartition::new(Arc::clone(&job), policy, Partition(index), partitions);
        let partitions = (0..partitions).map(partition).collect();
        Self { job, policy, partitions, elapsed_ms: 0, fuse: None }
    }

    /// Sets the number of partitions; call it before anything is fed.
    #[must_use]
    pub fn partitions(self, count: u32) -> Self {
        Self::with(self.job, Some(self.policy), count.max(1))
    }

    /// Sets the policy; call it before anything is fed.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        let count = self.partition_count();
        Self::with(self.job, Some(policy), count)
    }

    /// Lets the process die at the write after `writes` more, even in the middle of a flush.
    #[must_use]
    pub fn dies_after(mut self, writes: usize) -> Self {
        self.fuse = Some(writes);
        self
    }

    /// Receives a raw record of `owner` now.
    #[must_use]
    pub fn feed(self, owner: Owner, record: &impl RecordValue) -> Self {
        self.feed_bytes(&owner.0, &record.value())
    }

    /// Receives any bytes now. If the key is no owner, they go to partition 0.
    #[must_use]
    pub fn feed_bytes(mut self, key: &[u8], value: &[u8]) -> Self {
        let count = self.partition_count();
        let partition = Owner::from_bytes(key).map_or(Partition(0), |owner| owner.partition(count));
        let entry = LogEntry { timestamp_ms: self.now_ms(), key: key.to_vec(), value: value.to_vec() };
        self.partitions[partition.0 as usize].append(entry);
        self
    }

    /// Lets a flush interval pass: changes are written and committed.
    #[must_use]
    pub fn flush(mut self) -> Self {
        self.elapsed_ms += self.policy.flush_interval_ms;
        let mut died = false;
        for partition in &mut self.partitions {
            died |= partition.flush(self.elapsed_ms, &mut self.fuse).is_err();
            if died {
                break;
            }
        }
        if died { self.crash().restart() } else { self }
    }

    /// Lets time pass: heartbeats arrive, and everything is flushed.
    #[must_use]
    pub fn advance_minutes(mut self, minutes: u64) -> Self {
        self.elapsed_ms += minutes * 60_000;
        let timestamp_ms = self.now_ms();
        for partition in &mut self.partitions {
            partition.append(LogEntry { timestamp_ms, key: Vec::new(), value: Vec::new() });
        }
        self.flush()
    }

    /// Kills the process (`kill -9`): all that was not written is lost.
    #[must_use]
    pub fn crash(mut self) -> Self {
        self.partitions.iter_mut().for_each(BenchPartition::crash);
        self
    }

    /// Starts a new process from the last commit.
    #[must_use]
    pub fn restart(mut self) -> Self {
        self.partitions.iter_mut().for_each(BenchPartition::start);
        self
    }

    /// Returns the outcomes of all measurements since the last start, and the number of poison records.
    #[must_use]
    pub fn outcomes(&self) -> (MeasurementCounts, u64) {
        let mut sum = MeasurementCounts::default();
        self.partitions.iter().for_each(|partition| sum.add(partition.outcomes));
        (sum, self.partitions.iter().map(|partition| partition.poison).sum())
    }

    /// Returns the newest summary of every series and window that a reader sees, with its provenance.
    #[must_use]
    pub fn summaries(&self) -> BTreeMap<SeriesWindow, (Provenance, J::Summary)> {
        let topics = self.partitions.iter().flat_map(|partition| &partition.topic);
        topics.map(|(key, value)| (self.series(key), split::<J>(value))).collect()
    }

    /// Returns key and value of each of them in wire form.
    #[must_use]
    pub fn summary_bytes(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.partitions.iter().flat_map(|partition| partition.topic.clone()).collect()
    }

    /// Expects that a reader sees exactly these summaries, in any order.
    ///
    /// # Panics
    /// If a reader sees others; with the differences.
    #[track_caller]
    pub fn assert_summaries(&self, expected: &[(SeriesWindow, J::Summary)])
    where
        J::Summary: PartialEq + Debug,
    {
        let seen = self.summaries();
        for (series, summary) in expected {
            let found = seen.get(series).map(|(_, summary)| summary);
            assert!(found == Some(summary), "{series:?}: expected {summary:?}, found {found:?}");
        }
        let is_expected = |series: &&SeriesWindow| expected.iter().any(|(expected, _)| expected == *series);
        let unexpected: Vec<&SeriesWindow> = seen.keys().filter(|series| !is_expected(series)).collect();
        assert!(unexpected.is_empty(), "there are summaries of {unexpected:?} too");
    }

    pub(crate) fn partition_count(&self) -> u32 {
        u32::try_from(self.partitions.len()).expect("a bench has few partitions")
    }

    pub(crate) fn cores(&self) -> impl Iterator<Item = &yahtzee_core::partition::PartitionCore<J>> {
        self.partitions.iter().filter_map(BenchPartition::core)
    }

    /// Returns the job's own message of an accumulator, encoded.
    pub(crate) fn summary_of(&self, accumulator: &J::Accumulator) -> Vec<u8> {
        self.job.summarize(accumulator).encode_to_vec()
    }

    /// Returns whether the fuse of [`Self::dies_after`] has burnt down.
    pub(crate) fn has_died(&self) -> bool {
        self.fuse.is_none()
    }

    fn now_ms(&self) -> i64 {
        START_US / 1_000 + i64::try_from(self.elapsed_ms).expect("a bench lives shortly")
    }

    fn series(&self, key: &[u8]) -> SeriesWindow {
        let key = SummaryKey::decode(key).expect("the core writes summary keys");
        let window = (key.window_start_ms - START_US / 1_000).div_euclid(i64::from(self.policy.length_ms));
        (key.owner, key.dimensions, window)
    }
}

/// Splits a summary value into its provenance and the job's own message.
fn split<J: Job>(value: &[u8]) -> (Provenance, J::Summary) {
    let (provenance, body) = Provenance::split(value).expect("the core writes provenance");
    (provenance, J::Summary::decode(body).expect("the job's own message"))
}
