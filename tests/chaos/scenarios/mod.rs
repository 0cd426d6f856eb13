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
mod c17_return;
mod c18_fast_clock;
mod c19_shorter_log;
mod c20_topic_anew;
mod s00_short;
mod s01_shard_down;
mod s02_server_killed;
mod s03_rights;
mod s04_disk_full;
mod s05_poison;
mod s06_wire;
mod s07_two_sinks;
mod s08_sink_killed;
mod s09_retry_killed;
mod s10_midnight;
mod s11_pooler;
mod s13_restored;

use std::time::Duration;

use anyhow::Result;

use crate::rig::Rig;
use crate::stores::{StoreKind, Way};

/// A scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Workers at the start.
    pub(crate) workers: u32,
    /// A worker that stood still for longer ends itself.
    pub(crate) pause_max_ms: u64,
    /// Whether what is done can only be seen by workers that fence each other.
    pub(crate) needs_fence: bool,
    /// Whether the processes reach the broker through the proxy.
    pub(crate) through_proxy: bool,
    /// Whether an ingress receives a drain beside the generator.
    pub(crate) has_ingress: bool,
    pub(crate) store: StoreKind,
    /// Sinks at the start.
    pub(crate) sinks: u32,
    /// Time within which a raw record must be acknowledged.
    pub(crate) acknowledged_within: Duration,
    /// Whether the raw topic refuses stamps that are further ahead than clocks may be.
    pub(crate) bounds_stamps: bool,
    /// Whether clocks are put back so that midnight comes in the middle of the run.
    pub(crate) around_midnight: bool,
    /// Does harm until the time is up.
    pub(crate) run: fn(&mut Rig) -> Result<()>,
    /// What is left to be done after everything has settled.
    pub(crate) after: fn(&mut Rig) -> Result<()>,
}

/// Longer than a broker stays away.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(60);
/// As long as ingress waits for the log.
const AS_INGRESS: Duration = Duration::from_secs(2);
/// No worker ends itself because it has waited for a broker.
const BEYOND_OUTAGES_MS: u64 = 120_000;

const fn scenario(name: &'static str, about: &'static str, run: fn(&mut Rig) -> Result<()>) -> Scenario {
    Scenario {
        name,
        about,
        workers: 3,
        pause_max_ms: 30_000,
        needs_fence: false,
        through_proxy: false,
        has_ingress: false,
        store: StoreKind::Embedded,
        sinks: 1,
        acknowledged_within: ACKNOWLEDGED_WITHIN,
        bounds_stamps: false,
        around_midnight: false,
        run,
        after: |_| Ok(()),
    }
}

/// A scenario of the storage half: what is done is done to PostgreSQL and to what writes to it.
const fn of_storage(name: &'static str, about: &'static str, run: fn(&mut Rig) -> Result<()>) -> Scenario {
    Scenario { workers: 2, store: StoreKind::Postgres(Way::Direct), ..scenario(name, about, run) }
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
    Scenario {
        needs_fence: true,
        ..scenario("C12", "somebody else takes a slot's transactional id", c12_hijack::run)
    },
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
    Scenario {
        has_ingress: true,
        acknowledged_within: AS_INGRESS,
        pause_max_ms: BEYOND_OUTAGES_MS,
        ..scenario(
            "C17",
            "the broker is away for one second to a minute; how soon each process goes on is judged",
            c17_return::run,
        )
    },
    Scenario {
        bounds_stamps: true,
        has_ingress: true,
        ..scenario(
            "C18",
            "clocks are ahead by hours and days, of those who write records and of our processes",
            c18_fast_clock::run,
        )
    },
    scenario("C19", "the raw log loses its newest records, committed ones too", c19_shorter_log::run),
    scenario("C20", "the raw topic is deleted and created again", c20_topic_anew::run),
    Scenario {
        after: s05_poison::requeue,
        ..of_storage("S0", "S1, S5 and S9 in one, for a short run", s00_short::run)
    },
    of_storage("S1", "one of two servers is down, the shards of the other go on", s01_shard_down::run),
    of_storage("S2", "a server is killed while a batch is being written", s02_server_killed::run),
    of_storage("S3", "rights are taken away and given back, a day is dropped by hand", s03_rights::run),
    of_storage("S4", "the disk of a shard is full for a while", s04_disk_full::run),
    Scenario {
        after: s05_poison::requeue,
        ..of_storage("S5", "rows that a shard never takes go to quarantine alone", s05_poison::run)
    },
    Scenario {
        store: StoreKind::Postgres(Way::Wire),
        ..of_storage("S6", "connections are cut in the middle of a batch, or of a COPY", s06_wire::run)
    },
    Scenario { sinks: 2, ..of_storage("S7", "two sinks write the same at once", s07_two_sinks::run) },
    of_storage("S8", "kill -9 of the sink between store and commit", s08_sink_killed::run),
    of_storage("S9", "kill -9 of the retry process while it drains", s09_retry_killed::run),
    Scenario {
        around_midnight: true,
        after: s10_midnight::has_two_days,
        ..of_storage("S10", "midnight comes, with late data on both sides", s10_midnight::run)
    },
    Scenario {
        store: StoreKind::Postgres(Way::Pooler),
        ..of_storage("S11", "a pooler in transaction mode, which is killed now and then", s11_pooler::run)
    },
    Scenario {
        acknowledged_within: AS_INGRESS,
        pause_max_ms: BEYOND_OUTAGES_MS,
        ..of_storage("S12", "as C17, with what carries summaries into PostgreSQL", c17_return::run)
    },
    of_storage("S13", "a server's data folder is put back to an earlier copy", s13_restored::run),
    Scenario {
        bounds_stamps: true,
        has_ingress: true,
        ..of_storage("S14", "as C18, with what carries summaries into PostgreSQL", c18_fast_clock::run)
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
