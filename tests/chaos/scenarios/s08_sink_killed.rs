//! S8: kill -9 of the sink, often and at any time, so also between a batch and the commit of its offsets.

use std::time::Duration;

use anyhow::Result;

use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    while !rig.is_over() {
        let lives = rig.rng.time(Duration::from_millis(100), Duration::from_secs(3));
        rig.pause(lives)?;
        rig.kill_sink()?;
    }
    Ok(())
}
