//! Bounds of the loop: unusable records, what waits to be written, and the size of a write.

use super::*;

#[test]
fn a_long_run_of_records_that_cannot_be_used_stops_the_job() {
    fn check(can_be_used: &[bool], expected: Option<u64>) {
        let unusable = || RawRecord { value: vec![0xff], ..record(0, 1) };
        let raw = can_be_used.iter().map(|&it| if it { record(0, 1) } else { unusable() }).collect();
        let polls = [poll(can_be_used.len(), FLUSH_MS), poll(0, 0)].into();
        let mut worked = Worked::new(Guarantee::Fenced, Script { raw, polls, ..Script::default() });
        worked.settings.poison.run_max = 2;
        let stopped_at = worked.run().err().map(|failure| match failure {
            JobFailure::TooMuchPoison { offset, .. } => offset.0,
            failure => panic!("{failure}"),
        });
        assert_eq!(stopped_at, expected, "{can_be_used:?}");
    }
    check(&[false, false, true, false, false], None);
    check(&[true, false, false, false, true], Some(3));
}

/// All slots share a reader: one that has too much to be written holds up the others too, or memory has no bound.
#[test]
fn nothing_is_read_while_too_much_of_any_slot_waits_to_be_written() {
    let series = READ_BACKLOG_MAX + WRITE_MAX.effects;
    let is_of_partition =
        |record: &RawRecord| Owner(record.key.as_slice().try_into().unwrap()).partition(2) == Partition(0);
    let of_partition = (0..).map(|owner| record_of(owner, 0, 1)).filter(is_of_partition);
    let mut raw: Vec<RawRecord> = of_partition.take(series).collect();
    raw.push(RawRecord { timestamp_ms: START_MS + 600_000, ..raw[0].clone() });
    let polls = [poll(series + 1, 0), poll(0, 0), poll(0, 0)].into();
    let script = Script { raw, polls, idle_partition: Some(0), ..Script::default() };
    let mut worked = Worked::new(Guarantee::Fenced, script);
    (worked.plan.policy.series_max, worked.plan.policy.series_per_owner_max) = (series, series);
    worked.runs.slots = job_slots(&worked.plan, &worked.settings);
    worked.run().unwrap();
    let calls = worked.calls_after_opening();
    let writes = |calls: &[String]| calls.iter().filter(|call| call.starts_with("append")).count();
    let second_poll = calls.iter().position(|call| call == "poll 0").unwrap();
    assert_eq!(writes(&calls[..second_poll]), 2, "the second one makes room");
}

/// A record of 1 MiB that comes an hour too late.
fn large_and_late() -> RawRecord {
    let mut record = RawRecord { timestamp_ms: START_MS + 3_600_000, ..record(0, 1) };
    prost::encoding::bytes::encode(100, &vec![7_u8; 1 << 20], &mut record.value);
    record
}

/// The calls of a job that publishes what comes too late.
fn calls_with_late(raw: Vec<RawRecord>, polls: &[Poll]) -> Vec<String> {
    let polls = polls.iter().copied().collect();
    let mut worked = Worked::new(Guarantee::Fenced, Script { raw, polls, ..Script::default() });
    worked.plan.policy.publishes_late = true;
    worked.runs.slots = job_slots(&worked.plan, &worked.settings);
    worked.run().unwrap();
    worked.calls_after_opening()
}

/// A few large effects can be too much as well.
#[test]
fn nothing_is_read_while_too_many_bytes_wait_to_be_written() {
    let check = |effects: usize, writes_before_reading: usize| {
        let raw = vec![large_and_late(); effects];
        let calls = calls_with_late(raw, &[poll(effects, 0), poll(0, 0), poll(0, 0)]);
        let second_poll = calls.iter().position(|call| call == "poll 0").unwrap();
        let appends = calls[..second_poll].iter().filter(|call| call.starts_with("append")).count();
        assert_eq!(appends, writes_before_reading, "{effects}");
    };
    // Of 1 MiB and a little more each, fifteen go into a write, and seventy-nine leave room to read on.
    check(94, 1);
    check(95, 2);
}

/// Else the job would stand still until the next tick.
#[test]
fn what_holds_up_reading_is_written_without_waiting_for_the_next_tick() {
    let mut raw = vec![record(0, 1)];
    raw.extend((0..95).map(|_| large_and_late()));
    let calls = calls_with_late(raw, &[poll(1, 0), poll(95, 1), poll(0, 0)]);
    let late = |call: &String| call.split(' ').filter(|&word| word == "LATE").count();
    let written: Vec<usize> = calls.iter().map(late).filter(|&late| late > 0).collect();
    // The first write has the final summary of the window before too.
    assert_eq!(written, [15, 15, 15, 15, 15, 15, 5]);
}

/// So that a write does not have to wait for others of its kind.
#[test]
fn a_whole_write_is_due_at_once() {
    let mut raw = vec![record(0, 1)];
    raw.extend((0..16).map(|_| large_and_late()));
    let calls = calls_with_late(raw, &[poll(1, 0), poll(16, 1), poll(0, 0)]);
    let at = |wanted: &str| calls.iter().position(|call| call.contains(wanted)).unwrap();
    assert!(at("poll 16") < at("LATE") && at("LATE") < at("poll 0"), "{calls:?}");
}

/// Of as many slots as a job may have, one at least has something to write when reading is held up.
#[test]
fn some_slot_always_makes_room() {
    for slots in [1, 2, 4, 5, 6, 7, 100, READ_BACKLOG_BYTES_MAX] {
        let of_slot = backlog_bytes_max(slots);
        assert!((1..=WRITE_MAX.bytes).contains(&of_slot), "{slots}");
        assert!((of_slot - 1) * slots < READ_BACKLOG_BYTES_MAX, "{slots}");
    }
}

/// What becomes due at once is spread over writes of a bounded size, between which the job reads on; an ordered end
/// writes the rest.
#[test]
fn a_large_backlog_goes_out_in_bounded_writes() {
    fn check(guarantee: Guarantee, polls: usize, expected: &[&str]) {
        let series = 2 * WRITE_MAX.effects + 1;
        let mut raw: Vec<_> = (0..series as u64).map(|owner| record_of(owner, 0, 1)).collect();
        raw.push(record_of(0, 10, 1));
        let polls = [vec![poll(series + 1, 0)], vec![poll(0, 0); polls - 1]].concat();
        let script = Script { raw, polls: polls.into(), ..Script::default() };
        let worked = &mut Worked::new(guarantee, script);
        (worked.plan.policy.series_max, worked.plan.policy.series_per_owner_max) = (series, series);
        worked.runs.slots = job_slots(&worked.plan, &worked.settings);
        worked.run().unwrap();
        let finals = |call: &str| call.split(' ').filter(|word| word.ends_with('.')).count();
        let calls = worked.calls_after_opening();
        let told = calls.iter().filter(|call| !call.contains("commit")).map(|call| match finals(call) {
            0 => call.clone(),
            finals => format!("{finals} finals"),
        });
        assert_eq!(told.collect::<Vec<_>>(), expected, "{guarantee:?}");
    }
    let read = format!("poll {}", 2 * WRITE_MAX.effects + 2);
    let (full, rest) = (format!("{} finals", WRITE_MAX.effects), "1 finals");
    for guarantee in BOTH {
        check(guarantee, 3, &[&read, &full, "poll 0", &full, "poll 0", rest]);
        check(guarantee, 1, &[&read, &full, &full, rest]);
    }
}
