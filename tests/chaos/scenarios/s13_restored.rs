//! S13: a server's data folder is put back to an earlier copy, again and again, while sink and retry process run: what its
//! databases have lost is read again and comes to be right.

use anyhow::Result;

use crate::postgres::FIRST;
use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    let interval = rig.options.interval();
    rig.pause(interval)?;
    let backup = rig.back_up_server(FIRST)?;
    while !rig.is_over() {
        let time = rig.rng.duration(interval / 2, interval * 2);
        rig.pause(time)?;
        rig.restore_server(FIRST, &backup)?;
    }
    Ok(())
}
