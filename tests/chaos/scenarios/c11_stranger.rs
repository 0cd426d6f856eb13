//! C11: a consumer that subscribes with our group. The broker then refuses plain commits of the group, but those in
//! transactions must go on, also those of workers that start while the stranger is there.

use anyhow::Result;

use crate::admin::Stranger;
use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    while !rig.is_over() {
        let interval = rig.options.interval();
        let stranger = Stranger::join(&rig.cluster.brokers, &rig.cluster.group, &rig.cluster.raw())?;
        rig.wait_for_commits()?;
        let place = rig.kill_worker(0)?;
        rig.start_worker(place.index(), place.count())?;
        rig.wait_for_commits()?;
        rig.pause(interval)?;
        drop(stranger);
        rig.pause(interval)?;
    }
    Ok(())
}
