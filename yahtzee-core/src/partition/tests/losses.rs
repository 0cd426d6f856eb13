//! Logs that had lost their newest records before a generation folds them anew.

use std::ops::RangeInclusive;

use super::*;
use crate::lost_tail::LostTail;
use crate::window::Window;

/// What a generation makes of a log, of which each record has one measurement of the minute of its receipt.
struct Anew {
    core: PartitionCore<Ids>,
    out: Vec<Effect>,
    next: u64,
}

impl Anew {
    fn open(start: Start<'_>, losses: &[LostTail], log_end: u64) -> Self {
        Self::open_within(start, losses, 0, log_end)
    }

    fn open_within(start: Start<'_>, losses: &[LostTail], log_start: u64, log_end: u64) -> Self {
        let history = History { losses, start, ..history(None, log_start, log_end) };
        let opened =
            PartitionCore::<Ids>::open(Arc::new(Ids), Policy::default(), identity(), history).unwrap();
        Self { core: opened.core, out: Vec::new(), next: opened.read_from.0 }
    }

    fn read(&mut self, minutes: &[i64]) {
        for &minute in minutes {
            feed(&mut self.core, self.next, minute, b"", &[measurement(minute, 0)], &mut self.out);
            self.next += 1;
        }
    }

    fn finals(&self) -> Vec<i64> {
        assert!(seen(&self.out).iter().all(|&(.., is_final)| is_final), "no change before the end");
        seen(&self.out).iter().map(|&(minute, ..)| minute).collect()
    }

    fn incomplete(&self) -> Vec<i64> {
        self.core.status().incomplete.windows().map(|window| window.0).collect()
    }
}

/// The watermark of the generation before, in the middle of a minute, and from which offset on nothing was kept.
fn loss(minute: i64, kept_before: u64) -> LostTail {
    let watermark_ms = Some(minute * MINUTE_MS + MINUTE_MS / 2);
    LostTail { watermark_ms, kept_before: Offset(kept_before), windows: None }
}

#[test]
fn windows_that_were_open_when_the_log_lost_records_are_named_and_not_published() {
    fn check(minutes: &[i64], loss: LostTail, finals: &[i64], incomplete: RangeInclusive<i64>) {
        let mut anew = Anew::open(Start::Beginning, &[loss], minutes.len() as u64);
        anew.read(minutes);
        assert_eq!(anew.incomplete(), incomplete.collect::<Vec<_>>(), "{minutes:?}, {loss:?}");
        assert_eq!(anew.finals(), finals, "{minutes:?}, {loss:?}");
    }
    // Records 2 and 3, of minutes 12 and 13, were lost. What follows says by its place or by its stamp that it does.
    check(&[10, 11, 20, 30], loss(13, 2), &[], 6..=22);
    check(&[10, 11, 20, 30, 31], loss(13, 3), &[], 6..=32);
    // A kept record can be stamped as late as one that follows the loss.
    check(&[10, 11, 12, 20, 30], loss(13, 3), &[], 6..=22);
    // Windows that were closed by then are whole, and so are those that open later.
    check(&[1, 2, 10, 11, 20, 30, 40], loss(13, 4), &[1, 2, 30], 6..=22);
    // Nothing happened for hours, or what happened was lost.
    check(&[1, 90, 91, 120], loss(90, 1), &[], -4..=92);
    // Everything was lost, by a topic that was made anew.
    let all = LostTail { watermark_ms: None, kept_before: Offset(0), windows: None };
    let mut anew = Anew::open(Start::Beginning, &[all], 3);
    anew.read(&[10, 30, 60]);
    assert_eq!(anew.core.status().incomplete.reach_through(), Some(Window(12)));
    assert_eq!(anew.finals(), [30]);
}

#[test]
fn nothing_is_published_or_committed_before_the_first_record_after_a_loss_tells_how_far_it_reaches() {
    // The log has ended at offset 2 since.
    let mut anew = Anew::open(Start::Beginning, &[loss(13, 2)], 2);
    anew.read(&[10]);
    assert!(anew.core.acknowledged(0).is_some(), "the loss lies ahead, and the commit says so");
    anew.read(&[11]);
    anew.core.flush(&mut anew.out);
    assert_eq!(anew.finals(), []);
    assert_eq!(anew.core.acknowledged(0), None);
    anew.read(&[20]);
    let commit = anew.core.acknowledged(0).unwrap();
    assert_eq!(
        commit.incomplete().windows().map(|window| window.0).collect::<Vec<_>>(),
        (6..=22).collect::<Vec<_>>()
    );
    assert_eq!(commit.losses(), [LostTail { windows: Some((Window(6), Window(22))), ..loss(13, 2) }]);
}

