//! The verdict: what was published, beside what the oracle says.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use sha2::{Digest, Sha256};
use yahtzee_core::owner::Partition;
use yahtzee_core::summary::{Provenance, SummaryKey};

use crate::clocks::{ClockZeros, Clocks};
use crate::eras::{self, Era};
use crate::gaps::Named;
use crate::ingress::IngressSide;
use crate::logs;
use crate::policy::{PARTITIONS, WINDOW_MS};
use crate::raw::Raw;
use crate::report::{MustBeZero, Report, seconds};
use crate::returns;
use crate::rig::Rig;
use crate::stored;
use crate::summaries::percentile;

/// Keys and values.
pub(crate) type Listing = BTreeMap<Vec<u8>, Vec<u8>>;
/// Windows of partitions.
type Windows = BTreeSet<(Partition, i64)>;

/// Differences that are reported in words.
const REPORTED_MAX: usize = 5;

/// Judges a run that has settled and stopped.
pub(crate) fn judge(rig: &Rig, name: &str) -> Result<Report> {
    let mut expected = rig.raw.seen().sight.oracle.expected();
    let named = named_by_newest(rig);
    if !rig.eras.past.is_empty() {
        expected.retain(|key, _| !is_named(&named, key));
    }
    let topic: Listing = {
        let summaries = rig.summaries.seen();
        summaries.sight.visible().iter().map(|(key, seen)| (key.clone(), seen.value.clone())).collect()
    };
    let topic = eras::without_replaced(topic);
    let lost_log = (!rig.eras.past.is_empty()).then(|| eras::add_kept(&mut expected, &topic, &rig.eras));
    let (store, stores) = stored::listing(rig, &expected)?;
    let store = eras::without_replaced(store);
    let raw = rig.raw.seen();
    let lossy = lossy(rig, &raw.sight);
    let logged = logs::lines(&rig.launcher.folder)?;
    let diverged_topic = diverged("topic", &topic, &expected, &lossy);
    let (return_figures, slow_returns) = returns::figures(&rig.returns);
    let must_be_zero = MustBeZero {
        slow_returns,
        diverged_topic: diverged_topic.count,
        diverged_sink: diverged("sink", &store, &expected, &lossy).count,
        lost_acked: lost_acked(rig, &raw.sight),
        unreported_gaps: unreported(rig, &diverged_topic.unpublished, &logged),
        stores: stores.map(|(zero, _)| zero),
        lost_log: lost_log.map(|_| rig.eras.findings(&named)),
        clocks: rig.clocks.as_ref().map(|clocks| clock_zeros(rig, clocks, raw.sight.stamps_ahead)),
        ..misled(rig)
    };
    let counts = raw.sight.oracle.counts;
    drop(raw);
    let is_whole = |key: &Vec<u8>| !lossy.contains(&place_of(key));
    let summaries = rig.summaries.seen().sight.count;
    let freshness_p99_s = freshness(rig).map(seconds);
    let (recovery_p50_s, recovery_p99_s) = recovery(rig);
    Ok(Report {
        test: name.to_owned(),
        commit: commit_of_repository(),
        seed: rig.options.seed,
        duration_s: seconds(rig.options.duration),
        window_s: WINDOW_MS as f64 / 1_000.0,
        rate_rps: rig.options.rate,
        guarantee: rig.options.guarantee_name(),
        kills: rig.kills,
        zombies: rig.zombies,
        records: counts.records,
        accepted: counts.accepted,
        late: counts.late,
        future: counts.future,
        poison: counts.poison,
        dup_frames: counts.dup_frames,
        summaries,
        must_be_zero,
        recovery_p50_s,
        recovery_p99_s,
        freshness_p99_s,
        stores: stores.map(|(_, figures)| figures),
        returns: return_figures,
        lost_log,
        clocks: rig.clocks.as_ref().map(|clocks| clocks.figures),
        rss_max_mb: (rig.launcher.rss_max_kb as f64 / 102.4).round() / 10.0,
        rss_bound_mb: logs::memory_bound_mib(&logged),
        oracle_sha: sha(expected.iter().filter(|(key, _)| is_whole(key))),
        result_sha: sha(topic.iter().filter(|(key, _)| is_whole(key))),
    })
}

/// The windows that have lost records in a gap of their partition's log.
fn lossy(rig: &Rig, raw: &Raw) -> Windows {
    let mut lossy = Windows::new();
    for gap in &rig.gaps {
        lossy.extend(gap.windows(&raw.oracle).into_iter().map(|window| (gap.partition, window)));
    }
    lossy
}

/// The windows that the commits of the newest generation have named, by partition.
fn named_by_newest(rig: &Rig) -> BTreeMap<Partition, Named> {
    let commits = rig.commits.seen();
    rig.partitions().map(|partition| (partition, Named::collect(partition, &commits.sight, &[]))).collect()
}

fn is_named(named: &BTreeMap<Partition, Named>, key: &[u8]) -> bool {
    let (partition, window) = place_of(key);
    named.get(&partition).is_some_and(|named| named.includes(window))
}

