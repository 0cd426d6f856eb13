//! Logs that have lost their tail, and have given its offsets to others.

use super::*;

/// A record as the log has it: the minute of its receipt, and the id of its only measurement.
type Entry = (i64, u32);

fn open_on(committed: (Offset, &str), log_end: usize) -> Opened<PartitionCore<Ids>> {
    let history = history(Some(committed), 0, log_end as u64);
    PartitionCore::<Ids>::open(Arc::new(Ids), Policy::default(), identity(), history).unwrap()
}

fn read(core: &mut PartitionCore<Ids>, log: &[Entry], from: usize, out: &mut Vec<Effect>) -> Option<u64> {
    for (offset, &(minute, id)) in (0..).zip(log).skip(from) {
        let outcome = feed(core, offset, minute, b"", &[measurement(minute, id)], out);
        if outcome == RecordOutcome::OtherLog {
            return Some(offset);
        }
    }
    None
}

/// Commits what was read of `before` and goes on from there with the log `after`. Returns the offset at which the log shows
/// to be another one.
fn goes_on(before: &[Entry], after: &[Entry]) -> Option<u64> {
    let (mut core, mut out) = (open_fresh(), Vec::new());
    assert_eq!(read(&mut core, before, 0, &mut out), None);
    let commit = core.acknowledged(out.len() as u64).unwrap();
    let text = commit.metadata(&identity());
    let opened = open_on((commit.replay_offset(), &text), after.len());
    let from = usize::try_from(opened.read_from.0).unwrap();
    let (mut core, mut again) = (opened.core, Vec::new());
    let other = read(&mut core, after, from, &mut again);
    if other.is_some() {
        assert_eq!(again, [], "nothing goes out before the log is known again");
        assert_eq!(core.acknowledged(0), None);
    } else {
        core.reached(Offset(after.len() as u64)).unwrap();
    }
    other
}

#[test]
fn a_log_that_has_grown_again_after_a_loss_is_recognised() {
    fn check(before: &[Entry], after: &[Entry], expected: Option<u64>) {
        assert_eq!(goes_on(before, after), expected, "{before:?}, then {after:?}");
    }
    let before = [(10, 0), (10, 1), (11, 2)];
    check(&before, &before, None);
    check(&before, &[(10, 0), (10, 1), (11, 2), (30, 3)], None);
    // The last record alone is another one, or one before it is, which is stamped beyond the watermark.
    check(&before, &[(10, 0), (10, 1), (11, 9), (12, 3)], Some(2));
    check(&before, &[(10, 0), (12, 8), (12, 9), (12, 3)], Some(1));
    // No window is open: without the tail nothing below the position would be read.
    let closed = [(10, 0), (30, 1), (60, 2)];
    check(&closed, &[(10, 0), (30, 1), (61, 9), (62, 3)], Some(2));
}

/// One without a stamp can come again as it was.
#[test]
fn a_log_is_known_by_records_with_a_stamp() {
    fn check(before: &[Entry], after: &[Entry], expected: Option<u64>) {
        assert_eq!(goes_on(before, after), expected, "{before:?}, then {after:?}");
    }
    let before = [(10, 0), (60, 1), (-1, 2)];
    check(&before, &before, None);
    check(&before, &[(10, 0), (60, 9), (-1, 2)], Some(1));
    check(&before, &[(10, 0), (60, 1), (-1, 9), (61, 3)], None);
    check(&before, &[(10, 0), (60, 1), (61, 9)], Some(2));
    check(&[(-1, 0)], &[(-1, 0), (10, 1)], None);
    check(&[(-1, 0)], &[(10, 1)], Some(0));
}

#[test]
fn a_tail_that_is_gone_is_missed() {
    let (mut core, mut out) = (open_fresh(), Vec::new());
    assert_eq!(read(&mut core, &[(10, 0), (10, 1)], 0, &mut out), None);
    let commit = core.acknowledged(0).unwrap();
    let text = commit.metadata(&identity());
    let mut core = open_on((commit.replay_offset(), &text), 2).core;
    feed(&mut core, 0, 10, b"", &[measurement(10, 0)], &mut out);
    // Offset 1 is a control record now.
    assert_eq!(core.reached(Offset(2)), Err(ResumeError::OtherLog { offset: Offset(1) }));
    assert_eq!(feed(&mut core, 2, 10, b"", &[], &mut out), RecordOutcome::OtherLog);
    assert_eq!(core.acknowledged(0), None);
}

#[test]
fn nothing_lies_below_a_commit_of_a_log_without_records() {
    let mut core = open_fresh();
    core.reached(Offset(2)).unwrap();
    let commit = core.acknowledged(0).unwrap();
    let text = commit.metadata(&identity());
    let opened = open_on((commit.replay_offset(), &text), 3);
    assert_eq!(opened.read_from, Offset(0));
    let mut core = opened.core;
    assert_eq!(feed(&mut core, 1, 10, b"", &[], &mut Vec::new()), RecordOutcome::OtherLog);
}

/// Retention may take the tail of a partition in which nothing happens.
#[test]
fn a_tail_that_retention_has_taken_is_not_missed() {
    let (mut core, mut out) = (open_fresh(), Vec::new());
    assert_eq!(read(&mut core, &[(10, 0), (30, 1)], 0, &mut out), None);
    let commit = core.acknowledged(out.len() as u64).unwrap();
    let text = commit.metadata(&identity());
    let history = history(Some((commit.replay_offset(), &text)), 2, 3);
    let opened = PartitionCore::<Ids>::open(Arc::new(Ids), Policy::default(), identity(), history).unwrap();
    let mut core = opened.core;
    assert_eq!((opened.read_from, opened.verdict), (Offset(2), ResumeKind::Truncated));
    assert_ne!(feed(&mut core, 2, 31, b"", &[], &mut out), RecordOutcome::OtherLog);
    core.reached(Offset(3)).unwrap();
}

/// A worker remembers on which record the job has panicked, and the log gives its offset to another one.
#[test]
fn a_record_at_the_offset_of_one_that_panicked_is_read() {
    let value = IdRecord { frame_id: vec![], ids: vec![measurement(10, 1)] }.encode_to_vec();
    let record = LogRecord { offset: Offset(0), timestamp_ms: 600_000, key: &OWNER.0, value: &value };
    let panicked = RecordPrint::of(&LogRecord { value: b"what it panicked on", ..record });
    let history = History { poisoned: &[panicked], ..history(None, 0, 1) };
    let opened = PartitionCore::<Ids>::open(Arc::new(Ids), Policy::default(), identity(), history).unwrap();
    let mut core = opened.core;
    let outcome = core.ingest(record, &mut Vec::new());
    assert_eq!(
        outcome,
        RecordOutcome::Folded(MeasurementCounts { accepted: 1, ..MeasurementCounts::default() })
    );
}
