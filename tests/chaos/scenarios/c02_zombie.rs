//! C2: a worker is stopped in the middle of whatever it does, its successor takes over, and then it goes on. It must
//! find itself fenced, or see that it stood still, and end. Without a fence it works on beside its successor for a while.

use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    let longest = (rig.options.duration / 4).clamp(Duration::from_secs(3), Duration::from_secs(20));
    while !rig.is_over() {
        let apart = rig.rng.duration(Duration::ZERO, rig.options.interval());
        rig.pause(apart)?;
        let at = rig.rng.below(rig.workers.len() as u64) as usize;
        let mut zombie = rig.take_worker(at);
        zombie.process.signal(Signal::STOP);
        rig.note_loss(&zombie);
        rig.zombies += 1;
        rig.start_worker(zombie.place.index(), zombie.place.count())?;
        rig.wait_for_commits()?;
        let stands_still = rig.rng.duration(longest / 4, longest);
        rig.pause(stands_still)?;
        zombie.process.signal(Signal::CONT);
        if rig.options.is_fenced() {
            rig.expect_end(&mut zombie, "after it went on beside its successor")?;
        } else {
            let beside = rig.rng.duration(Duration::ZERO, rig.options.interval());
            rig.pause(beside)?;
            zombie.process.signal(Signal::TERM);
            rig.expect_end(&mut zombie, "after SIGTERM")?;
        }
    }
    Ok(())
}
