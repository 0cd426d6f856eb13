//! The list of what is measured.

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use yahtzee_core::window::Policy;
use yahtzee_runtime::worker::Guarantee;

use crate::measure::Cost;
use crate::oracle::{self, Output};
use crate::site::Site;
use crate::traffic::{RawRecord, Shape, records_apart};
use crate::{client, fold, worker};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// Decoding and folding in memory
    Fold,
    /// Whole workers, and the no-op consumers of the same logs
    Worker,
    /// The no-op consumers alone
    Client,
    /// Everything
    All,
}

/// Where the input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Records in the memory of the process.
    Memory,
    /// An embedded log in a folder of its own.
    Embedded,
    /// Topics of a Kafka broker.
    Kafka,
}

/// What is done with the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Decode,
    DecodeView,
    Fold,
    FoldDecode(fold::Emission),
    Worker(Guarantee, Windows),
    ReadSeam,
    PollOneByOne,
}

/// What a worker keeps and how often it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Windows {
    /// As in production.
    Minute,
    /// Windows of a second, so that every second measurement makes a summary of its own: what writing costs shows.
    Second,
    /// The same, written every 10 ms: what every single write costs shows.
    SecondInSmallWrites,
}

const SMALL_WRITES_MS: u64 = 10;

const WORKS: &[(&str, Source, Work)] = &[
    ("decode", Source::Memory, Work::Decode),
    ("decode-view", Source::Memory, Work::DecodeView),
    ("fold", Source::Memory, Work::Fold),
    ("fold+decode", Source::Memory, Work::FoldDecode(fold::Emission::Live)),
    ("fold+decode-replay", Source::Memory, Work::FoldDecode(fold::Emission::Replay)),
    ("noop-seam-embedded", Source::Embedded, Work::ReadSeam),
    ("worker-embedded", Source::Embedded, Work::Worker(Guarantee::Fenced, Windows::Minute)),
    ("noop-seam-kafka", Source::Kafka, Work::ReadSeam),
    ("noop-poll-kafka", Source::Kafka, Work::PollOneByOne),
    ("worker-kafka-fenced", Source::Kafka, Work::Worker(Guarantee::Fenced, Windows::Minute)),
    ("worker-kafka-at-least-once", Source::Kafka, Work::Worker(Guarantee::AtLeastOnce, Windows::Minute)),
    ("worker-kafka-fenced-1s", Source::Kafka, Work::Worker(Guarantee::Fenced, Windows::Second)),
    ("worker-kafka-at-least-once-1s", Source::Kafka, Work::Worker(Guarantee::AtLeastOnce, Windows::Second)),
    (
        "worker-kafka-fenced-1s-small",
        Source::Kafka,
        Work::Worker(Guarantee::Fenced, Windows::SecondInSmallWrites),
    ),
    (
        "worker-kafka-at-least-once-1s-small",
        Source::Kafka,
        Work::Worker(Guarantee::AtLeastOnce, Windows::SecondInSmallWrites),
    ),
];

/// One measurement: a kind of work on a shape of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    work_name: &'static str,
    /// Where the input comes from.
    pub source: Source,
    work: Work,
    /// How measurements are spread over records.
    pub shape: Shape,
}

/// What one run of a case came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// CPU, wall time and memory of all passes.
    pub cost: Cost,
    /// How often the input was gone through.
    pub passes: u64,
    /// What one pass found.
    pub output: Output,
    /// Summaries written or handed out, in all passes.
    pub summaries: u64,
    /// Commits acknowledged, per partition.
    pub commits: u64,
}

impl Case {
    /// Every case.
    pub fn all() -> impl Iterator<Item = Self> {
        let case = |&(work_name, source, work)| {
            Shape::ALL.into_iter().map(move |shape| Self { work_name, source, work, shape })
        };
        WORKS.iter().flat_map(case)
    }

    /// The case of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|case| case.name() == name)
    }

    /// Its name: kind of work, `/`, shape.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.work_name, self.shape)
    }

    /// Whether `group` asks for it. No-op consumers stand beside the workers that they are compared with.
    #[must_use]
    pub fn is_in(&self, group: Group) -> bool {
        match group {
            Group::All => true,
            Group::Fold => self.source == Source::Memory,
            Group::Worker => self.source != Source::Memory,
            Group::Client => matches!(self.work, Work::ReadSeam | Work::PollOneByOne),
        }
    }

    /// The case that differs only in writing at least once, where this one is fenced.
    #[must_use]
    pub fn unfenced(&self) -> Option<Self> {
        let Work::Worker(Guarantee::Fenced, windows) = self.work else { return None };
        let work = Work::Worker(Guarantee::AtLeastOnce, windows);
        Self::all().find(|case| case.source == self.source && case.shape == self.shape && case.work == work)
    }

    /// Windows and flush interval in force.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let second = Policy { length_ms: 1_000, ..Policy::default() };
        match self.work {
            Work::Worker(_, Windows::Second) => second,
            Work::Worker(_, Windows::SecondInSmallWrites) => {
                Policy { flush_interval_ms: SMALL_WRITES_MS, ..second }
            }
            _ => Policy::default(),
        }
    }

    /// What every run must output.
    #[must_use]
    pub fn expected(&self, records: &[RawRecord]) -> Output {
        match self.work {
            Work::ReadSeam | Work::PollOneByOne => oracle::read(records),
            Work::Decode | Work::DecodeView => oracle::decoded(records),
            Work::Fold | Work::FoldDecode(_) | Work::Worker(..) => oracle::folded(records, &self.policy()),
        }
    }

    /// Runs it once in this process, at a site made for its source and shape.
    ///
    /// # Errors
    /// Where the site is of another source, and where the log fails or does not deliver.
    pub fn run(&self, site: &Site) -> Result<Run> {
        let (shape, policy) = (self.shape, self.policy());
        match (self.work, site) {
            (Work::Decode, Site::Memory { frames }) => Ok(fold::decode(&records_apart(shape, *frames))),
            (Work::DecodeView, Site::Memory { frames }) => {
                Ok(fold::decode_view(&records_apart(shape, *frames)))
            }
            (Work::Fold, Site::Memory { frames }) => Ok(fold::fold(&records_apart(shape, *frames), policy)),
            (Work::FoldDecode(emission), Site::Memory { frames }) => {
                Ok(fold::fold_decode(&records_apart(shape, *frames), policy, emission))
            }
            (Work::Worker(guarantee, _), Site::Log(site)) => worker::drain(site, guarantee, policy),
            (Work::ReadSeam, Site::Log(site)) => client::read_seam(site),
            (Work::PollOneByOne, Site::Log(site)) => client::poll_one_by_one(site),
            _ => bail!("{} cannot run at {site:?}", self.name()),
        }
    }
}
