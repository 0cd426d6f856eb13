//! CPU time, wall time and memory of a piece of work.

use std::fs;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What a piece of work has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// User and system time of all threads of this process, in nanoseconds; servers are other processes.
    pub cpu_ns: u64,
    /// Elapsed time in nanoseconds.
    pub wall_ns: u64,
    /// Most memory that the process has ever had resident, in bytes; 0 where `/proc` does not tell.
    pub peak_rss_bytes: u64,
}

/// Does the work and tells its cost. Under callgrind: `--toggle-collect='*measure::measured*'`.
#[inline(never)]
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let (wall, cpu_ns) = (Instant::now(), process_cpu_ns());
    let done = work();
    let cost = Cost {
        cpu_ns: process_cpu_ns() - cpu_ns,
        wall_ns: u64::try_from(wall.elapsed().as_nanos()).unwrap_or(u64::MAX),
        peak_rss_bytes: peak_rss_bytes().unwrap_or(0),
    };
    (done, cost)
}

/// `getrusage`'s user and system time in one number, without its rounding to microseconds.
fn process_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanoseconds) = (time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned());
    seconds * 1_000_000_000 + nanoseconds
}

/// `VmHWM` of proc(5), which starts anew with every program; `getrusage` inherits its parent's.
fn peak_rss_bytes() -> Option<u64> {
    status_bytes("VmHWM:")
}

/// Memory of this process that is resident now.
pub(crate) fn resident_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

fn status_bytes(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1_024)
}
