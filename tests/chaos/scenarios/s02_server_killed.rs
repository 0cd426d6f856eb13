//! S2: a server is killed while a batch is being written: in turn at any time, and while a statement of the batch waits
//! for a lock. It comes back on its data after a moment.

use std::time::Duration;

use anyhow::Result;

use crate::postgres::{Database, FIRST, SECOND};
use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    let mut is_locked = true;
    while !rig.is_over() {
        let time = rig.rng.time(Duration::ZERO, rig.options.interval());
        rig.pause(time)?;
        let server = if rig.rng.one_in(2) { FIRST } else { SECOND };
        let away = rig.rng.time(Duration::ZERO, Duration::from_secs(1));
        let of_server: Vec<Database> = rig.databases()?.on(server).cloned().collect();
        let shard = &of_server[rig.rng.below(of_server.len() as u64) as usize];
        // The locks end with the server.
        let locks = is_locked.then(|| rig.lock_under_batch(shard)).transpose()?;
        rig.server_down(server, away)?;
        drop(locks);
        is_locked = !is_locked;
        rig.wait_for_rows(|shard| shard.server == server)?;
    }
    Ok(())
}
