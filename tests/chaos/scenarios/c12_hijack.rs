//! C12: somebody else starts a producer with a slot's transactional id. The worker must end, and the one that the
//! platform starts in its place takes the slot back.

use anyhow::{Context, Result};
use yahtzee_runtime::log::SlotName;

use crate::policy::SLOTS;
use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    while !rig.is_over() {
        let interval = rig.options.interval();
        rig.pause(interval)?;
        let slot = rig.rng.below(SLOTS.into()) as u32;
        let is_owner = |place: u32, count: u32| slot % count == place;
        let owner = rig.workers.iter().position(|it| is_owner(it.place.index(), it.place.count()));
        let mut victim = rig.take_worker(owner.context("every slot has a worker")?);
        rig.note_loss(&victim);
        drop(rig.cluster.log.slot_writer(&SlotName { group: rig.cluster.group.clone(), slot })?);
        rig.expect_end(&mut victim, "after its slot was taken")?;
        rig.start_worker(victim.place.index(), victim.place.count())?;
        rig.wait_for_commits()?;
    }
    Ok(())
}
