//! What the state of many series takes: windows are filled and left open.

use std::ops::Add as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, fmt};

use anyhow::{Context, Result, ensure};
use prost::Message;
use serde::{Deserialize, Serialize};
use yahtzee_core::partition::PartitionCore;
use yahtzee_core::record::{LogRecord, Offset, RecordOutcome};
use yahtzee_core::series::StateBytes;
use yahtzee_core::window::Policy;
use yahtzee_jobs::router_latency::RouterLatency;

use crate::fold::open_fresh;
use crate::measure::resident_bytes;
use crate::site::partitions;
use crate::traffic::PARTITIONS;
use yahtzee_loadgen::population::{Mix, Population, owner_of};

/// Hidden subcommand that fills one state and prints its [`StateRun`] as JSON: `run-state MIX SERIES`.
pub const RUN_STATE: &str = "run-state";

/// Windows that are filled; all of them stay open.
const WINDOWS: u64 = 5;
/// Far enough from the end of a window for a request and its frame to lie in it.
const WITHIN_WINDOW_MS: u64 = 30_000;
/// What ten million series with five windows must fit into.
const GOAL_SERIES: u64 = 10_000_000;
const GOAL_BYTES: f64 = 24.0 * 1_073_741_824.0;

/// What a state takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRun {
    /// Name of the mix.
    pub mix: String,
    /// Apps, each with one series.
    pub series: u64,
    /// Series over all windows: those that have a request there.
    pub series_windows: u64,
    /// Requests folded in.
    pub measurements: u64,
    /// Growth of the resident memory of the process, in bytes.
    pub resident_bytes: u64,
    /// Of the states: [`StateBytes::states`].
    pub states_bytes: u64,
    /// [`StateBytes::accumulators_heap`].
    pub accumulators_heap_bytes: u64,
    /// [`StateBytes::tables`].
    pub tables_bytes: u64,
    /// [`StateBytes::frames`].
    pub frames_bytes: u64,
}

/// Folds five windows of router traffic of `series` apps into eight partitions, and weighs what is then open.
///
/// # Errors
/// Where `/proc` does not tell the memory of the process, or something was not folded.
pub fn fill(mix: Mix, series: u64) -> Result<StateRun> {
    let unlimited = Policy::SERIES_MAX;
    let policy = Policy { series_max: unlimited, series_per_owner_max: unlimited, ..Policy::default() };
    let population = Population::new(series, mix);
    let before = resident_bytes().context("/proc/self/status has no VmRSS")?;
    let job = Arc::new(RouterLatency);
    let mut cores: Vec<_> =
        partitions().into_iter().map(|partition| open_fresh(&job, policy, partition, Offset(0))).collect();
    let mut next_offsets = [0; PARTITIONS as usize];
    let mut measurements = 0;
    for window in 0..WINDOWS {
        let timestamp_ms = (window * u64::from(policy.length_ms) + WITHIN_WINDOW_MS).cast_signed();
        let mut value = Vec::new();
        for frame in population.frames(window, timestamp_ms * 1_000) {
            let owner = owner_of(&frame);
            let partition = owner.partition(PARTITIONS).0 as usize;
            value.clear();
            frame.encode(&mut value)?;
            let offset = Offset(next_offsets[partition]);
            next_offsets[partition] += 1;
            let record = LogRecord { offset, timestamp_ms, key: &owner.0, value: &value };
            measurements += fold(&mut cores[partition], record, frame.measurements.len())?;
        }
    }
    let after = resident_bytes().context("/proc/self/status has no VmRSS")?;
    let bytes = cores.iter().map(PartitionCore::state_bytes).fold(StateBytes::default(), StateBytes::add);
    let open = cores.iter().map(PartitionCore::status);
    ensure!(open.clone().all(|status| status.open_windows as u64 == WINDOWS), "a window is missing");
    Ok(StateRun {
        mix: mix.name().to_owned(),
        series,
        series_windows: open.map(|status| status.series as u64).sum(),
        measurements,
        resident_bytes: after.saturating_sub(before),
        states_bytes: bytes.states as u64,
        accumulators_heap_bytes: bytes.accumulators_heap as u64,
        tables_bytes: bytes.tables as u64,
        frames_bytes: bytes.frames as u64,
    })
}

/// Folds a record of which every measurement must be accepted.
fn fold(core: &mut PartitionCore<RouterLatency>, record: LogRecord<'_>, measurements: usize) -> Result<u64> {
    let mut effects = Vec::new();
    let fate = core.ingest(record, &mut effects);
    let is_whole =
        matches!(fate, RecordOutcome::Folded(outcomes) if outcomes.accepted == measurements as u64);
    ensure!(is_whole && effects.is_empty(), "of {measurements} measurements not all were folded: {fate:?}");
    Ok(measurements as u64)
}

/// [`fill`] in a process of its own, so that no memory of another run is counted or used again.
///
/// # Errors
/// As there, or where the process cannot be started.
pub fn fill_in_child(mix: Mix, series: u64) -> Result<StateRun> {
    let mut child = Command::new(env::current_exe()?);
    child.args([RUN_STATE, mix.name(), &series.to_string()]).stderr(Stdio::inherit());
    let output = child.output()?;
    ensure!(output.status.success(), "the run ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

impl StateRun {
    fn per_series_window(&self, bytes: u64) -> f64 {
        bytes as f64 / self.series_windows as f64
    }

    fn accounted_bytes(&self) -> u64 {
        self.states_bytes + self.accumulators_heap_bytes + self.tables_bytes + self.frames_bytes
    }
}

impl fmt::Display for StateRun {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mix, series, series_windows, measurements, .. } = self;
        let each = |bytes| self.per_series_window(bytes);
        let goal_bytes = self.resident_bytes as f64 * GOAL_SERIES as f64 / *series as f64;
        writeln!(
            formatter,
            "state/series {mix}: {series} series, {WINDOWS} windows, {series_windows} series-windows, {measurements} \
             requests"
        )?;
        writeln!(
            formatter,
            "  bytes per series-window: {:.0} resident, {:.0} accounted = {:.0} states + {:.0} heap of accumulators \
             + {:.0} tables + {:.0} frame ids",
            each(self.resident_bytes),
            each(self.accounted_bytes()),
            each(self.states_bytes),
            each(self.accumulators_heap_bytes),
            each(self.tables_bytes),
            each(self.frames_bytes),
        )?;
        let (verb, verdict) = (
            if *series == GOAL_SERIES { "take" } else { "would take" },
            if goal_bytes <= GOAL_BYTES { "within" } else { "BEYOND" },
        );
        write!(
            formatter,
            "  {GOAL_SERIES} series {verb} {:.1} GiB, {verdict} 24 GiB",
            goal_bytes / GOAL_BYTES * 24.0
        )
    }
}
