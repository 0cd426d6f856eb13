//! S7: two sinks of one group carry the same summaries at once, as after a deploy that overlaps. Now and then one of
//! them is killed, or stands still and goes on with what is long out of date. Their commits may overtake each other,
//! their rows may not.

use anyhow::Result;
use rustix::process::Signal;

use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    while !rig.is_over() {
        let interval = rig.options.interval();
        rig.pause(interval)?;
        if rig.rng.one_in(2) {
            rig.kill_sink()?;
            continue;
        }
        let number = rig.rng.below(rig.stores.sinks.len() as u64) as usize;
        rig.zombies += 1;
        rig.stores.sinks[number].signal(Signal::STOP);
        let paused = rig.pause(interval);
        rig.stores.sinks[number].signal(Signal::CONT);
        paused?;
    }
    Ok(())
}
