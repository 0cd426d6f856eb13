//! S10: all clocks are put back so that midnight (UTC) comes in the middle of the run. Late measurements and those of
//! the future fall on both sides of it; the day before was created by nobody ahead of time. The sink is killed meanwhile.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use yahtzee_storage::store::Day;

use crate::rig::Rig;
use crate::rows;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    while !rig.is_over() {
        let interval = rig.options.interval();
        rig.pause(interval)?;
        rig.kill_sink()?;
    }
    Ok(())
}

/// A run without midnight would tell nothing.
pub(super) fn has_two_days(rig: &mut Rig) -> Result<()> {
    let mut days = BTreeSet::new();
    for shard in &rig.databases()?.shards {
        let rows = rows::read(&shard.session()?, false)?;
        days.extend(rows.iter().map(|row| Day::of_ms(row.key.window_start_ms)));
    }
    ensure!(days.len() == 2, "rows lie in {} days, not in two", days.len());
    Ok(())
}
