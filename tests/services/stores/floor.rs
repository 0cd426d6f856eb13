//! The floor: what is dropped stays dropped, and nobody trips over it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;
use yahtzee_core::owner::Owner;
use yahtzee_storage::store::Day;
use yahtzee_storage::store::{Outcome, Row, SummaryStore};

use super::Bench;
use super::support::{Entry, JOB, TODAY, Writers, for_all, key_of_day, rows_of, step};

const OWNER: Owner = Owner([1; 16]);

fn entry(day: Day) -> Entry {
    Entry::new(key_of_day(1, day), step(1))
}

/// A writer that has written to a day before it was dropped, and one that has not, settle what comes late.
pub(crate) fn settles_what_is_below_and_recreates_nothing(bench: &dyn Bench) {
    let store = bench.store();
    let days = [-2, -1, 0, 1].map(|days| TODAY.plus(days));
    let mut early = Writers::new(&*store);
    early.store(&days.map(entry));
    assert_eq!(store.drop_days_below(TODAY, None).expect("drop"), days[..2]);
    let newer = days.map(|day| Entry::new(key_of_day(1, day), step(2)));
    let expected = [Outcome::Expired, Outcome::Expired, Outcome::Stored, Outcome::Stored];
    assert_eq!(early.write(&newer), expected);
    let never_there = [entry(TODAY.plus(-30)), entry(TODAY.plus(-1)), entry(TODAY)];
    let expected = [Outcome::Expired, Outcome::Expired, Outcome::Stale];
    assert_eq!(Writers::new(&*store).write(&never_there), expected);
    assert_eq!(store.drop_days_below(TODAY, None).expect("drop"), [], "nothing came back");
    let found = store.range(JOB, Some(OWNER), i64::MIN, i64::MAX).expect("range");
    assert_eq!((found.rows, found.floor), (vec![newer[2].row(), newer[3].row()], TODAY));
    assert_eq!(store.top_owners(JOB, days[0].start_ms(), 9), Ok(vec![]));
}

/// A floor that may move by two days drops the two oldest days there are, whatever it was asked for.
pub(crate) fn moves_by_a_few_days_at_a_time(bench: &dyn Bench) {
    let store = bench.store();
    let days: Vec<Day> = (-9..=0).map(|days| TODAY.plus(days)).collect();
    let entries: Vec<Entry> = days.iter().copied().map(entry).collect();
    Writers::new(&*store).store(&entries);
    for dropped in [&days[..2], &days[2..4]] {
        assert_eq!(store.drop_days_below(TODAY, Some(2)).expect("drop"), dropped);
    }
    let kept: Vec<Row> = entries[4..].iter().map(Entry::row).collect();
    assert_eq!(rows_of(&*store, OWNER), kept);
    assert_eq!(store.drop_days_below(TODAY, None).expect("drop"), days[4..9]);
}

/// Floors, writes and creations in any order: the floor is the greatest that was asked for, and what is told to be
/// dropped is what was there.
pub(crate) fn never_goes_down(bench: &dyn Bench) {
    #[derive(Clone, Debug)]
    enum Step {
        Write(i64),
        Create(i64, i64),
        Drop(i64),
    }
    let store = bench.store();
    let steps = prop_oneof![
        (0..9_i64).prop_map(Step::Write),
        (0..9_i64, 0..3_i64).prop_map(|(first, more)| Step::Create(first, first + more)),
        (0..9_i64).prop_map(Step::Drop),
    ];
    for_all(&prop::collection::vec(steps, 1..20), |steps| {
        // Each case goes on above the floor of the one before.
        let before = store.range(JOB, Some(OWNER), 0, 1).expect("range").floor;
        let base = before.max(TODAY).plus(20);
        store.drop_days_below(base, None).expect("drop");
        let (mut floor, mut days) = (base, BTreeSet::new());
        let mut writers = Writers::new(&*store);
        for step in steps {
            match step {
                Step::Write(day) => {
                    let day = base.plus(day);
                    let is_expired = writers.write(&[entry(day)])[0] == Outcome::Expired;
                    prop_assert_eq!(is_expired, day < floor);
                    days.extend((day >= floor).then_some(day));
                }
                Step::Create(first, last) => {
                    store.create_days(&[JOB], base.plus(first), base.plus(last)).expect("create");
                    days.extend((first..=last).map(|day| base.plus(day)).filter(|&day| day >= floor));
                }
                Step::Drop(to) => {
                    floor = floor.max(base.plus(to));
                    let kept = days.split_off(&floor);
                    let dropped: Vec<Day> = std::mem::replace(&mut days, kept).into_iter().collect();
                    prop_assert_eq!(store.drop_days_below(base.plus(to), None).expect("drop"), dropped);
                }
            }
            prop_assert_eq!(store.range(JOB, Some(OWNER), 0, 1).expect("range").floor, floor);
        }
        Ok(())
    });
}

