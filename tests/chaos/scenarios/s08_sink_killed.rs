//! S8: kill -9 of the sink, often and at any time, so also between a batch and the commit of its offsets; and, where
//! chance would take long, while a batch waits for a lock and commits of other partitions go on.

use std::time::Duration;

use anyhow::Result;

use crate::rig::Rig;

/// Some commits, and less than a batch waits for a lock.
const COMMITS: Duration = Duration::from_millis(800);

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    while !rig.is_over() {
        let lives = rig.rng.duration(Duration::from_millis(100), Duration::from_secs(3));
        rig.pause(lives)?;
        let shard = rig.any_shard()?;
        let locks = rig.rng.one_in(2).then(|| rig.lock_under_batch(&shard)).transpose()?;
        if locks.is_some() {
            rig.pause(COMMITS)?;
        }
        rig.kill_sink()?;
        drop(locks);
    }
    Ok(())
}
