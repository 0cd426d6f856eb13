//! The memory that a worker can come to need: known before it starts.

use std::fs;

use serde::{Deserialize, Serialize};
use yahtzee_core::assignment::{WorkerIndex, partitions_of, slots_of};

use super::{JobPlan, READ_BACKLOG_BYTES_MAX, WRITE_MAX};

/// Mean bytes of a series in one window beside its accumulator: key, offsets, count, frame ids, what the accumulator
/// allocates. As measured with router latency and uneven traffic, under "What state takes" in `benches/README.md`.
const BYTES_BESIDE_ACCUMULATOR: u64 = 250;

/// Bytes of a summary that waits to be written: its key and value as measured there, and what holds them.
const EFFECT_BYTES: u64 = 360;

/// Bytes of what a job has to write at most when it reads on, and of what is being written.
const WAITING_BYTES: u64 = (READ_BACKLOG_BYTES_MAX + 2 * WRITE_MAX.bytes) as u64;

/// The memory that the windows of a worker's jobs, and the summaries that wait to be written, can come to need by configuration.
/// What the allocator adds, buffers of clients, and what one poll brings at once are not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBound {
    /// The most series over all jobs, partitions and open windows.
    pub series: u64,
    /// Bytes for them at a mean size per series of each job, and for the summaries of one slot of each job, which can all
    /// be due at once. Tenants decide how large a state becomes: that it stays below the limit is seen to while the worker
    /// runs ([`JobFailure::OutOfMemory`](super::JobFailure::OutOfMemory)).
    pub usual_bytes: u64,
    /// Bytes that they cannot outgrow, whatever tenants send: every frame remembered, every accumulator and summary as large as it can
    /// be, all summaries due at once. `None` where the accumulator of a job has no bound.
    pub greatest_bytes: Option<u64>,
}

/// The bytes that must fit, for a worker to start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryNeed {
    /// [`MemoryBound::usual_bytes`]. A worker that outgrows its limit all the same ends.
    #[default]
    Usual,
    /// [`MemoryBound::greatest_bytes`]. A worker never outgrows its limit, but for what one poll brings at once.
    Greatest,
}

impl MemoryBound {
    /// The bound of a worker that runs `plans` on its share of `partition_count` partitions in `slot_count` slots.
    #[must_use]
    pub fn of(plans: &[JobPlan], worker: WorkerIndex, slot_count: u32, partition_count: u32) -> Self {
        let partitions = |slot| partitions_of(slot, slot_count, partition_count).count() as u64;
        let slots: Vec<u64> = slots_of(worker, slot_count).map(partitions).collect();
        let (all, of_greatest) = (slots.iter().sum::<u64>(), slots.iter().max().copied().unwrap_or(0));
        let bounds = plans.iter().map(|plan| Self::of_job(plan, all, of_greatest));
        bounds.fold(Self { series: 0, usual_bytes: 0, greatest_bytes: Some(0) }, Self::and)
    }

    /// The bound of a job with so many partitions, and so many in its greatest slot.
    fn of_job(plan: &JobPlan, partitions: u64, of_greatest_slot: u64) -> Self {
        let JobPlan { job, policy, .. } = plan;
        let series = |partitions: u64| partitions.saturating_mul(policy.series_bound());
        let usual_state =
            series(partitions).saturating_mul(BYTES_BESIDE_ACCUMULATOR + job.accumulator_bytes());
        let usual_effects = series(of_greatest_slot).saturating_mul(EFFECT_BYTES);
        let summaries = series(partitions).saturating_mul(job.summary_effect_bytes_max());
        let greatest = |state: u64| {
            let state = partitions.saturating_mul(state);
            state.saturating_add(summaries).saturating_add(if partitions > 0 { WAITING_BYTES } else { 0 })
        };
        Self {
            series: series(partitions),
            usual_bytes: usual_state.saturating_add(usual_effects),
            greatest_bytes: job.state_bytes_max(policy).map(|most| greatest(most.total() as u64)),
        }
    }

    fn and(self, other: Self) -> Self {
        let greatest = self.greatest_bytes.zip(other.greatest_bytes);
        Self {
            series: self.series.saturating_add(other.series),
            usual_bytes: self.usual_bytes.saturating_add(other.usual_bytes),
            greatest_bytes: greatest.map(|(one, other)| one.saturating_add(other)),
        }
    }

    /// Refuses a bound whose `need` does not fit into `limit_bytes`.
    ///
    /// # Errors
    /// The text of what is too much, and what to do.
    pub fn check(self, need: MemoryNeed, limit_bytes: u64) -> Result<(), String> {
        let Self { series, usual_bytes, greatest_bytes } = self;
        let (bytes, sizes) = match (need, greatest_bytes) {
            (MemoryNeed::Usual, _) => (usual_bytes, "at their usual sizes"),
            (MemoryNeed::Greatest, Some(bytes)) => (bytes, "at their greatest"),
            (MemoryNeed::Greatest, None) => {
                return Err("a job has an accumulator without a greatest size, so that nothing is sure to be enough memory for it; \
                            give `worker.memory_need = \"usual\"`, or the accumulator its `HEAP_BYTES_MAX`"
                    .to_owned());
            }
        };
        if bytes <= limit_bytes {
            return Ok(());
        }
        Err(format!(
            "windows can come to hold {series} series, {} MiB {sizes}, and {} MiB are allowed; lower `series_max` of \
             the jobs, run more workers, or raise `worker.memory_max_mib`",
            bytes >> 20,
            limit_bytes >> 20
        ))
    }
}

