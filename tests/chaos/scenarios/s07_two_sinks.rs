//! S7: two sinks of one group carry the same summaries at once, as after a deploy that overlaps; now and then one of
//! them is killed. Their commits may overtake each other, their rows may not.

use anyhow::Result;

use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    while !rig.is_over() {
        let interval = rig.options.interval();
        rig.pause(interval)?;
        rig.kill_sink()?;
    }
    Ok(())
}
