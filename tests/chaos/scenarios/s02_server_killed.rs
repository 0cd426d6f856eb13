//! S2: a server is killed while a batch is being written: in turn at any time, and while a statement of the batch waits
//! for a lock. It comes back on its data after a moment.

use std::time::Duration;

use anyhow::Result;

use crate::postgres::{FIRST, SECOND};
use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    let mut is_locked = true;
    while !rig.is_over() {
        let time = rig.rng.duration(Duration::ZERO, rig.options.interval());
        rig.pause(time)?;
        let server = if rig.rng.one_in(2) { FIRST } else { SECOND };
        let away = rig.rng.duration(Duration::ZERO, Duration::from_secs(1));
        let shard = rig.any_shard_on(server)?;
        // The locks end with the server.
        let locks = is_locked.then(|| rig.lock_under_batch(&shard)).transpose()?;
        rig.server_down(server, |rig| rig.pause(away))?;
        drop(locks);
        is_locked = !is_locked;
    }
    Ok(())
}
