//! C16: a slow wire, connections that are cut, and commits of which nobody knows whether the broker has got them, not
//! even the worker, which is killed before it does.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::rig::Rig;

const DELAY_MAX: Duration = Duration::from_millis(300);

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    while !rig.is_over() {
        let time = rig.rng.duration(rig.options.interval() / 4, rig.options.interval());
        let fault = rig.rng.below(3);
        let delay = rig.rng.duration(Duration::ZERO, DELAY_MAX);
        rig.note_outage();
        let proxy = rig.proxy.as_ref().context("this scenario runs through the proxy")?;
        match fault {
            0 => proxy.cut(),
            1 => proxy.delay(delay),
            _ => proxy.cut_commits(true),
        }
        rig.pause(time)?;
        if fault == 2 {
            // Whether its last commit has come through is for its successor to find out.
            let place = rig.kill_worker(0)?;
            rig.start_worker(place.index(), place.count())?;
        }
        let proxy = rig.proxy.as_ref().context("this scenario runs through the proxy")?;
        proxy.delay(Duration::ZERO);
        proxy.cut_commits(false);
    }
    Ok(())
}
