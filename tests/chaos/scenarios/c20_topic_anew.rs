//! C20: the raw topic is deleted and created again under its name, and its offsets begin anew.
//!
//! Workers run or stand still meanwhile, or start later; the new topic is short then, or longer than the old one was, so that every
//! offset that was to be read next is there. All workers must end and say so. Then the generation is raised, as the
//! message says, and the summaries must be those of what the new topic holds; what was published before stays where the
//! new topic has nothing for its owner and window.

use std::time::Duration;

use anyhow::Result;
use yahtzee_core::record::Offset;

use crate::admin;
use crate::eras::Meanwhile;
use crate::rig::Rig;

/// What a worker says, and what `yahtzee commits` calls it.
const REFUSALS: [&str; 1] = ["was deleted and created again"];
const FLAG: &str = "other-topic";
/// Every partition has been appended to by then, so that there is something to be flagged.
const SOME: Offset = Offset(1);

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    while !rig.is_over() {
        let interval = rig.options.interval();
        rig.pause(interval)?;
        let state = rig.rng.pick(&Meanwhile::ALL);
        let workers = rig.withdraw_workers(state)?;
        let ends = rig.cluster.ends(&rig.cluster.raw())?;
        make_anew(rig)?;
        let is_long = state == Meanwhile::Still || rig.rng.below(2) == 0;
        let wanted = if is_long { ends } else { vec![SOME; ends.len()] };
        fill(rig, &wanted)?;
        let flags = rig.commit_flags()?;
        rig.compare_flags(&flags, |_| Some(FLAG));
        let is_held = rig.rng.below(2) == 0;
        rig.set_input_held(is_held);
        let places = rig.expect_refusals(workers, |_| true, &REFUSALS)?;
        rig.go_on_with_next_generation(&places)?;
    }
    Ok(())
}

fn make_anew(rig: &mut Rig) -> Result<()> {
    rig.raw.end();
    admin::delete_topics(&rig.cluster.brokers, &[rig.cluster.raw()])?;
    rig.wait_until("the raw topic is there again", |rig| rig.cluster.create_raw_again().is_ok())?;
    rig.read_raw_anew(|_, _| true)
}

/// Writes heartbeats until every partition reaches as far as this.
fn fill(rig: &mut Rig, ends: &[Offset]) -> Result<()> {
    let filler = rig.start_fast_generator(Duration::ZERO, 0)?;
    let longest = ends.iter().map(|end| end.0).max().unwrap_or(0);
    let sent = filler.finish_with_heartbeats(longest + 1);
    rig.acknowledged.extend(sent.acknowledged);
    let ends = ends.to_owned();
    rig.wait_until("the new topic is read", |rig| crate::rig::is_seen(&rig.raw.seen(), &ends))
}
