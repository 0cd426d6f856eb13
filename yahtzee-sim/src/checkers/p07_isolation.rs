//! P7: with one owner's measurements left out, every other owner's final summaries have the same bytes.
//!
//! The owner's records stay, without what was in them: it is their content that a tenant decides. Where all owners
//! together can use up a window's room for series, they can push each other into `other` series by design.

use std::collections::BTreeMap;

use prost::Message;
use yahtzee_core::effect::Effect;
use yahtzee_core::owner::Partition;
use yahtzee_core::partition::{History, Start};
use yahtzee_core::record::Offset;

use super::describe;
use crate::config::Config;
use crate::failure::{Findings, Property};
use crate::ingress::Ingress;
use crate::job::{SimJob, SimRecord};
use crate::mutants::Mutant;
use crate::ops::Op;
use crate::raw::{RawEntry, RawLog, owner};
use crate::world::start_ms;

/// The owner that is left out; the generator lets this one misbehave.
const SILENCED: u64 = 0;

pub(crate) fn check(config: &Config, ops: &[Op], mutant: &Mutant, findings: &mut Findings) {
    if config.owners < 2 || config.owners * (config.series_per_owner_max + 1) > config.series_max {
        return;
    }
    let with = finals(config, &logs(config, ops, mutant, None), mutant);
    let without = finals(config, &logs(config, ops, mutant, Some(SILENCED)), mutant);
    let silenced = owner(SILENCED).0;
    let others = |key: &&Vec<u8>| !key.starts_with(&silenced);
    for key in with.keys().chain(without.keys()).filter(others) {
        if with.get(key) != without.get(key) {
            findings.fail(Property::Isolation, || format!("{}: depends on another owner", describe(key)));
        }
    }
}

/// The raw topic that ingress makes of the operations.
fn logs(config: &Config, ops: &[Op], mutant: &Mutant, silenced: Option<u64>) -> Vec<RawLog> {
    let mut logs = vec![RawLog::default(); config.partition_count() as usize];
    let mut ingress = Ingress::new(*config, mutant.shell);
    ingress.silenced = silenced;
    let mut now_ms = start_ms(config);
    for op in ops {
        if let Op::Advance { ms } = op {
            now_ms += i64::try_from(*ms).unwrap_or(0);
        }
        ingress.apply(op, &mut logs, now_ms);
    }
    now_ms += i64::try_from((config.lateness + config.future + 3) * config.length_ms + 2 * config.skew_ms)
        .unwrap_or(0);
    for partition in 0..config.partitions {
        ingress.apply(&Op::Heartbeat { partition }, &mut logs, now_ms);
    }
    logs
}

/// Offsets of the records that the job panics on.
fn panicking(log: &RawLog) -> Vec<Offset> {
    let panics = |entry: &RawEntry| matches!(entry, RawEntry::Record(record) if SimRecord::decode(&*record.value).is_ok_and(|it| it.panics));
    let offsets = (0..).zip(&log.entries).filter(|(_, entry)| panics(entry));
    offsets.map(|(offset, _)| Offset(offset)).collect()
}

/// Final summaries of one undisturbed pass over every partition.
fn finals(config: &Config, logs: &[RawLog], mutant: &Mutant) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut finals = BTreeMap::new();
    let mut effects = Vec::new();
    for (partition, log) in (0..).zip(logs) {
        let poisoned = panicking(log);
        let history = History {
            partition: Partition(partition),
            start: Start::Beginning,
            log_start: Offset(0),
            log_end: Offset(log.end()),
            poisoned: &poisoned,
        };
        let job = std::sync::Arc::new(SimJob { version: 1 });
        let identity = crate::slot::identity_of(config, 1, &crate::slot::Holder::default());
        let Ok(opened) = (mutant.open)(job, config.policy(), identity, history) else { continue };
        let mut core = opened.core;
        for (offset, entry) in (0..).zip(&log.entries) {
            if let RawEntry::Record(record) = entry {
                core.ingest(record.lend(offset), &mut effects);
            }
        }
    }
    for effect in effects {
        if let Effect::Emit(emit) = effect
            && emit.is_final
        {
            finals.insert(emit.key, emit.value);
        }
    }
    finals
}
