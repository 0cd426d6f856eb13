//! Tests the fleet from outside: its frames as bytes, parsed by an independent reader.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use yahtzee_ingress::line::{LineClass, LineContext, LogLine, measure};

use super::{DrainFrame, Fleet, FleetSettings, FrameKind};

const START_US: i64 = 1_790_000_000_000_000;
const SECOND_US: i64 = 1_000_000;

fn settings(seed: u64) -> FleetSettings {
    FleetSettings { seed, apps: 20, lines_per_second: 400.0 }
}

fn frames(settings: FleetSettings, seconds: i64) -> Vec<DrainFrame> {
    Fleet::new(settings, START_US).frames_until(START_US + seconds * SECOND_US)
}

/// Returns every message by strict octet counting, or `None` at the first error.
fn messages(mut body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut messages = Vec::new();
    while !body.is_empty() {
        let blank = body.iter().position(|&byte| byte == b' ')?;
        let octets: usize = str::from_utf8(&body[..blank]).ok()?.parse().ok()?;
        let (message, rest) = body[blank + 1..].split_at_checked(octets)?;
        messages.push(message);
        body = rest;
    }
    Some(messages)
}

fn whole_frames(frames: &[DrainFrame]) -> impl Iterator<Item = &DrainFrame> {
    frames.iter().filter(|frame| frame.kind != FrameKind::Broken)
}

fn text(frames: &[DrainFrame]) -> String {
    whole_frames(frames).map(|frame| String::from_utf8_lossy(&frame.body)).collect()
}

#[test]
fn equal_seeds_and_starts_give_equal_frames() {
    assert_eq!(frames(settings(1), 10), frames(settings(1), 10));
    assert_ne!(frames(settings(1), 10), frames(settings(2), 10));
}

#[test]
fn another_start_gives_the_same_apps_but_no_known_frame() {
    let mut first = Fleet::new(settings(1), START_US);
    let mut second = Fleet::new(settings(1), START_US + 1);
    assert!(first.apps().eq(second.apps()));
    let ids = |fleet: &mut Fleet| -> BTreeSet<String> {
        fleet.frames_until(START_US + 10 * SECOND_US).into_iter().map(|frame| frame.frame_id).collect()
    };
    assert!(ids(&mut first).is_disjoint(&ids(&mut second)));
}

#[test]
fn names_owners_and_tokens_are_unique() {
    let fleet = Fleet::new(FleetSettings { apps: 200, ..settings(1) }, START_US);
    let names: BTreeSet<_> = fleet.apps().map(|app| &app.name).collect();
    let owners: BTreeSet<_> = fleet.apps().map(|app| app.owner).collect();
    let tokens: BTreeSet<_> = fleet.apps().map(|app| &app.drain_token).collect();
    assert_eq!([names.len(), owners.len(), tokens.len()], [200; 3]);
}

