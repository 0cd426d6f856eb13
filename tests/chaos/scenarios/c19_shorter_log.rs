//! C19: the raw log loses its newest records, among them some that workers have committed, and gives their offsets again.
//!
//! The broker is killed and starts with shorter segments, as after a lost disk or an unclean election. Workers run or
//! stand still meanwhile, or start later; they look before the log has grown past what they had read, or after. Those whose
//! partitions have lost something must end and say so, the others must go on. Then the generation is raised, as the
//! message says, and the summaries must be those of what the log has kept.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use yahtzee_core::commit::Commit;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use crate::eras::Meanwhile;
use crate::rig::Rig;
use crate::segments;
use crate::servers::ServerProcess;

/// Batches that a log loses at most; at 50 records a second, some seconds of them.
const BATCHES_MAX: u64 = 120;
/// What a worker says of a log that has lost what it had read, and what `yahtzee commits` calls it.
const REFUSALS: [&str; 2] = ["the raw log ends at offset", "the raw log has another record"];
const FLAG: &str = "above-log-end";

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    let broker = ServerProcess::find("kafka", &rig.cluster.brokers)?;
    while !rig.is_over() {
        let interval = rig.options.interval();
        rig.pause(interval)?;
        let state = rig.rng.pick(&Meanwhile::ALL);
        let workers = rig.withdraw_workers(state)?;
        let positions = positions(rig)?;
        let ends = lose(rig, &broker, &positions)?;
        let flags = rig.commit_flags()?;
        rig.compare_flags(&flags, |partition| ends.contains_key(&partition).then_some(FLAG));
        let has_grown = rig.rng.below(2) == 0;
        rig.set_input_held(!has_grown);
        if state != Meanwhile::Running && has_grown {
            rig.wait_until("the logs have grown past the commits", |rig| {
                let raw = rig.raw.seen();
                positions.iter().all(|(&partition, &position)| raw.position(partition) > position)
            })?;
        }
        let is_hit =
            |partitions: Vec<Partition>| partitions.iter().any(|partition| ends.contains_key(partition));
        let places = rig.expect_refusals(workers, is_hit, &REFUSALS)?;
        rig.go_on_with_next_generation(&places)?;
    }
    Ok(())
}

/// The position of every partition's commit.
fn positions(rig: &Rig) -> Result<BTreeMap<Partition, Offset>> {
    let partitions: Vec<Partition> = rig.partitions().collect();
    let committed = rig.cluster.log.committed(&rig.cluster.group, &rig.cluster.raw(), &partitions)?;
    let position = |(partition, committed): (Partition, Option<_>)| {
        let committed: yahtzee_runtime::log::CommittedOffset =
            committed.with_context(|| format!("nothing was ever committed of {partition}"))?;
        let read = Commit::read(committed.offset, &committed.metadata);
        let (commit, _) = read.ok().context("a foreign commit")?;
        Ok((partition, commit.position()))
    };
    partitions.into_iter().zip(committed).map(position).collect()
}

/// Kills the broker, takes the newest batches of a third of the partitions away, some of them below the commit, and starts
/// it again. Returns where those logs end now.
fn lose(
    rig: &mut Rig,
    broker: &ServerProcess,
    positions: &BTreeMap<Partition, Offset>,
) -> Result<BTreeMap<Partition, Offset>> {
    let (data, topic) = (broker.data()?, rig.cluster.raw());
    let always = Partition(rig.rng.below(positions.len() as u64) as u32);
    let mut ends = BTreeMap::new();
    rig.raw.end();
    rig.kills += 1;
    broker.kill()?;
    for (&partition, &position) in positions {
        if partition == always || rig.rng.one_in(3) {
            let batches = rig.rng.from_to(1, BATCHES_MAX) as usize;
            let end = segments::cut(&data, &topic, partition, position, batches)?;
            ends.extend(end.map(|end| (partition, end)));
        }
    }
    broker.start_again()?;
    rig.read_raw_anew(|partition, offset| ends.get(&partition).is_some_and(|&end| offset >= end))?;
    Ok(ends)
}
