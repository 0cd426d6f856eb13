//! Topics: created once, described as created, named where missing.

use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_runtime::clock::wall_clock_ms;
use yahtzee_runtime::log::{
    Cleanup, Isolation, LogError, NewRecord, TIMESTAMP_AHEAD, TopicSpec, require_topic,
};

use super::Bench;
use super::support::{append, create, record, spec};

/// The description has what was asked for, for both kinds of cleanup, and an id of its own.
pub(crate) fn describes_what_was_created(bench: &dyn Bench) {
    let log = bench.log();
    let plain = spec(&bench.topic("plain"), 1);
    let compacted = TopicSpec {
        cleanup: Cleanup::CompactAndDelete,
        retention_ms: Some(3 * 24 * 3_600_000),
        ..spec(&bench.topic("compacted"), 5)
    };
    let ids = [plain, compacted].map(|wanted| {
        assert_eq!(log.describe_topic(&wanted.name).expect("describe"), None);
        assert_eq!(log.topic_id(&wanted.name).expect("ask"), None);
        log.create_topic(&wanted).expect("create");
        let found = log.describe_topic(&wanted.name).expect("describe").expect("was created");
        assert_eq!((&found.name, found.differences(&wanted)), (&wanted.name, vec![]));
        assert_eq!(log.topic_id(&wanted.name).expect("ask"), Some(found.id));
        found.id
    });
    assert_ne!(ids[0], ids[1]);
}

/// One wrong clock must not move everybody's watermark: the log refuses its stamps, and only those.
pub(crate) fn refuses_stamps_ahead_of_its_clock(bench: &dyn Bench) {
    let log = bench.log();
    let bounded = TopicSpec { timestamp_ahead_max_ms: Some(60_000), ..spec(&bench.topic("bounded"), 1) };
    let unbounded = spec(&bench.topic("unbounded"), 1);
    for wanted in [&bounded, &unbounded] {
        log.create_topic(wanted).expect("create");
        let found = log.describe_topic(&wanted.name).expect("describe").expect("was created");
        assert_eq!(found.timestamp_ahead_max_ms, wanted.timestamp_ahead_max_ms);
    }
    let check = |topic: &str, ahead_ms: i64, expected: Option<&str>| {
        let timestamp_ms = wall_clock_ms() + ahead_ms;
        let stamped = NewRecord { timestamp_ms, ..record(topic, 0, "key", "value") };
        let error = append(&*log, vec![stamped]).err();
        assert_eq!(error.as_ref().map(LogError::code), expected, "{topic} {ahead_ms}: {error:?}");
        assert!(!error.is_some_and(|error| error.is_transient()));
    };
    let day_ms = 24 * 3_600_000;
    check(&bounded.name, -day_ms, None);
    check(&bounded.name, 30_000, None);
    check(&bounded.name, 120_000, Some(TIMESTAMP_AHEAD));
    check(&bounded.name, 0, None);
    check(&unbounded.name, day_ms, None);
}

/// A second creation fails, whatever its settings, and changes nothing.
pub(crate) fn creates_a_topic_once(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "once", 2));
    let before = log.describe_topic(&topic).expect("describe");
    for partitions in [2, 7] {
        let again = log.create_topic(&spec(&topic, partitions));
        assert_eq!(again, Err(LogError::TopicExists(topic.clone())));
    }
    assert_eq!(log.describe_topic(&topic).expect("describe"), before);
}

/// Every call that needs a topic, or a partition of it, names what is not there.
pub(crate) fn names_what_is_missing(bench: &dyn Bench) {
    let (log, topic, missing) = (bench.log(), create(bench, "there", 1), bench.topic("not-there"));
    let check = |name: &str, index: u32| {
        let from = [(Partition(index), Offset(0))];
        let errors = [
            log.reader(name, &from, Isolation::Committed).map(drop),
            log.bounds(name, &[Partition(index)]).map(drop),
            log.offset_for_time(name, Partition(index), 0).map(drop),
            append(&*log, vec![record(name, index, "key", "value")]),
        ];
        for (call, result) in errors.iter().enumerate() {
            let Err(LogError::NoSuchTopic { topic, .. }) = result else {
                panic!("call {call} of {name}/{index} answers {result:?}");
            };
            assert_eq!(topic, name);
        }
    };
    check(&missing, 0);
    check(&topic, 1);
}

/// A topic that is there is described; one that is missing or has another number of partitions is refused.
pub(crate) fn requires_a_topic_with_its_partitions(bench: &dyn Bench) {
    let (log, topic) = (bench.log(), create(bench, "required", 2));
    let found = require_topic(&*log, &spec(&topic, 2)).expect("as created");
    assert_eq!((&found.name, found.partitions), (&topic, 2));
    let difference = require_topic(&*log, &spec(&topic, 3)).expect_err("another number").to_string();
    assert!(difference.contains(&topic) && difference.contains("2 partitions"), "{difference}");
    let missing = bench.topic("missing");
    let error = require_topic(&*log, &spec(&missing, 2)).expect_err("nobody created it");
    assert_eq!(error, LogError::NoSuchTopic { topic: missing, partition: None });
}
