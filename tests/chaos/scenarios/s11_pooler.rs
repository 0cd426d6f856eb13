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
                let away = rig.rng.time(Duration::ZERO, Duration::from_secs(4));
                pooler_down(rig, away)?;
            }
        }
    }
    Ok(())
}

fn pooler_down(rig: &mut Rig, away: Duration) -> Result<()> {
    let pooler = rig.server(POOLER)?;
    rig.kills += 1;
    pooler.kill()?;
    rig.pause(away)?;
    pooler.start_again()
}
