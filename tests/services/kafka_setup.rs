//! Reaching Kafka: what is refused before and while connecting, the prefix, and a topic's identity.

use std::net::TcpListener;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use yahtzee_core::owner::Partition;
use yahtzee_runtime::log::kafka::{KafkaLog, KafkaSettings};
use yahtzee_runtime::log::{LogError, SlotName};

use crate::conformance::Bench;
use crate::conformance::support::{append_values, at, committed, create, read_all, record, spec, write};
use crate::kafka::{KafkaBench, connect, wait_until};

#[test]
fn a_silent_broker_is_named_with_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    drop(listener);
    let mut settings = KafkaSettings::new(&address);
    settings.timeouts.connect = Duration::from_secs(1);
    let error = KafkaLog::connect(settings).err().expect("nobody listens there");
    assert!(error.is_transient() && error.to_string().contains(&address), "{error}");
}

#[test]
fn unknown_properties_are_refused_by_name() {
    let mut settings = KafkaSettings::new("127.0.0.1:9");
    settings.extra.insert("no.such.property".to_owned(), "secret".to_owned());
    let error = KafkaLog::connect(settings).err().expect("librdkafka has no such property");
    let text = error.to_string();
    assert!(matches!(error, LogError::Refused { .. }), "{text}");
    assert!(text.contains("no.such.property") && !text.contains("secret"), "{text}");
}

#[test]
fn the_prefix_is_on_topics_and_groups_and_callers_never_see_it() {
    let Some(bench) = KafkaBench::from_environment() else { return };
    let prefix = "team-a.".to_owned();
    let mine = connect(KafkaSettings { prefix: prefix.clone(), ..bench.settings() });
    let (topic, group) = (bench.topic("prefix"), bench.group("prefix"));
    mine.create_topic(&spec(&topic, 1)).expect("create");
    append_values(&*mine, &topic, 0, &["mine"]);
    let slot = SlotName { group: group.clone(), slot: 0 };
    let mut writer = mine.slot_writer(&slot).expect("slot writer");
    write(&mut *writer, &[record(&topic, 0, "key", "too")], &topic, Some(at(1, "mine"))).expect("write");

    let plain = bench.log();
    assert_eq!(plain.describe_topic(&topic).expect("describe"), None);
    let (full_topic, full_group) = (format!("{prefix}{topic}"), format!("{prefix}{group}"));
    let described = plain.describe_topic(&full_topic).expect("describe").expect("exists");
    assert_eq!(mine.describe_topic(&topic).expect("describe").map(|found| found.id), Some(described.id));
    assert_eq!(read_all(&*plain, &full_topic, &[0]).values(0), ["mine", "too"]);
    assert_eq!(committed(&*plain, &full_group, &full_topic), Some(at(1, "mine")));
    let missing = mine.bounds(&full_topic, &[Partition(0)]);
    assert!(matches!(missing, Err(LogError::NoSuchTopic { topic, .. }) if topic == full_topic));
}

#[test]
fn a_topic_created_again_has_another_id() {
    let Some(bench) = KafkaBench::from_environment() else { return };
    let (log, topic) = (bench.log(), create(&bench, "again", 1));
    let first = log.describe_topic(&topic).expect("describe").expect("exists").id;
    delete_topic(&bench, &topic);
    log.create_topic(&spec(&topic, 1)).expect("create");
    let second = log.describe_topic(&topic).expect("describe").expect("exists").id;
    assert_ne!(first, second);
    assert!(first != [0; 16] && second != [0; 16], "ids are never zero");
}

/// Deletes a topic and waits until brokers know it no more.
pub(crate) fn delete_topic(bench: &KafkaBench, topic: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &bench.settings().brokers)
        .create()
        .expect("admin client");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let deleted = runtime.block_on(admin.delete_topics(&[topic], &AdminOptions::new()));
    assert_eq!(deleted.expect("an answer"), [Ok(topic.to_owned())]);
    wait_until("the topic is gone", || bench.log().describe_topic(topic).expect("describe").is_none());
}
