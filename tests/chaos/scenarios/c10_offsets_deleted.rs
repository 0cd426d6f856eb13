//! C10: the committed offsets are gone. Where the log still has everything, all of it is read again and gives the same;
//! where it has lost its beginning, what that may have hit is incomplete.

use anyhow::Result;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use crate::admin;
use crate::gaps::Gap;
use crate::policy::PARTITIONS;
use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    while !rig.is_over() {
        let interval = rig.options.interval();
        rig.pause(interval * 2)?;
        // A group with an open transaction cannot be deleted, so they end on SIGTERM.
        let places = rig.end_all_workers()?;
        forget(rig)?;
        for place in places {
            rig.start_worker(place.index(), place.count())?;
        }
        rig.wait_for_commits()?;
    }
    Ok(())
}

/// Deletes the offsets, and the first tenth of every other partition.
fn forget(rig: &mut Rig) -> Result<()> {
    admin::delete_group(&rig.cluster.brokers, &rig.cluster.group)?;
    let mut starts = rig.cluster.bounds(&rig.cluster.raw())?;
    let mut deleted = Vec::new();
    for (bounds, partition) in starts.iter_mut().zip((0..PARTITIONS).map(Partition)) {
        let tenth = (bounds.end.0 - bounds.start.0) / 10;
        if partition.0 % 2 == 0 && tenth > 0 {
            bounds.start = Offset(bounds.start.0 + tenth);
            deleted.push((partition, bounds.start));
        }
        if bounds.start > Offset(0) {
            rig.gaps.push(Gap { partition, position: None, log_start: bounds.start });
        }
    }
    admin::delete_records(&rig.cluster.brokers, &rig.cluster.raw(), &deleted)
}