/// One after the other, and hours between them, before the first commit: a restart must be able to read what was committed.
#[test]
fn a_commit_names_as_many_losses_as_there_can_be() {
    // Each hits the windows of three quiet hours, from 1,000 minutes after the one before on.
    let minutes: Vec<i64> = (1..9).flat_map(|number| [1_000 * number, 1_000 * number + 190]).collect();
    let losses: Vec<LostTail> =
        (1..9).map(|number| loss(1_000 * number + 100, 2 * number.unsigned_abs() - 1)).collect();
    let mut anew = Anew::open(Start::Beginning, &losses, 16);
    anew.read(&minutes);
    let commit = anew.core.acknowledged(anew.out.len() as u64).unwrap();
    let text = commit.metadata(&identity());
    assert!(text.len() < 4_096, "{} characters", text.len());
    assert_eq!(Commit::read(commit.replay_offset(), &text).map(|(read, _)| read), Ok(commit.clone()));
    for first in (1..9).map(|number| 1_000 * number - 5) {
        let covered = (first..=first + 197).filter(|&minute| commit.incomplete().covers(Window(minute)));
        assert_eq!(covered.count(), 198, "from {first}");
    }
    assert!(!commit.incomplete().covers(Window(8_193)), "{commit:?}");
}

/// Wherever a generation is killed and starts again from its last commit, it publishes and names the same.
#[test]
fn a_restart_passes_a_loss_as_one_pass_does() {
    let minutes = [1, 2, 10, 11, 12, 11, 20, 30, 40];
    let losses = [loss(12, 6)];
    let mut whole = Anew::open(Start::Beginning, &losses, 9);
    whole.read(&minutes);
    assert_eq!(whole.finals(), [1, 2, 30]);
    for kill in 1..minutes.len() {
        let mut first = Anew::open(Start::Beginning, &losses, 9);
        first.read(&minutes[..kill]);
        let commit = first.core.acknowledged(first.out.len() as u64);
        let text = commit.as_ref().map(|commit| (commit.replay_offset(), commit.metadata(&identity())));
        let start = text.as_ref().map(|(offset, text)| (*offset, text.as_str())).into();
        let losses = if text.is_some() { &[][..] } else { &losses };
        let mut second = Anew::open(start, losses, 9);
        let from = usize::try_from(second.next).unwrap();
        second.read(&minutes[from..]);
        let both = if text.is_some() { [first.finals(), second.finals()].concat() } else { second.finals() };
        assert_eq!(both, whole.finals(), "killed after {kill}");
        assert_eq!(second.core.status().losses, whole.core.status().losses, "killed after {kill}");
    }
}

/// A generation raised once more, for any reason, starts from the commits of the one before.
#[test]
fn a_loss_is_handed_on_to_the_next_generation_until_retention_has_passed_it() {
    let mut anew = Anew::open(Start::Beginning, &[loss(13, 2)], 3);
    anew.read(&[10, 11, 20]);
    let commit = anew.core.acknowledged(0).unwrap();
    let LogTail::EndsWith(last) = commit.tail() else { panic!("records were read") };
    let since = |log_start| commit.losses_since((Offset(log_start), Offset(9)), &[last]);
    assert_eq!(since(0).iter().map(|it| it.pending()).collect::<Vec<_>>(), [loss(13, 2)]);
    assert_eq!(since(3), []);
    let losses = since(0);
    let mut third = Anew::open(Start::Beginning, &losses, 9);
    third.read(&[10, 11, 20]);
    assert_eq!(third.incomplete(), (6..=22).collect::<Vec<_>>());
}

/// A range that is computed again begins behind the loss, and knows what the worker has named.
#[test]
fn a_start_at_a_time_knows_the_windows_of_a_loss_before_it() {
    let named = LostTail { windows: Some((Window(6), Window(22))), ..loss(13, 2) };
    let start = Start::Time { offset: Offset(3), first_window: Window(20) };
    let mut anew = Anew::open(start, &[named], 9);
    assert_eq!(anew.incomplete(), [20, 21, 22]);
    anew.read(&[21, 23, 60]);
    assert_eq!(anew.finals(), [23]);
}

/// Retention may pass the position of a commit, or the offset that was looked up, and leave a loss that lies behind.
#[test]
fn a_gap_does_not_hide_a_loss_behind_it() {
    let ahead = loss(60, 5);
    let check = |start: Start<'_>, losses: &[LostTail]| {
        let mut anew = Anew::open_within(start, losses, 3, 9);
        anew.read(&[20, 50, 61, 62]);
        assert_eq!(anew.incomplete(), (45..=63).collect::<Vec<_>>(), "{start:?}");
    };
    let mut before = Anew::open(Start::Beginning, &[ahead], 9);
    before.read(&[10]);
    let commit = before.core.acknowledged(0).unwrap();
    let text = commit.metadata(&identity());
    check(Start::Commit { offset: commit.replay_offset(), metadata: &text }, &[]);
    check(Start::Time { offset: Offset(2), first_window: Window(15) }, &[ahead]);
    check(Start::Beginning, &[ahead]);
}

/// A log that has lost all it had begins where the loss does: a generation that is raised later has to be told.
#[test]
fn a_restart_remembers_a_loss_where_the_log_begins() {
    let mut anew = Anew::open(Start::Beginning, &[loss(13, 0)], 9);
    anew.read(&[20, 21]);
    let commit = anew.core.acknowledged(0).unwrap();
    let text = commit.metadata(&identity());
    let start = Start::Commit { offset: commit.replay_offset(), metadata: &text };
    let again = Anew::open(start, &[], 9);
    assert_eq!(again.core.status().losses, commit.losses());
    assert_eq!(commit.losses().len(), 1);
}
