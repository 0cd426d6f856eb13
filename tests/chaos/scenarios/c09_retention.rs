//! C9: all workers are killed, the log forgets records that they had still to read, they start again.
//!
//! In turn the log forgets records behind the committed position, which hits the windows open there, and beyond it,
//! which hits what nobody has seen. A third of the partitions keeps everything.

use std::time::Duration;

use anyhow::{Context, Result};
use yahtzee_core::commit::Commit;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use crate::admin;
use crate::gaps::Gap;
use crate::policy::PARTITIONS;
use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    let mut is_beyond = false;
    while !rig.is_over() {
        let interval = rig.options.interval();
        rig.pause(interval * 2)?;
        let places = rig.kill_all_workers()?;
        // Beyond: so long that the windows hit are over when the workers read on.
        let (short, long) = if is_beyond { (8_000, 12_000) } else { (500, 2_000) };
        let down = rig.rng.duration(Duration::from_millis(short), Duration::from_millis(long));
        rig.pause(down)?;
        rig.fence_all()?;
        forget(rig, is_beyond)?;
        for place in places {
            rig.start_worker(place.index(), place.count())?;
        }
        rig.wait_for_commits()?;
        is_beyond = !is_beyond;
    }
    Ok(())
}

/// Deletes records, and notes what a worker will find.
fn forget(rig: &mut Rig, is_beyond: bool) -> Result<()> {
    let partitions: Vec<Partition> = (0..PARTITIONS).map(Partition).collect();
    let committed = rig.cluster.log.committed(&rig.cluster.group, &rig.cluster.raw(), &partitions)?;
    let mut deleted = Vec::new();
    for (partition, committed) in partitions.into_iter().zip(committed) {
        let committed = committed.with_context(|| format!("nothing was ever committed of {partition}"))?;
        let (commit, _) =
            Commit::read(committed.offset, &committed.metadata).ok().context("a foreign commit")?;
        let end = rig.raw.seen().position(partition);
        let (low, high) =
            if is_beyond { (commit.position(), end) } else { (committed.offset, commit.position()) };
        if rig.rng.one_in(3) || low >= high {
            continue;
        }
        let log_start = Offset(rig.rng.from_to(low.0 + 1, high.0));
        deleted.push((partition, log_start));
        rig.gaps.push(Gap { partition, position: Some(commit.position()), log_start });
    }
    if deleted.is_empty() {
        Ok(())
    } else {
        admin::delete_records(&rig.cluster.brokers, &rig.cluster.raw(), &deleted)
    }
}
