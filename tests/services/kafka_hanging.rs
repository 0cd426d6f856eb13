//! A transaction that hangs: its commit is in the topic of offsets, its coordinator knows nothing of it.
//!
//! A broker that is killed at the wrong moment leaves one behind. Here it is made by speaking to the broker as no client
//! does: a commit in the name of a producer, without the transaction that it belongs to. The broker accepts that only while
//! it does not verify transactions.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use yahtzee_core::owner::Partition;
use yahtzee_runtime::log::{CommittedOffset, SlotName};

use crate::conformance::Bench;
use crate::conformance::support::{at, committed, create, write};
use crate::kafka::{KafkaBench, connect};

/// `InitProducerId`, version 0.
const INIT_PRODUCER_ID: i16 = 22;
/// `TxnOffsetCommit`, version 0.
const TXN_OFFSET_COMMIT: i16 = 28;

#[test]
fn a_slot_ends_the_transaction_that_hangs_over_its_commits() {
    let Some(bench) = KafkaBench::from_environment() else { return };
    check(&bench, "hanging", Some(at(7, "before")));
    check(&bench, "hanging-first", None);
}

/// Lets a transaction hang over a commit, and expects a slot to find it and to go on from there.
fn check(bench: &KafkaBench, hint: &str, before: Option<CommittedOffset>) {
    let mut settings = bench.settings();
    settings.timeouts.request = Duration::from_secs(4);
    let (log, topic) = (connect(settings), create(bench, hint, 1));
    let slot = SlotName { group: bench.group(hint), slot: 3 };
    if let Some(before) = &before {
        let mut writer = log.slot_writer(&slot).expect("slot writer");
        write(&mut *writer, &[], &topic, Some(before.clone())).expect("write");
    }
    leave_hanging(bench, &slot, &topic);
    let unanswered = log.committed(&slot.group, &topic, &[Partition(0)]).expect_err("nothing is stable");
    assert!(unanswered.is_transient(), "{unanswered}");
    let below = log.committed_below_open_transactions(&slot.group, &topic, &[Partition(0)]);
    assert_eq!(below, Ok(vec![before.clone()]), "who asks for no more is answered");

    let mut writer = log.slot_writer(&slot).expect("slot writer");
    assert_eq!(writer.committed(&topic, &[Partition(0)]), Ok(vec![before.clone()]));
    assert_eq!(committed(&*log, &slot.group, &topic), before, "whoever asks is answered");
    write(&mut *writer, &[], &topic, Some(at(9, "after"))).expect("write");
    assert_eq!(committed(&*log, &slot.group, &topic), Some(at(9, "after")));
}

/// Commits offset 8 in the name of the slot's producer, in a transaction that nobody has begun and nobody will end.
fn leave_hanging(bench: &KafkaBench, slot: &SlotName, topic: &str) {
    let brokers = bench.settings().brokers;
    verify_transactions(&brokers, false);
    let mut broker = TcpStream::connect(&brokers).expect("a broker");
    let name = slot.to_string();
    let init = [text(&name), 60_000_i32.to_be_bytes().to_vec()].concat();
    let answer = ask(&mut broker, INIT_PRODUCER_ID, &init);
    let (error, producer) = answer[4..].split_at(2);
    assert_eq!(error, [0, 0], "a producer id");
    let one = 1_i32.to_be_bytes().to_vec();
    let entry = [0_i32.to_be_bytes().to_vec(), 8_i64.to_be_bytes().to_vec(), text("hanging")].concat();
    let commit =
        [text(&name), text(&slot.group), producer.to_vec(), one.clone(), text(topic), one, entry].concat();
    let answer = ask(&mut broker, TXN_OFFSET_COMMIT, &commit);
    assert!(answer.ends_with(&[0, 0]), "the commit is taken: {answer:?}");
    verify_transactions(&brokers, true);
}

/// Sends a request with header version 1, and returns the answer without its header.
fn ask(broker: &mut TcpStream, api: i16, body: &[u8]) -> Vec<u8> {
    let header = [api.to_be_bytes().to_vec(), vec![0, 0], vec![0, 0, 0, 1], text("test")].concat();
    let request = [header, body.to_vec()].concat();
    let length = i32::try_from(request.len()).expect("a short request").to_be_bytes();
    broker.write_all(&[&length[..], &request].concat()).expect("sent");
    let mut length = [0; 4];
    broker.read_exact(&mut length).expect("an answer");
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    broker.read_exact(&mut answer).expect("the whole answer");
    answer.split_off(4)
}

/// Text as Kafka writes it: length, bytes.
fn text(text: &str) -> Vec<u8> {
    [&i16::try_from(text.len()).expect("a short text").to_be_bytes()[..], text.as_bytes()].concat()
}

/// Lets the broker ask the coordinator of a transaction whether it is open before it takes a write, as it does by default.
fn verify_transactions(brokers: &str, verify: bool) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().expect("admin client");
    let verify = verify.to_string();
    let config = AlterConfig::new(ResourceSpecifier::Broker(1))
        .set("transaction.partition.verification.enable", &verify);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let altered = runtime.block_on(admin.alter_configs([&config], &AdminOptions::new())).expect("an answer");
    assert!(altered.iter().all(Result::is_ok), "{altered:?}");
}
