//! The broker of a run: its topics, and the process itself, which some scenarios kill.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::log::kafka::{KafkaLog, KafkaSettings};
use yahtzee_runtime::log::{Bounds, SharedLog};
use yahtzee_runtime::topics::{TopicLayout, group};

use crate::commits;
use crate::policy::{GENERATION, JOB, MEASUREMENT, PARTITIONS, SUMMARY};

/// Names the broker.
const BROKER: &str = "YAHTZEE_TEST_KAFKA";
/// Names the program that starts and stops it.
const XTASK: &str = "YAHTZEE_XTASK";

/// Topics of this run on a broker.
pub(crate) struct Cluster {
    pub(crate) brokers: String,
    pub(crate) log: SharedLog,
    pub(crate) layout: TopicLayout,
    /// Consumer group of the job.
    pub(crate) group: String,
}

impl Cluster {
    /// Connects to the broker of the environment and creates topics that nobody has used before.
    pub(crate) fn prepare(version: &str) -> Result<Self> {
        let brokers = std::env::var(BROKER).with_context(|| {
            format!("{BROKER} is not set; `cargo xtask chaos` starts a broker and sets it")
        })?;
        let log: SharedLog = Arc::new(KafkaLog::connect(KafkaSettings::new(&brokers))?);
        let layout = TopicLayout {
            version: version.to_owned(),
            partitions: PARTITIONS,
            raw_retention_ms: None,
            summary_retention_ms: None,
            store_retention_ms: None,
            ..TopicLayout::default()
        };
        for spec in layout.specs(MEASUREMENT, SUMMARY, false) {
            log.create_topic(&spec)?;
        }
        let group = group(JOB, GENERATION, version);
        // The first question about a group makes the broker create its topic of offsets.
        let raw = layout.raw(MEASUREMENT);
        while log.committed(&group, &raw, &[Partition(0)]).is_err()
            || log.describe_topic(commits::TOPIC)?.is_none()
        {
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Self { brokers, log, layout, group })
    }

    pub(crate) fn raw(&self) -> String {
        self.layout.raw(MEASUREMENT)
    }

    pub(crate) fn summary(&self) -> String {
        self.layout.summary(SUMMARY)
    }

    pub(crate) fn dead_letters(&self) -> String {
        self.layout.dead_letters(MEASUREMENT)
    }

    /// First and next offset of every partition of a topic.
    pub(crate) fn bounds(&self, topic: &str) -> Result<Vec<Bounds>> {
        let description = self.log.describe_topic(topic)?.context("the topic has gone")?;
        let partitions: Vec<Partition> = (0..description.partitions).map(Partition).collect();
        Ok(self.log.bounds(topic, &partitions)?)
    }

    /// Next offset of every partition of a topic.
    pub(crate) fn ends(&self, topic: &str) -> Result<Vec<Offset>> {
        Ok(self.bounds(topic)?.into_iter().map(|bounds| bounds.end).collect())
    }
}

/// The process of the broker, as `cargo xtask services` knows it.
pub(crate) struct BrokerProcess {
    xtask: PathBuf,
    address: String,
}

impl BrokerProcess {
    /// The broker at `address`, if it is the one that `cargo xtask services` has started.
    pub(crate) fn find(address: &str) -> Result<Self> {
        let beside = || Ok(std::env::current_exe()?.with_file_name("xtask"));
        let xtask =
            std::env::var_os(XTASK).map_or_else(beside, |path| Ok::<_, anyhow::Error>(path.into()))?;
        if !xtask.exists() {
            let xtask = xtask.display();
            bail!("{xtask} is missing, and only it can start the broker again: `cargo build -p xtask`");
        }
        let broker = Self { xtask, address: address.to_owned() };
        broker
            .pid()
            .context("this scenario kills the broker, so it must be one of `cargo xtask services`")?;
        Ok(broker)
    }

    /// Sends the broker a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid()?, signal).context("cannot send the broker a signal")
    }

    /// Starts it again on the same data and the same port, and waits until it answers.
    pub(crate) fn start_again(&self) -> Result<()> {
        self.ask(&["services", "up", "kafka", "--keep", "--json"])?;
        self.pid().map(drop).context("the broker did not come back under its address")
    }

    fn pid(&self) -> Result<Pid> {
        let answer = self.ask(&["services", "status", "--json"])?;
        let status: Json = serde_json::from_str(&answer)?;
        let broker = &status["kafka"];
        if broker["address"] != self.address.as_str() {
            bail!("`{} services status` knows no broker at {}", self.xtask.display(), self.address);
        }
        let pid = broker["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        pid.context("the broker has no process id")
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.xtask);
        let output = command.args(arguments).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot run {}", self.xtask.display()))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            bail!("`{} {}`: {text}", self.xtask.display(), arguments.join(" "));
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}
