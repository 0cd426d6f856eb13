//! C3: as a platform deploys: the new process starts, the old one gets SIGTERM at the same time or a little later.

use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    while !rig.is_over() {
        // The one that runs longest is first in the list, its successor is put at the end.
        let mut old = rig.take_worker(0);
        rig.note_loss(&old);
        rig.start_worker(old.place.index(), old.place.count())?;
        let overlap = rig.rng.duration(Duration::ZERO, Duration::from_secs(2));
        rig.pause(overlap)?;
        old.process.signal(Signal::TERM);
        rig.expect_end(&mut old, "after SIGTERM")?;
        let interval = rig.options.interval();
        rig.pause(interval)?;
    }
    Ok(())
}
