//! The memory that a worker can come to need: known before it starts.

use std::fs;

use yahtzee_core::assignment::{WorkerIndex, partitions_of, slots_of};

use super::JobPlan;

/// Mean bytes of a series in one window beside its accumulator: key, offsets, count, frame ids, what the accumulator
/// allocates. As measured with router latency and uneven traffic, under "What state takes" in `benches/README.md`.
const BYTES_BESIDE_ACCUMULATOR: u64 = 250;

/// Bytes of a summary that waits to be written: its key and value as measured there, and what holds them.
const EFFECT_BYTES: u64 = 360;

/// The most series that the windows of a worker's jobs can hold, by configuration, and the memory that they need then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBound {
    /// Series over all jobs, partitions and open windows.
    pub series: u64,
    /// Bytes for them at a mean size per series of each job, and for the summaries of one slot of each job, which can all
    /// be due at once. Tenants decide how large a state becomes: that it stays below the limit is seen to while the worker
    /// runs ([`JobFailure::OutOfMemory`](super::JobFailure::OutOfMemory)).
    pub bytes: u64,
}

impl MemoryBound {
    /// The bound of a worker that runs `plans` on its share of `partition_count` partitions in `slot_count` slots.
    #[must_use]
    pub fn of(plans: &[JobPlan], worker: WorkerIndex, slot_count: u32, partition_count: u32) -> Self {
        let partitions = |slot| partitions_of(slot, slot_count, partition_count).count() as u64;
        let slots: Vec<u64> = slots_of(worker, slot_count).map(partitions).collect();
        let (all, of_greatest) = (slots.iter().sum::<u64>(), slots.iter().max().copied().unwrap_or(0));
        let of_job = |plan: &JobPlan| {
            let series = |partitions: u64| partitions.saturating_mul(plan.policy.series_bound());
            let state = series(all).saturating_mul(BYTES_BESIDE_ACCUMULATOR + plan.job.accumulator_bytes());
            let effects = series(of_greatest).saturating_mul(EFFECT_BYTES);
            Self { series: series(all), bytes: state.saturating_add(effects) }
        };
        let add = |sum: Self, of_job: Self| Self {
            series: sum.series.saturating_add(of_job.series),
            bytes: sum.bytes.saturating_add(of_job.bytes),
        };
        plans.iter().map(of_job).fold(Self { series: 0, bytes: 0 }, add)
    }

    /// Refuses a bound that does not fit into `limit_bytes`.
    ///
    /// # Errors
    /// The text of what is too much, and what to do.
    pub fn check(self, limit_bytes: u64) -> Result<(), String> {
        if self.bytes <= limit_bytes {
            return Ok(());
        }
        Err(format!(
            "windows can come to hold {} series, {} MiB at their usual sizes, and {} MiB are allowed; lower `series_max` of \
             the jobs, run more workers, or raise `worker.memory_max_mib`",
            self.series,
            self.bytes >> 20,
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
    fn the_greatest_slot_of_a_worker_decides_what_waits_to_be_written() {
        let plan = JobPlan::new(Arc::new(CountJob));
        let per_partition = plan.policy.series_bound();
        let check = |worker: (u32, u32), slots: u32, all: u64, of_greatest: u64| {
            let worker = WorkerIndex::new(worker.0, worker.1).unwrap();
            let bound = MemoryBound::of(&[plan.clone(), plan.clone()], worker, slots, 5);
            let state = all * (BYTES_BESIDE_ACCUMULATOR + plan.job.accumulator_bytes());
            let bytes = 2 * per_partition * (state + of_greatest * EFFECT_BYTES);
            assert_eq!(bound, MemoryBound { series: 2 * all * per_partition, bytes }, "{worker} {slots}");
        };
        check((0, 1), 1, 5, 5);
        check((0, 1), 2, 5, 3);
        check((0, 1), 5, 5, 1);
        check((0, 2), 2, 3, 3);
        check((1, 2), 2, 2, 2);
        check((2, 3), 2, 0, 0);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_to_do() {
        let bound = MemoryBound { series: 1_000_000, bytes: 256_000_000 };
        assert_eq!(bound.check(256_000_000), Ok(()));
        let refusal = bound.check(255_000_000).unwrap_err();
        assert!(refusal.contains("1000000 series") && refusal.contains("series_max"), "{refusal}");
    }

    #[test]
    fn the_machines_memory_is_read_in_bytes() {
        assert_eq!(total_of("MemFree: 1 kB\nMemTotal:   24576 kB\n"), Some(24 << 20));
        assert_eq!(total_of("nothing"), None);
    }
}
