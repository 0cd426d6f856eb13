//! S0: a round of S1, S5 and S9 in one, short enough for every test run: while shards refuse some rows, a server is
//! down, its shards get what waited for them from a retry process that is killed, and an operator requeues the rest.

use anyhow::Result;

use super::{s05_poison, s09_retry_killed};
use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    s05_poison::refuse(rig)?;
    while !rig.is_over() {
        s09_retry_killed::round(rig)?;
    }
    Ok(())
}
