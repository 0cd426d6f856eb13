//! All small logs under all schedules of commits and crashes, against a batch fold.
//!
//! One record per offset, its window the minute it was received in or an earlier one; `L = 1`. After every record
//! the schedule does nothing, commits, crashes, or commits and crashes.

use super::*;

const RECORDS: usize = 5;
const MINUTES: usize = 4;
const LATENESS: u32 = 1;

const COMMIT: usize = 1;
const CRASH: usize = 2;

/// One pass over the log with the rules written down once more: watermark, lateness, nothing else.
fn oracle(log: &[i64]) -> BTreeMap<i64, u64> {
    let (mut watermark, mut topic) = (i64::MIN, BTreeMap::new());
    for (offset, &minute) in log.iter().enumerate() {
        watermark = watermark.max(minute);
        if minute >= watermark - i64::from(LATENESS) {
            *topic.entry(minute).or_insert(0) |= 1 << offset;
        }
    }
    topic
}

struct Run {
    topic: BTreeMap<i64, u64>,
    dips: u32,
}

fn run(log: &[i64], schedule: &[usize]) -> Run {
    let policy = Policy { lateness_windows: LATENESS, flush_interval_ms: 1, ..Policy::default() };
    let open = |committed: Option<(Offset, &str)>, end| {
        PartitionCore::<Ids>::open(Arc::new(Ids), policy, identity(), history(committed, 0, end)).unwrap()
    };
    let (mut topic, mut dips, mut now_ms) = (BTreeMap::new(), 0, 0);
    let mut committed: Option<(Offset, String)> = None;
    let (mut core, mut next) = (open(None, 0).core, 0);
    let mut out = Vec::new();
    for (last, &step) in schedule.iter().enumerate() {
        while next <= last {
            let ids = [measurement(log[next], u32::try_from(next).unwrap())];
            feed(&mut core, next as u64, log[next], b"", &ids, &mut out);
            next += 1;
            now_ms += 10;
            core.tick(now_ms, &mut out);
        }
        dips += compact(&mut topic, &out);
        let commit = core.acknowledged(out.len() as u64);
        out.clear();
        if step & COMMIT != 0 {
            let commit = commit.expect("everything is acknowledged and the old position is reached");
            committed = Some((commit.replay_offset(), commit.metadata(&identity())));
        }
        if step & CRASH != 0 {
            let stored = committed.as_ref().map(|(offset, text)| (*offset, text.as_str()));
            let opened = open(stored, last as u64 + 1);
            (core, next) = (opened.core, usize::try_from(opened.read_from.0).unwrap());
        }
    }
    Run { topic, dips }
}

/// Calls `each` with every sequence of `length` digits below `base`.
fn all_sequences(length: usize, base: usize, mut each: impl FnMut(&[usize])) {
    let count = base.pow(u32::try_from(length).unwrap());
    let mut digits = vec![0; length];
    for number in 0..count {
        let mut rest = number;
        for digit in &mut digits {
            *digit = rest % base;
            rest /= base;
        }
        each(&digits);
    }
}

#[test]
fn every_small_log_survives_every_schedule_without_a_difference_or_a_dip() {
    let mut runs = 0;
    all_sequences(RECORDS, MINUTES, |minutes| {
        let log: Vec<i64> = minutes.iter().map(|&minute| i64::try_from(minute).unwrap()).collect();
        let expected = oracle(&log);
        all_sequences(RECORDS - 1, 4, |schedule| {
            let schedule = [schedule, &[0]].concat();
            let run = run(&log, &schedule);
            assert_eq!(run.topic, expected, "log {log:?}, schedule {schedule:?}");
            assert_eq!(run.dips, 0, "a reader saw a dip: log {log:?}, schedule {schedule:?}");
            runs += 1;
        });
    });
    assert_eq!(runs, 262_144);
}
