//! S1: one of two servers is down for a minute, and three shards with it. The shards of the other one must keep up, no
//! row may be seen to go back, and in the end nothing is missing.

use std::time::Duration;

use anyhow::Result;

use crate::postgres::SECOND;
use crate::rig::Rig;

const DOWN_MAX: Duration = Duration::from_secs(60);

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    let down = (rig.options.duration / 2).min(DOWN_MAX);
    // Before it there is time to see how things go when nothing is wrong.
    rig.pause(rig.options.duration.saturating_sub(down) / 2)?;
    rig.server_down(SECOND, down)?;
    while !rig.is_over() {
        let interval = rig.options.interval();
        rig.pause(interval)?;
    }
    Ok(())
}
