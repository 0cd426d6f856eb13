//! The simulated broker against what Kafka promises, and against what it does not.

use yahtzee_core::summary::record_key;

use super::*;

const ID: ProducerId = (1, 0, 0);

fn record(offset: u64) -> OutRecord {
    OutRecord::new(1, 0, Body::Late { offset })
}

fn append(fence: Option<(ProducerId, u32)>, offsets: &[u64]) -> Request {
    Request::Append { fence, records: offsets.iter().map(|&offset| record(offset)).collect() }
}

fn commit(offset: u64) -> OffsetCommit {
    OffsetCommit {
        generation: 1,
        partition: 0,
        offset,
        metadata: String::new(),
        resumed_position: 0,
        life: 0,
    }
}

/// What a read-committed reader gets.
fn visible(broker: &Broker) -> Vec<u64> {
    let readable = &broker.topic[..broker.last_stable_offset()];
    let visible = readable.iter().filter(|record| broker.visible_from(record).is_some());
    visible
        .map(|record| match record.body {
            Body::Late { offset } => offset,
            _ => panic!("{record:?}"),
        })
        .collect()
}

#[test]
fn records_and_offsets_of_a_transaction_become_visible_together() {
    let mut broker = Broker::default();
    let fence = (ID, broker.init(ID));
    broker.apply(append(Some(fence), &[1, 2]));
    broker.apply(append(None, &[3]));
    broker.apply(Request::AddOffsets { fence, commits: vec![commit(7)] });
    assert_eq!(visible(&broker), [0; 0], "the open transaction holds back what follows it");
    assert_eq!(broker.committed(1, 0), None);
    assert_eq!(broker.apply(Request::End { fence }), Answer::Done);
    assert_eq!(visible(&broker), [1, 2, 3]);
    assert_eq!(broker.committed(1, 0), Some(&commit(7)));
}

#[test]
fn a_later_writer_fences_an_earlier_one_and_aborts_its_transaction() {
    let mut broker = Broker::default();
    let old = (ID, broker.init(ID));
    broker.apply(append(Some(old), &[1]));
    let new = (ID, broker.init(ID));
    for request in [append(Some(old), &[2]), Request::End { fence: old }] {
        assert_eq!(broker.send(request, Fault::None), Answer::Fenced);
    }
    broker.apply(append(Some(new), &[3]));
    broker.apply(Request::End { fence: new });
    assert_eq!(visible(&broker), [3]);
}

#[test]
fn a_transaction_that_stays_open_is_aborted_and_its_writer_fenced() {
    let mut broker = Broker::default();
    let fence = (ID, broker.init(ID));
    broker.apply(append(Some(fence), &[1]));
    broker.now_ms = 101;
    broker.time_out_transactions(100);
    assert_eq!(broker.last_stable_offset(), 1);
    assert_eq!(broker.apply(Request::End { fence }), Answer::Fenced);
    assert_eq!(visible(&broker), [0; 0]);
}

/// What Jepsen found: an end that was held up hits the next transaction of the same writer.
#[test]
fn a_stray_end_tears_the_next_transaction() {
    let mut broker = Broker::default();
    let fence = (ID, broker.init(ID));
    broker.apply(append(Some(fence), &[1]));
    assert_eq!(broker.send(Request::End { fence }, Fault::Twice), Answer::Done);
    broker.apply(append(Some(fence), &[2]));
    let stray = broker.network.remove(0);
    broker.apply(stray);
    assert_eq!(visible(&broker), [1, 2]);
}

#[test]
fn faults_lose_requests_or_answers() {
    fn check(fault: Fault, expected: &[u64]) {
        let mut broker = Broker::default();
        let answer = broker.send(append(None, &[1, 2]), fault);
        assert_eq!(answer == Answer::Failed, !matches!(fault, Fault::None | Fault::Twice), "{fault}");
        assert_eq!(visible(&broker), expected, "{fault}");
    }
    check(Fault::None, &[1, 2]);
    check(Fault::Lost, &[]);
    check(Fault::Unanswered, &[1, 2]);
    check(Fault::Cut, &[1]);
    check(Fault::Late, &[]);
    // Idempotent: a repeated append changes nothing.
    check(Fault::Twice, &[1, 2]);
}

#[test]
fn a_foreign_subscriber_blocks_plain_commits_but_no_transaction() {
    let mut broker = Broker { has_foreign_subscriber: true, ..Broker::default() };
    assert_eq!(broker.apply(Request::Commit(commit(1))), Answer::Failed);
    let fence = (ID, broker.init(ID));
    broker.apply(Request::AddOffsets { fence, commits: vec![commit(2)] });
    broker.apply(Request::End { fence });
    assert_eq!(broker.committed(1, 0), Some(&commit(2)));
}

#[test]
fn offsets_that_nobody_renews_are_forgotten() {
    let mut broker = Broker::default();
    broker.apply(Request::Commit(commit(1)));
    broker.now_ms = 100;
    broker.expire_old(100);
    assert_eq!((broker.committed(1, 0), broker.forgotten), (Some(&commit(1)), 0));
    broker.now_ms = 101;
    broker.expire_old(100);
    assert_eq!((broker.committed(1, 0), broker.forgotten), (None, 1));
}

#[test]
fn compaction_keeps_the_last_visible_record_of_a_key() {
    let mut broker = Broker::default();
    let of_generation = |generation: u32, key: u8, value: u8| {
        let provenance = Provenance::default();
        OutRecord::new(generation, 0, Body::Summary { key: vec![key], value: vec![value], provenance })
    };
    let summary = |key: u8, value: u8| of_generation(1, key, value);
    let records = vec![summary(1, 1), summary(2, 2), summary(1, 3), of_generation(2, 1, 9)];
    broker.apply(Request::Append { fence: None, records });
    let aborted = (ID, broker.init(ID));
    broker.apply(Request::Append { fence: Some(aborted), records: vec![summary(1, 4)] });
    broker.init(ID);
    broker.compact(usize::MAX, |key, generation| record_key(key.to_vec(), generation));
    let kept: Vec<bool> = broker.topic.iter().map(|record| !record.is_compacted).collect();
    assert_eq!(kept, [false, true, true, true, true], "what was aborted is none of the cleaner's concern");
}
