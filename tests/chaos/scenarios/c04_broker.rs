//! C4: the broker is killed and started again on its data and its port, or stands still for a while.

use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use crate::rig::Rig;
use crate::servers::ServerProcess;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    let broker = ServerProcess::find("kafka", &rig.cluster.brokers)?;
    let longest = (rig.options.duration / 5).clamp(Duration::from_secs(2), Duration::from_secs(30));
    let mut kills = true;
    while !rig.is_over() {
        let interval = rig.options.interval();
        rig.pause(interval)?;
        let away = rig.rng.duration(Duration::from_secs(1), longest);
        rig.note_outage();
        if kills {
            rig.kills += 1;
            broker.signal(Signal::KILL)?;
            rig.pause(away / 2)?;
            broker.start_again()?;
        } else {
            broker.stand_still(|| rig.pause(away))?;
        }
        kills = !kills;
        rig.wait_for_commits()?;
    }
    Ok(())
}
