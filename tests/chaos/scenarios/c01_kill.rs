//! C1: kill -9 of a random worker every few seconds, half of the time right behind a commit that has let go of a window;
//! it is started again after up to a second.

use std::time::Duration;

use anyhow::Result;

use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    let interval = rig.options.interval();
    while !rig.is_over() {
        rig.pause(interval)?;
        if rig.rng.one_in(5) {
            rig.kill_sink()?;
        }
        let at = rig.rng.below(rig.workers.len() as u64) as usize;
        if rig.rng.one_in(2) {
            rig.wait_for_released_window(at)?;
        }
        let place = rig.kill_worker(at)?;
        let down = rig.rng.duration(Duration::ZERO, Duration::from_secs(1));
        rig.pause(down)?;
        rig.start_worker(place.index(), place.count())?;
    }
    Ok(())
}
