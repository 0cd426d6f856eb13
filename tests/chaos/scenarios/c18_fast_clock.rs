//! C18: some who write raw records have clocks that are ahead, by as much as is allowed and by hours and days, and worker,
//! sink and ingress run with wrong clocks too. Nobody's windows close early, and no row expires.
//!
//! The raw topic bounds stamps as those of the product do, so that the last word of the run, which elsewhere lies in the
//! future, has to wait for its time.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::clocks::{ClockFigures, Clocks, WrongClock};
use crate::policy::CLOCK_SKEW_MS;
use crate::readiness::is_unready_for;
use crate::rig::Rig;

const SKEW: Duration = Duration::from_millis(CLOCK_SKEW_MS.unsigned_abs());
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Traffic is stamped up to the skew behind its clock, so that all of it is too far ahead from here on.
const TOO_FAR: Duration = Duration::from_millis(2 * CLOCK_SKEW_MS.unsigned_abs() + 500);
/// Beyond the retention of stores.
const WRONG_S: i64 = 40 * 24 * 3_600;
/// What an ingress says whose stamps the log refuses.
const REASON: &str = "clock";
/// Records per second of each who has a fast clock.
const RATE: u32 = 50;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    let mut clocks = Clocks::default();
    let clock = WrongClock::compile(&rig.launcher.folder)?;
    let within = rig.start_fast_generator(SKEW, RATE)?;
    let hours_s = rig.rng.from_to(1, 24 * 400) * 3_600;
    rig.launcher.clock = Some(clock.off_by(i64::try_from(hours_s)?));
    let fast_ingress = rig.launcher.ingress()?;
    rig.launcher.clock = None;
    clocks.figures.wrong_clocks += 1;
    let is_refused = || is_unready_for(&fast_ingress, REASON);
    rig.wait_until("the ingress whose clock is ahead says so", |_| is_refused().unwrap_or(false))?;
    let mut is_ahead = rig.rng.below(2) == 0;
    while !rig.is_over() {
        rig.launcher.clock = Some(clock.off_by(if is_ahead { WRONG_S } else { -WRONG_S }));
        is_ahead = !is_ahead;
        replace(rig)?;
        rig.launcher.clock = None;
        clocks.figures.wrong_clocks += 2;
        let how_far = how_far(rig);
        let beyond = rig.start_fast_generator(how_far, RATE)?;
        let interval = rig.options.interval();
        rig.pause(interval)?;
        clocks.findings.ready_ahead += u64::from(!is_refused()?);
        let sent = beyond.finish(None);
        clocks.figures.refused_ahead += sent.failed;
        clocks.findings.accepted_ahead += sent.acknowledged.len() as u64;
        rig.wait_for_commits()?;
    }
    fast_ingress.kill()?;
    let sent = within.finish(None);
    clocks.figures.accepted_within = sent.acknowledged.len() as u64;
    clocks.findings.refused_within = sent.failed;
    rig.acknowledged.extend(sent.acknowledged);
    let ClockFigures { refused_ahead, accepted_within, .. } = clocks.figures;
    rig.clocks = Some(clocks);
    let is_telling = refused_ahead > 0 && accepted_within > 0;
    ensure!(is_telling, "no stamp was ahead: the run was too short to tell anything");
    Ok(())
}

/// By how much one is ahead who is too far ahead.
fn how_far(rig: &mut Rig) -> Duration {
    match rig.rng.below(3) {
        0 => TOO_FAR,
        1 => rig.rng.duration(HOUR, DAY),
        _ => rig.rng.duration(DAY, DAY * 400),
    }
}

/// Ends a worker and the sink, and starts others, as the launcher starts them now.
fn replace(rig: &mut Rig) -> Result<()> {
    let at = rig.rng.below(rig.workers.len() as u64) as usize;
    let place = rig.kill_worker(at)?;
    rig.start_worker(place.index(), place.count())?;
    rig.kill_sink()
}
