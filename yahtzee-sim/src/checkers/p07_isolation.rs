//! P7: with one owner's measurements left out, every other owner's final summaries have the same bytes.
//!
//! The owner's records stay, without what was in them: it is their content that a tenant decides. Where all owners
//! together can use up a window's room for series, that is asked only of those who keep within their shares, as long as
//! all shares together fit.

use std::collections::BTreeMap;

use prost::Message;
use yahtzee_core::effect::Effect;
use yahtzee_core::log_tail::RecordPrint;
use yahtzee_core::owner::{Owner, Partition};
use yahtzee_core::partition::{History, Start};
use yahtzee_core::record::{LogRecord, Offset};
use yahtzee_core::summary::SummaryKey;

use super::describe;
use crate::config::Config;
use crate::failure::{Findings, Property};
use crate::ingress::{Ingress, NODES};
use crate::job::{SimJob, SimRecord};
use crate::mutants::Mutant;
use crate::ops::Op;
use crate::raw::{RawEntry, RawLog, owner};
use crate::world::start_ms;

/// The owner that is left out; the generator lets this one misbehave.
const SILENCED: u64 = 0;

pub(crate) fn check(config: &Config, ops: &[Op], mutant: &Mutant, findings: &mut Findings) {
    let share = config.policy().series_share() as u64;
    // Each owner can have an `other` series besides.
    let fit = |series: u64, room: u64| config.owners * (series + 1) <= room;
    let all_fit = fit(config.series_per_owner_max, config.series_max);
    if config.owners < 2 || !all_fit && !fit(share, config.series_max / 2) {
        return;
    }
    let with = finals(config, &logs(config, ops, mutant, None), mutant);
    let without = finals(config, &logs(config, ops, mutant, Some(SILENCED)), mutant);
    let silenced = owner(SILENCED).0;
    let mut series_of_owner = BTreeMap::<(Owner, i64), u64>::new();
    for key in without.keys().filter_map(|key| SummaryKey::decode(key).ok()) {
        *series_of_owner.entry((key.owner, key.window_start_ms)).or_default() += 1;
    }
    let keeps_within_share = |key: &[u8]| {
        let parts = SummaryKey::decode(key).ok().map(|key| (key.owner, key.window_start_ms));
        parts.and_then(|parts| series_of_owner.get(&parts)).is_none_or(|&series| series <= share)
    };
    let others = |key: &&Vec<u8>| !key.starts_with(&silenced) && (all_fit || keeps_within_share(key));
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
    (0..NODES as u64).for_each(|node| ingress.apply(&Op::Clock { node, ahead_ms: 0 }, &mut logs, now_ms));
    for partition in 0..config.partitions {
        ingress.apply(&Op::Heartbeat { partition }, &mut logs, now_ms);
    }
    logs
}

/// The records that the job panics on.
fn panicking(log: &RawLog) -> Vec<RecordPrint> {
    let records = (0..).zip(&log.entries).filter_map(|(offset, entry)| match entry {
        RawEntry::Record(record) => Some(record.lend(offset)),
        RawEntry::Control => None,
    });
    let panics = |record: &LogRecord<'_>| SimRecord::decode(record.value).is_ok_and(|it| it.panics);
    records.filter(panics).map(|record| RecordPrint::of(&record)).collect()
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
            losses: &[],
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