/// What the watching threads have counted. Without a fence a zombie may publish and commit after its successor:
/// that the topic and the commits go back then is not judged.
fn misled(rig: &Rig) -> MustBeZero {
    let (summaries, commits) = (rig.summaries.seen(), rig.commits.seen());
    let (summaries, commits) = (&summaries.sight, &commits.sight);
    let of_fence = |count| if rig.options.is_fenced() { count } else { 0 };
    let (of_zombies, of_commits) = rig.eras.past.iter().map(Era::commit_faults).fold((0, 0), add);
    MustBeZero {
        dips_topic: of_fence(summaries.dips_topic),
        dips_sink: summaries.dips_sink,
        chain_violations: summaries.chain_violations
            + of_fence(commits.went_back + of_commits)
            + commits.unreadable,
        zombie_visible: of_fence(commits.zombies_visible + of_zombies),
        ..MustBeZero::default()
    }
}

fn add(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    (one.0 + other.0, one.1 + other.1)
}

/// What was wrong where the raw topic refuses stamps that are too far ahead.
fn clock_zeros(rig: &Rig, clocks: &Clocks, stamps_ahead: u64) -> ClockZeros {
    let closed_early = rig.summaries.seen().sight.closed_early;
    ClockZeros { stamps_ahead, closed_early, ..clocks.findings }
}

struct Diverged {
    count: u64,
    /// Windows of which something is not published as complete, though allowed to be missing.
    unpublished: Windows,
}

/// Compares a listing with the oracle's. A window that lost input must not have a final summary, unless the right one.
fn diverged(what: &str, found: &Listing, expected: &Listing, lossy: &Windows) -> Diverged {
    let mut result = Diverged { count: 0, unpublished: Windows::new() };
    let keys: BTreeSet<&Vec<u8>> = found.keys().chain(expected.keys()).collect();
    for key in keys {
        let (is, should) = (found.get(key), expected.get(key));
        if is == should {
            continue;
        }
        let is_final = is.is_some_and(|value| Provenance::of_value(value).is_ok_and(|it| it.is_final));
        let place = place_of(key);
        if lossy.contains(&place) && !is_final {
            result.unpublished.insert(place);
            continue;
        }
        result.count += 1;
        if result.count <= REPORTED_MAX as u64 {
            let provenance = |value: Option<&Vec<u8>>| value.map(|value| Provenance::of_value(value));
            eprintln!(
                "chaos: {what} differs in {} of window {}: is {:?}, should be {:?}",
                place.0,
                place.1,
                provenance(is),
                provenance(should)
            );
        }
    }
    result
}

/// Partition and window of a summary's key; summaries lie where their raw records do.
fn place_of(key: &[u8]) -> (Partition, i64) {
    SummaryKey::decode(key).map_or((Partition(u32::MAX), i64::MIN), |key| {
        (key.owner.partition(PARTITIONS), key.window_start_ms.div_euclid(WINDOW_MS))
    })
}

/// What was acknowledged and is not in the log, and dead letters that are missing or too many.
fn lost_acked(rig: &Rig, raw: &Raw) -> u64 {
    let of_generator = raw.lost(&rig.acknowledged, &rig.eras.taken);
    if of_generator > 0 {
        eprintln!("chaos: {of_generator} acknowledged records of the generator are not in the log");
    }
    let of_ingress = rig.ingress.as_ref().map_or(0, IngressSide::lost);
    of_generator + of_ingress + without_letter(rig, &raw.oracle.poison())
}

/// Unusable records that have no dead letter though somebody could read them, and dead letters of usable ones.
fn without_letter(rig: &Rig, poison: &HashSet<(u32, u64)>) -> u64 {
    let letters = rig.letters.seen();
    let unread = |partition, offset| rig.gaps.iter().any(|gap| gap.is_unread(partition, offset));
    let differences = letters.sight.of.symmetric_difference(poison);
    let wrong: Vec<_> =
        differences.filter(|&&(partition, offset)| !unread(Partition(partition), offset)).collect();
    if !wrong.is_empty() {
        eprintln!(
            "chaos: {} dead letters are missing or too many, by partition and offset: {wrong:?}",
            wrong.len()
        );
    }
    wrong.len() as u64
}

/// Windows that are not published and were named nowhere.
fn unreported(rig: &Rig, unpublished: &Windows, logged: &[String]) -> u64 {
    let mut count = 0;
    for partition in (0..PARTITIONS).map(Partition) {
        let named = Named::collect(partition, &rig.commits.seen().sight, logged);
        let windows = unpublished.iter().filter(|(of, _)| *of == partition).map(|&(_, window)| window);
        for window in windows.filter(|&window| !named.includes(window)) {
            count += 1;
            eprintln!("chaos: window {window} of partition {partition} lost input and was named nowhere");
        }
    }
    count
}

fn recovery(rig: &Rig) -> (Option<f64>, Option<f64>) {
    let commits = rig.commits.seen();
    let mut times: Vec<Duration> =
        rig.losses.iter().filter_map(|loss| commits.sight.recovery(loss)).collect();
    let mut percentile = |percent| percentile(&mut times, percent).map(seconds);
    (percentile(50), percentile(99))
}

fn freshness(rig: &Rig) -> Option<Duration> {
    let (summaries, raw) = (rig.summaries.seen(), rig.raw.seen());
    let age = |&(partition, offset, at)| {
        let arrived = raw.sight.arrived_at(partition, offset)?;
        Some(Instant::saturating_duration_since(&at, arrived))
    };
    let mut ages: Vec<Duration> = summaries.sight.seen_at.iter().filter_map(age).collect();
    percentile(&mut ages, 99)
}

/// SHA-256 over lengths and bytes of all keys and values, in the order of keys.
fn sha<'a>(listing: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>) -> String {
    let mut hash = Sha256::new();
    for bytes in listing.flat_map(|(key, value)| [key, value]) {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn commit_of_repository() -> Option<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(folder).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
