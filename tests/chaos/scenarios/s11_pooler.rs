//! S11: the first server is reached through a pooler in transaction mode, which gives each transaction whatever session
//! is free. It is killed and started again now and then, and so are the sink and the retry process.

use std::time::Duration;

use anyhow::Result;

use crate::postgres::POOLER;
use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    while !rig.is_over() {
        let interval = rig.options.interval();
        rig.pause(interval)?;
        match rig.rng.below(3) {
            0 => rig.kill_sink()?,
            1 => rig.kill_retry()?,
            _ => {
                let away = rig.rng.duration(Duration::ZERO, Duration::from_secs(4));
                rig.server_down(POOLER, |rig| rig.pause(away))?;
            }
        }
    }
    Ok(())
}
