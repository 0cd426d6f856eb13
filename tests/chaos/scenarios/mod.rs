//! What is done to a run. One file each; [`ALL`] is the list.

mod c01_kill;
mod c02_zombie;
mod c03_rolling_restart;
mod c04_broker;
mod c09_retention;
mod c10_offsets_deleted;
mod c11_stranger;
mod c12_hijack;
mod c13_rescale;
mod c16_wire;

use anyhow::Result;

use crate::rig::Rig;

/// A scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Workers at the start.
    pub(crate) workers: u32,
    /// A worker that stood still for longer ends itself.
    pub(crate) pause_max_ms: u64,
    /// Whether the processes reach the broker through the proxy.
    pub(crate) through_proxy: bool,
    /// Does harm until the time is up.
    pub(crate) run: fn(&mut Rig) -> Result<()>,
}

const fn scenario(name: &'static str, about: &'static str, run: fn(&mut Rig) -> Result<()>) -> Scenario {
    Scenario { name, about, workers: 3, pause_max_ms: 30_000, through_proxy: false, run }
}

/// Every scenario, by number. The numbers are those of the test programme; what is missing needs other servers.
pub(crate) const ALL: &[Scenario] = &[
    scenario("C1", "kill -9 of a random worker, and now and then of the sink", c01_kill::run),
    Scenario {
        // Half of the pauses are longer: those workers end themselves, the others find themselves fenced.
        pause_max_ms: 5_000,
        ..scenario("C2", "a worker stands still, its successor starts, it goes on", c02_zombie::run)
    },
    scenario(
        "C3",
        "rolling restart: the new worker starts before the old one is asked to end",
        c03_rolling_restart::run,
    ),
    scenario("C4", "the broker is killed and started again, or stands still", c04_broker::run),
    scenario("C9", "the log forgets records while workers are down", c09_retention::run),
    scenario(
        "C10",
        "the committed offsets are deleted, with and without the start of the log",
        c10_offsets_deleted::run,
    ),
    scenario("C11", "somebody else subscribes with our consumer group", c11_stranger::run),
    scenario("C12", "somebody else takes a slot's transactional id", c12_hijack::run),
    Scenario {
        workers: 2,
        ..scenario("C13", "workers are rescaled 2, 3, 1, 3, ... with overlap", c13_rescale::run)
    },
    Scenario {
        through_proxy: true,
        ..scenario(
            "C16",
            "answers are delayed, connections cut, also in the middle of a commit",
            c16_wire::run,
        )
    },
];

/// The scenario of this name, in either case.
pub(crate) fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_own_scenario() {
        for scenario in ALL {
            let found = find(&scenario.name.to_lowercase()).map(|found| found.about);
            assert_eq!(found, Some(scenario.about), "{}", scenario.name);
        }
        assert!(find("C99").is_none());
    }
}
