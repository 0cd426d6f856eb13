//! C13: other numbers of workers, in a loop. The new workers start first, so that for a while slots are claimed twice.

use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    for count in [3, 1, 3, 2].into_iter().cycle() {
        if rig.is_over() {
            break;
        }
        let interval = rig.options.interval();
        rig.pause(interval)?;
        let old = rig.take_all_workers();
        for index in 0..count {
            rig.start_worker(index, count)?;
        }
        let overlap = rig.rng.duration(Duration::ZERO, Duration::from_secs(2));
        rig.pause(overlap)?;
        old.iter().for_each(|worker| worker.process.signal(Signal::TERM));
        for mut worker in old {
            rig.expect_end(&mut worker, "after SIGTERM")?;
        }
        rig.wait_for_commits()?;
    }
    Ok(())
}