#[test]
fn bodies_are_counted_right_unless_broken() {
    let frames = frames(settings(1), 120);
    for frame in whole_frames(&frames) {
        let messages = messages(&frame.body).expect("octet counts fit");
        assert_eq!(messages.len(), frame.message_count as usize);
        assert!(messages.iter().all(|message| message.starts_with(b"<")));
        assert!(frame.frame_id.len() == 32 && frame.frame_id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(frame.frame_id, frame.frame_id.to_uppercase());
    }
    let broken: Vec<_> = frames.iter().filter(|frame| frame.kind == FrameKind::Broken).collect();
    assert!(!broken.is_empty());
    let is_seen_broken = |frame: &&DrainFrame| {
        messages(&frame.body).is_none_or(|messages| messages.iter().any(|message| !message.starts_with(b"<")))
    };
    assert!(broken.iter().all(is_seen_broken));
}

#[test]
fn bodies_stay_within_the_size_of_a_drain_request() {
    let busy = FleetSettings { apps: 2, lines_per_second: 20_000.0, ..settings(1) };
    // A notice of loss comes on top of what Logplex packs.
    let longest = frames(busy, 2).iter().map(|frame| frame.body.len()).max();
    assert!((50_000..102_400 + 200).contains(&longest.unwrap()), "{longest:?}");
}

#[test]
fn redeliveries_repeat_an_earlier_frame_but_for_its_notice() {
    let mut known: BTreeMap<String, DrainFrame> = BTreeMap::new();
    let mut redeliveries = 0;
    for frame in frames(settings(1), 120) {
        if frame.kind == FrameKind::Redelivery {
            let original = known.get(&frame.frame_id).expect("sent before");
            assert_eq!(without_notice(original), without_notice(&frame));
            assert_eq!(original.message_count, frame.message_count);
            assert_eq!(original.drain_token, frame.drain_token);
            redeliveries += 1;
        } else {
            let earlier = known.insert(frame.frame_id.clone(), frame);
            assert_eq!(earlier, None, "a new frame has a new id");
        }
    }
    assert!(redeliveries > 10, "{redeliveries}");
}

fn without_notice(frame: &DrainFrame) -> Vec<&[u8]> {
    let is_notice = |message: &&[u8]| message.windows(9).any(|window| window == b"Error L10");
    messages(&frame.body).expect("whole").into_iter().filter(|message| !is_notice(message)).collect()
}

#[test]
fn traffic_has_the_asked_rate_and_follows_zipf() {
    let fleet = Fleet::new(settings(1), START_US);
    let frames = frames(settings(1), 60);
    let lines: u32 = whole_frames(&frames).map(|frame| frame.message_count).sum();
    assert!((0.7..1.4).contains(&(f64::from(lines) / 60.0 / 400.0)), "{lines} lines in 60 s");

    let mut requests: BTreeMap<&str, usize> = BTreeMap::new();
    for frame in whole_frames(&frames) {
        let is_request = |message: &&[u8]| message.windows(15).any(|window| window == b" heroku router ");
        let count = messages(&frame.body).expect("whole").into_iter().filter(is_request).count();
        *requests.entry(&frame.drain_token).or_default() += count;
    }
    let by_rank: Vec<usize> = fleet.apps().map(|app| requests[app.drain_token.as_str()]).collect();
    assert_eq!(by_rank.iter().max(), by_rank.first());
    // By Zipf's law the first of 20 has 28 % and the first five have 63 %.
    let total: usize = by_rank.iter().sum();
    assert!((0.2..0.4).contains(&(by_rank[0] as f64 / total as f64)), "{by_rank:?}");
    assert!((0.5..0.75).contains(&(by_rank[..5].iter().sum::<usize>() as f64 / total as f64)), "{by_rank:?}");
}

#[test]
fn a_few_minutes_show_every_kind_of_line() {
    let text = text(&frames(FleetSettings { apps: 60, lines_per_second: 150.0, ..settings(1) }, 600));
    for expected in [
        "<158>1 ",
        "<134>1 ",
        "protocol=https\n",
        "tls_version=unknown\n",
        "tls_version=tls1.3\n",
        "status=101",
        "status=304",
        "status=404",
        "status=499",
        "status=500",
        "code=H10 ",
        "code=H12 ",
        "code=H13 ",
        "code=H14 ",
        "sock=backend at=error code=H18 ",
        "code=H27 ",
        "dyno= connect= service= status=503 bytes= ",
        "service=30000ms status=503",
        "heroku worker.1 - source=worker.1 ",
        "heroku clock.1 - ",
        "heroku urgentworker.1 - ",
        "sample#load_avg_15m=",
        "sample#memory_quota=512.00MB",
        "Error R12 (Exit timeout) -> ",
        "Process running mem=",
        "Error R14 (Memory quota exceeded)",
        "Error R15 ",
        "State changed from starting to up",
        "State changed from up to crashed",
        "Release v",
        "app heroku-postgres - source=DATABASE ",
        "app heroku-redis - source=REDIS ",
        "Error L10 (output buffer overflow): drain 'd.",
        "dyno=web.1 connect=1ms service=30000ms status=503 bytes=0 protocol=https\n",
    ] {
        assert!(text.contains(expected), "{expected}");
    }
}

#[test]
fn some_lines_are_late_and_very_few_too_late() {
    let mut fleet = Fleet::new(FleetSettings { lines_per_second: 150.0, ..settings(1) }, START_US);
    let mut ages_s: Vec<i64> = Vec::new();
    for tick in 1..6_000 {
        let now_us = START_US + tick * 100_000;
        let frames = fleet.frames_until(now_us);
        for frame in frames.iter().filter(|frame| frame.kind == FrameKind::Fresh) {
            let times = messages(&frame.body).expect("whole").into_iter().map(time_us);
            ages_s.extend(times.map(|time_us| (now_us - time_us).div_euclid(SECOND_US)));
        }
    }
    let share =
        |from_s: i64| ages_s.iter().filter(|&&age_s| age_s >= from_s).count() as f64 / ages_s.len() as f64;
    assert!(ages_s.iter().all(|&age_s| age_s >= -1), "none from the future");
    assert!((0.01..0.08).contains(&share(10)), "{}", share(10));
    assert!((0.0005..0.02).contains(&share(100)), "{}", share(100));
    assert!((0.0001..0.008).contains(&share(300)), "{}", share(300));
}

fn time_us(message: &[u8]) -> i64 {
    let time = message.split(|&byte| byte == b' ').nth(1).expect("a header");
    let time: jiff::Timestamp = str::from_utf8(time).unwrap().parse().unwrap();
    time.as_microsecond()
}

#[test]
fn incidents_make_an_app_slow_and_let_it_time_out() {
    // Apps print "code=H12" too; only the router's own lines count.
    let is_timeout = |line: &&str| line.contains(" heroku router - at=error code=H12 ");
    let timeouts = |seconds: i64| text(&frames(settings(1), seconds)).lines().filter(is_timeout).count();
    let (before, during) = (timeouts(15), timeouts(60));
    assert!(during > 10 * (before + 1), "{before} before, {during} during");
}

#[test]
fn the_ingress_understands_every_line() {
    let context = LineContext { time_us: START_US, time_replaced: false, frame_index: 0, repaired: false };
    for frame in whole_frames(&frames(settings(1), 60)) {
        for message in messages(&frame.body).expect("whole") {
            let line = LogLine::parse(message).expect("a header");
            let reading = measure(&line, context);
            let is_understood = !matches!(reading.class, LineClass::Unknown | LineClass::Malformed);
            assert!(
                is_understood && !reading.truncated,
                "{:?} {}",
                reading.class,
                String::from_utf8_lossy(message)
            );
            // Apps cannot forge what the platform says.
            assert!(reading.class != LineClass::App || reading.measurements == [None, None]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn how_often_the_fleet_is_asked_changes_nothing(steps_us in prop::collection::vec(0_i64..1_500_000, 1..12)) {
        let end_us = START_US + steps_us.iter().sum::<i64>();
        let mut fleet = Fleet::new(settings(5), START_US);
        let mut now_us = START_US;
        let mut stepwise = Vec::new();
        for step_us in steps_us {
            now_us += step_us;
            stepwise.extend(fleet.frames_until(now_us));
        }
        prop_assert_eq!(stepwise, Fleet::new(settings(5), START_US).frames_until(end_us));
    }

    #[test]
    fn any_settings_make_a_fleet(seed: u64, apps in 0_u32..60, lines_per_second in 0.0_f64..3_000.0) {
        let settings = FleetSettings { seed, apps, lines_per_second };
        for frame in whole_frames(&frames(settings, 2)) {
            prop_assert!(messages(&frame.body).is_some());
        }
    }
}
