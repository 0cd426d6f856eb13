//! S9: a server is down until summaries wait in RETRY; when it is back, the retry process is killed again and again
//! while it drains them, also while its batch waits for a lock.

use std::time::Duration;

use anyhow::Result;

use crate::postgres::SECOND;
use crate::rig::Rig;

/// After so many kills it is left alone for this time.
const KILLS_MAX: u32 = 8;
const LIVES_MAX: Duration = Duration::from_millis(1_500);
/// Some commits, and less than a batch waits for a lock.
const COMMITS: Duration = Duration::from_millis(800);
const POLL: Duration = Duration::from_millis(100);

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    while !rig.is_over() {
        round(rig)?;
    }
    Ok(())
}

/// One outage, and the drain after it. The shards of the other server keep up all the while.
pub(super) fn round(rig: &mut Rig) -> Result<()> {
    let interval = rig.options.interval();
    rig.server_down(SECOND, |rig| {
        rig.wait_until("summaries wait in RETRY", |rig| {
            rig.retry_waiting().is_ok_and(|waiting| waiting > 0)
        })?;
        rig.pause(interval)?;
        rig.others_keep_up(|shard| shard.server != SECOND)
    })?;
    let shard = rig.any_shard_on(SECOND)?;
    for _ in 0..KILLS_MAX {
        if rig.retry_waiting()? == 0 {
            break;
        }
        let locks = rig.rng.one_in(2).then(|| rig.lock_under_batch(&shard)).transpose()?;
        if locks.is_some() {
            rig.pause(COMMITS)?;
        }
        rig.kill_retry()?;
        drop(locks);
        let lives = rig.rng.duration(POLL, LIVES_MAX);
        rig.pause(lives)?;
    }
    rig.wait_for_retry()
}