/// Creating days again changes nothing of what they hold; below the floor none is created.
pub(crate) fn leaves_created_days_alone(bench: &dyn Bench) {
    let store = bench.store();
    let create = |first: Day, last: Day| store.create_days(&[JOB, "dyno-load"], first, last).expect("create");
    create(TODAY, TODAY.plus(2));
    let days = [0, 1, 2].map(|days| TODAY.plus(days));
    Writers::new(&*store).store(&days.map(entry));
    create(TODAY.plus(-1), TODAY.plus(3));
    let expected: Vec<Row> = days.iter().map(|&day| entry(day).row()).collect();
    assert_eq!(rows_of(&*store, OWNER), expected);
    let there = [-1, 0, 1].map(|days| TODAY.plus(days));
    assert_eq!(store.drop_days_below(TODAY.plus(2), None).expect("drop"), there);
    create(TODAY.plus(-9), TODAY.plus(3));
    create(TODAY.plus(-9), TODAY.plus(-8));
    create(TODAY.plus(9), TODAY.plus(8));
    assert_eq!(store.drop_days_below(TODAY.plus(2), None).expect("drop"), []);
    assert_eq!(rows_of(&*store, OWNER), [entry(days[2]).row()]);
}

/// While days are written and dropped, every read succeeds, and is whole from its floor on.
pub(crate) fn does_not_fail_readers(bench: &dyn Bench) {
    const DAYS: i64 = 25;
    const KEPT: i64 = 3;
    let store = bench.store();
    Writers::new(&*store).store(&[entry(TODAY)]);
    let is_done = AtomicBool::new(false);
    let last = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = (Day::MIN, TODAY);
            while !is_done.load(Ordering::Acquire) {
                last = read_while_dropping(&*store, last);
            }
            read_while_dropping(&*store, last)
        });
        let mut writers = Writers::new(&*store);
        for day in (1..=DAYS).map(|days| TODAY.plus(days)) {
            writers.store(&[entry(day)]);
            store.drop_days_below(day.plus(-KEPT), None).expect("drop");
        }
        is_done.store(true, Ordering::Release);
        reader.join().unwrap()
    });
    assert_eq!(last, (TODAY.plus(DAYS - KEPT), TODAY.plus(DAYS)));
}

/// Reads all days, and checks that the answer goes without a hole from its floor to its last day. Returns both.
fn read_while_dropping(store: &dyn SummaryStore, before: (Day, Day)) -> (Day, Day) {
    let found = store.range(JOB, Some(OWNER), i64::MIN, i64::MAX).expect("a reader does not fail");
    let days: Vec<Day> = found.rows.iter().map(|row| Day::of_ms(row.key.window_start_ms)).collect();
    let last = *days.last().expect("the newest day is never dropped");
    let expected: Vec<Day> = (found.floor.max(TODAY).0..=last.0).map(Day).collect();
    assert_eq!(days, expected, "floor {}", found.floor);
    for day in [before.0.max(TODAY), last] {
        store.top_owners(JOB, day.start_ms(), 9).expect("a reader does not fail");
    }
    assert!(before.0 <= found.floor && before.1 <= last, "{before:?} before {} and {last}", found.floor);
    (found.floor, last)
}

/// The floor holds for the next process.
pub(crate) fn is_kept_over_a_reopening(bench: &dyn Bench) {
    {
        let store = bench.store();
        Writers::new(&*store).store(&[entry(TODAY.plus(-1)), entry(TODAY)]);
        store.drop_days_below(TODAY, None).expect("drop");
    }
    let store = bench.reopen();
    let outcomes = Writers::new(&*store).write(&[entry(TODAY.plus(-1)), entry(TODAY)]);
    assert_eq!(outcomes, [Outcome::Expired, Outcome::Stale]);
    let found = store.range(JOB, Some(OWNER), i64::MIN, i64::MAX).expect("range");
    assert_eq!((found.rows, found.floor), (vec![entry(TODAY).row()], TODAY));
    assert_eq!(store.drop_days_below(TODAY.plus(-5), None).expect("drop"), []);
    assert_eq!(store.range(JOB, Some(OWNER), 0, 1).expect("range").floor, TODAY);
}
