//! C17: the broker is killed or stands still, each time for another while, and every process must go on soon after,
//! and say meanwhile that it cannot.

use std::time::Duration;

use anyhow::Result;

use crate::rig::Rig;
use crate::servers::ServerProcess;

const AWAY_MIN: Duration = Duration::from_secs(1);
const AWAY_MAX: Duration = Duration::from_secs(60);
/// Between a round and the next, so that clients that were made anew have settled.
const QUIET: Duration = Duration::from_secs(2);

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    let broker = ServerProcess::find("kafka", &rig.cluster.brokers)?;
    let longest = (rig.options.duration / 5).clamp(AWAY_MIN * 2, AWAY_MAX);
    while !rig.is_over() {
        rig.pause(QUIET)?;
        // As many short ones as long ones, whatever is taken for long.
        let away = AWAY_MIN.mul_f64(longest.div_duration_f64(AWAY_MIN).powf(rig.rng.unit()));
        let is_killed = rig.rng.below(2) == 0;
        rig.note_outage();
        if is_killed {
            rig.kills += 1;
            broker.kill()?;
            rig.pause_without_broker(away)?;
            broker.start_again()?;
        } else {
            broker.stand_still(|| rig.pause_without_broker(away))?;
        }
        let how = if is_killed { "killed" } else { "stopped" };
        rig.measure_return(&format!("{how} for {away:.1?}"))?;
        rig.wait_for_readiness()?;
        rig.wait_for_commits()?;
    }
    Ok(())
}
