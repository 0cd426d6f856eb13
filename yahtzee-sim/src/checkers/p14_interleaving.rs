//! P14: what a partition emits for good does not depend on how its records interleave with those of others.

use crate::broker::Body;
use crate::config::{Config, WHOLE_WRITE};
use crate::failure::{Findings, Property};
use crate::mutants::Mutant;
use crate::ops::{Fault, Op};
use crate::raw::RawLog;
use crate::world::World;

const PROCESS: u64 = 1;

pub(crate) fn check(config: &Config, logs: &[RawLog], mutant: &Mutant, findings: &mut Findings) {
    if config.partitions < 2 {
        return;
    }
    let one = emissions(config, logs, mutant, 1);
    let two = emissions(config, logs, mutant, 7);
    if let Some(partition) = (0..one.len()).find(|&partition| one[partition] != two[partition]) {
        findings.fail(Property::Interleaving, || {
            format!("partition {partition}: other finals when read in batches of 7 than one by one")
        });
    }
}

/// Everything final that each partition emits when its slots are read in batches of `records`.
fn emissions(config: &Config, logs: &[RawLog], mutant: &Mutant, records: u64) -> Vec<Vec<String>> {
    // A panic that meets a write under way makes a worker write it again, which is no matter of interleaving.
    let whole = Config { write_max: WHOLE_WRITE, write_bytes_max: 0, ..*config };
    let config = Config { is_fenced: 0, folds_beside_writes: 0, ..whole };
    let mut world = World::new(config, mutant);
    world.logs = logs.to_vec();
    world.logs.iter_mut().for_each(|log| log.start = 0);
    world.apply(&Op::Start { process: PROCESS, generation: 1, index: 0, count: 1 });
    let longest = logs.iter().map(RawLog::end).max().unwrap_or(0);
    for turn in 0..(longest / records + 4) * config.partitions * 3 {
        let fault = Fault::None;
        world.apply(&Op::Step { process: PROCESS, slot: turn, records, fault });
    }
    world.apply(&Op::Turn { process: PROCESS });
    world.apply(&Op::Drain { process: PROCESS });
    world.apply(&Op::Turn { process: PROCESS });
    let mut emissions = vec![Vec::new(); logs.len()];
    for record in &world.broker.topic {
        if !matches!(&record.body, Body::Summary { provenance, .. } if !provenance.is_final) {
            emissions[record.partition as usize].push(format!("{:?}", record.body));
        }
    }
    emissions
}