/// Memory that this process may use: the limit of its control group, else all of the machine's. `None` where neither
/// can be read.
#[must_use]
pub fn memory_of_machine() -> Option<u64> {
    let group =
        fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    group.or_else(|| total_of(&fs::read_to_string("/proc/meminfo").ok()?))
}

fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::worker::tests::CountJob;

    /// All windows of all partitions count, and the summaries of the slot with the most partitions, which are due at once.
    #[test]
    fn the_greatest_slot_of_a_worker_decides_what_usually_waits_to_be_written() {
        let plan = JobPlan::new(Arc::new(CountJob));
        let per_partition = plan.policy.series_bound();
        let check = |worker: (u32, u32), slots: u32, all: u64, of_greatest: u64| {
            let worker = WorkerIndex::new(worker.0, worker.1).unwrap();
            let bound = MemoryBound::of(&[plan.clone(), plan.clone()], worker, slots, 5);
            let state = all * (BYTES_BESIDE_ACCUMULATOR + plan.job.accumulator_bytes());
            let bytes = 2 * per_partition * (state + of_greatest * EFFECT_BYTES);
            assert_eq!(
                (bound.series, bound.usual_bytes),
                (2 * all * per_partition, bytes),
                "{worker} {slots}"
            );
        };
        check((0, 1), 1, 5, 5);
        check((0, 1), 2, 5, 3);
        check((0, 1), 5, 5, 1);
        check((0, 2), 2, 3, 3);
        check((1, 2), 2, 2, 2);
        check((2, 3), 2, 0, 0);
    }

    /// With every partition it grows by the same, and by nothing else.
    #[test]
    fn at_the_greatest_every_partition_counts_with_all_its_summaries() {
        let plan = JobPlan::new(Arc::new(CountJob));
        let plans = std::slice::from_ref(&plan);
        let greatest =
            |partitions| MemoryBound::of(plans, WorkerIndex::ALONE, 1, partitions).greatest_bytes.unwrap();
        let of_partition = plan.job.state_bytes_max(&plan.policy).unwrap().total() as u64
            + plan.policy.series_bound() * plan.job.summary_effect_bytes_max();
        assert_eq!(greatest(1), of_partition + WAITING_BYTES);
        assert_eq!(greatest(3), 3 * of_partition + WAITING_BYTES);
        let in_slots = MemoryBound::of(plans, WorkerIndex::ALONE, 2, 3);
        assert_eq!(in_slots.greatest_bytes, Some(greatest(3)), "whichever slot they are in");
        let idle = MemoryBound::of(plans, WorkerIndex::new(2, 3).unwrap(), 2, 2);
        assert_eq!(idle.greatest_bytes, Some(0));
        assert!(plan.job.summary_effect_bytes_max() > EFFECT_BYTES);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_to_do() {
        let check = |need: MemoryNeed, limit_bytes: u64, refusal: &[&str]| {
            let bound =
                MemoryBound { series: 1_000_000, usual_bytes: 256 << 20, greatest_bytes: Some(900 << 20) };
            let error = bound.check(need, limit_bytes).err().unwrap_or_default();
            assert_eq!(error.is_empty(), refusal.is_empty(), "{error}");
            assert!(refusal.iter().all(|part| error.contains(part)), "{error}");
        };
        let (usual, greatest) = (MemoryNeed::Usual, MemoryNeed::Greatest);
        check(usual, 256 << 20, &[]);
        check(usual, 255 << 20, &["1000000 series, 256 MiB at their usual sizes", "255 MiB", "series_max"]);
        check(greatest, 900 << 20, &[]);
        check(
            greatest,
            899 << 20,
            &["1000000 series, 900 MiB at their greatest", "899 MiB", "memory_max_mib"],
        );
    }

    #[test]
    fn without_a_greatest_size_nothing_is_sure_to_be_enough() {
        let bound = MemoryBound { series: 1, usual_bytes: 1, greatest_bytes: None };
        assert_eq!(bound.check(MemoryNeed::Usual, 1), Ok(()));
        let refusal = bound.check(MemoryNeed::Greatest, u64::MAX).unwrap_err();
        assert!(refusal.contains("memory_need") && refusal.contains("HEAP_BYTES_MAX"), "{refusal}");
        let known = MemoryBound { greatest_bytes: Some(7), ..bound };
        assert_eq!((known.and(bound).greatest_bytes, known.and(known).greatest_bytes), (None, Some(14)));
    }

    #[test]
    fn the_machines_memory_is_read_in_bytes() {
        assert_eq!(total_of("MemFree: 1 kB\nMemTotal:   24576 kB\n"), Some(24 << 20));
        assert_eq!(total_of("nothing"), None);
    }
}
