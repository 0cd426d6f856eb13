//! S2: a server is killed while a batch is being written: in turn at any time, and while a statement of the batch waits
//! for a lock. It comes back on its data after a moment.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::postgres::{Database, FIRST, SECOND, text_for_each_table};
use crate::rig::Rig;

/// A lock of the sink's gives up after two seconds, and is tried for again.
const WAITS_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    let mut is_locked = false;
    while !rig.is_over() {
        let time = rig.rng.time(Duration::ZERO, rig.options.interval());
        rig.pause(time)?;
        let server = if rig.rng.one_in(2) { FIRST } else { SECOND };
        let away = rig.rng.time(Duration::ZERO, Duration::from_secs(1));
        let of_server: Vec<Database> = rig.databases()?.on(server).cloned().collect();
        let shard = &of_server[rig.rng.below(of_server.len() as u64) as usize];
        match is_locked {
            true => kill_behind_lock(rig, shard, away)?,
            false => rig.server_down(shard.server, away)?,
        }
        is_locked = !is_locked;
        rig.wait_for_rows(|shard| shard.server == server)?;
    }
    Ok(())
}

/// Kills the server of a shard as soon as somebody waits for our lock on its tables.
fn kill_behind_lock(rig: &mut Rig, shard: &Database, away: Duration) -> Result<()> {
    let lock = shard.session()?;
    lock.run(&format!("BEGIN; {}", text_for_each_table(&lock, "LOCK TABLE {table} IN SHARE MODE")?))?;
    let watch = shard.session()?;
    let deadline = Instant::now() + WAITS_WITHIN;
    let waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while watch.texts(waits)?.is_empty() && Instant::now() < deadline {
        rig.pause(POLL)?;
    }
    rig.server_down(shard.server, away)
}
