//! Parses configurations, and checks their meaning or the error.

use std::time::Duration;

use yahtzee_core::delivery::WaitBounds;
use yahtzee_core::window::Policy;
use yahtzee_storage::config::ShardMapSection;
use yahtzee_storage::delivery::DeliverySettings;
use yahtzee_storage::postgres::settings::Timeouts;
use yahtzee_storage::postgres::shard_map::ShardKey;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    Config::parse(text, "test.toml", &environment(variables)).map_err(|error| error.to_string())
}

/// Checks that the error for `text` contains every one of `parts`.
fn check_refused(text: &str, variables: &[(&str, &str)], parts: &[&str]) {
    let error = parse(text, variables).expect_err(text);
    for part in parts {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
}

#[test]
fn defaults_alone_are_a_configuration() {
    let config = parse("", &[]).unwrap();
    assert!(matches!(config.log, LogChoice::Embedded(_)));
    assert_eq!((config.layout.partitions, config.worker.slots), (32, 8));
    assert!(config.ingress.listen.ip().is_loopback());
}

#[test]
fn wrong_keys_and_values_are_refused_with_their_place() {
    check_refused("[worker]\nslotz = 3", &[], &["test.toml", "slotz", "line 2", "slots"]);
    check_refused("[worker]\nslots = \"many\"", &[], &["slots", "line 2"]);
    check_refused("[wrker]", &[], &["wrker"]);
    check_refused("[worker]\nguarantee = \"exactly-once\"", &[], &["at-least-once"]);
    check_refused("[worker]\nslots = 64", &[], &["slots = 64", "partitions = 32"]);
    check_refused("[topics]\npartitions = 0", &[], &["topics.partitions"]);
    check_refused("[topics]\nversion = \"v 1\"", &[], &["topics.version"]);
    check_refused("[ingress]\nlisten = \"everywhere\"", &[], &["ingress.listen", "127.0.0.1:8080"]);
    check_refused("[jobs.errors]\nwindow_length_ms = 0", &[], &["jobs.errors.window_length_ms"]);
    check_refused("[log]\nkind = \"kafka\"\n[log.kafka]\nca_pem = \"x\"", &[], &["client_key_pem"]);
}

/// What a process would refuse later on, each for itself.
#[test]
fn what_no_process_could_start_with_is_refused() {
    let kafka = |keys: &str| format!("[log]\nkind = 'kafka'\n[log.kafka]\n{keys}");
    check_refused(&kafka("prefix = 'a b'"), &[], &["log.kafka.prefix", "a b"]);
    let check_property = |property: &str, expected: &str| {
        let config = parse(&kafka(&format!("[log.kafka.properties]\n{property}")), &[]).unwrap();
        let error = config.log.check().unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("a secret"), "{error}");
    };
    check_property("'no.such' = 'a secret'", "no.such");
    check_property("'fetch.max.bytes' = 'many'", "fetch.max.bytes");
    check_property("acks = '1'", "acks");
    for deadline_ms in ["0", "890001"] {
        check_refused(
            &format!("[worker]\nwrite_deadline_ms = {deadline_ms}"),
            &[],
            &["write_deadline_ms", deadline_ms],
        );
    }
    check_refused("[topics]\nreplication = 32768", &[], &["topics.replication = 32768"]);
    check_refused(&format!("[topics]\nversion = '{}'", "v".repeat(65)), &[], &["topics.version", "64"]);
    check_refused("[logging]\nfilter = 'a=b=c'", &[], &["logging.filter", "a=b=c"]);
    let addresses =
        |drains: &str, admin: &str| format!("[ingress]\nlisten = '{drains}'\n[admin]\nlisten = '{admin}'");
    check_refused(&addresses("127.0.0.1:9", "127.0.0.1:9"), &[], &["ingress.listen", "admin.listen"]);
    check_refused(&addresses("0.0.0.0:9", "127.0.0.1:9"), &[], &["one address"]);
    assert!(parse(&addresses("127.0.0.1:0", "127.0.0.1:0"), &[]).is_ok());
    assert!(parse(&addresses("127.0.0.1:9", "127.0.0.2:9"), &[]).is_ok());
    check_refused(
        "[log.embedded]\nfolder = 'x'\n[sink.embedded]\nfolder = 'x'",
        &[],
        &["log.embedded.folder", "sink.embedded.folder"],
    );
}

#[test]
fn the_environment_overrides_the_file() {
    let config = parse(
        "[worker]\nslots = 2",
        &[("YAHTZEE_WORKER__SLOTS", "4"), ("YAHTZEE_TOPICS__VERSION", "v7"), ("YAHTZEE_TEST_KAFKA", "x")],
    )
    .unwrap();
    assert_eq!((config.worker.slots, config.layout.version.as_str()), (4, "v7"));
    check_refused("", &[("YAHTZEE_WORKER__SLOTZ", "4")], &["YAHTZEE_WORKER__SLOTZ", "slotz"]);
    for variable in ["YAHTZEE_SLOTS", "YAHTZEE_WORKER_SLOTS", "YAHTZEE_TESTING", "YAHTZEE_"] {
        check_refused("", &[(variable, "4")], &[variable, "YAHTZEE_WORKER__SLOTS"]);
    }
    assert!(parse("", &[("YAHTZEE_CONFIG", "x"), ("YAHTZEE_WORKERS", "2")]).is_ok());
}

#[test]
fn the_platforms_variables_are_understood() {
    let certificates = [
        ("KAFKA_TRUSTED_CERT", "ca"),
        ("KAFKA_CLIENT_CERT", "cert"),
        ("KAFKA_CLIENT_CERT_KEY", "a private key"),
    ];
    let mut variables = vec![
        ("KAFKA_URL", "kafka+ssl://one:9096,kafka+ssl://two:9096"),
        ("KAFKA_PREFIX", "river-1."),
        ("PORT", "5000"),
    ];
    variables.extend(certificates);
    let config = parse("", &variables).unwrap();
    let LogChoice::Kafka(kafka) = &config.log else { panic!("{:?}", config.log) };
    assert_eq!((kafka.brokers.as_str(), kafka.prefix.as_str()), ("one:9096,two:9096", "river-1."));
    assert!(kafka.tls.is_some());
    assert_eq!(config.ingress.listen.to_string(), "0.0.0.0:5000");
    assert!(!format!("{config:?}").contains("a private key"), "a secret is shown");

    check_refused("", &[("KAFKA_URL", "amqp://one")], &["KAFKA_URL", "amqp"]);
    check_refused("", &[("KAFKA_URL", "kafka+ssl://one:9096")], &["KAFKA_TRUSTED_CERT"]);
    let overridden = parse("", &[("PORT", "5000"), ("YAHTZEE_INGRESS__LISTEN", "127.0.0.1:1")]).unwrap();
    assert_eq!(overridden.ingress.listen.port(), 1);
}

#[test]
fn a_jobs_policy_is_its_own_where_the_file_is_silent() {
    let config = parse("[jobs.errors]\nwindow_length_ms = 1000", &[]).unwrap();
    let own = Policy { lateness_windows: 9, ..Policy::default() };
    assert_eq!(config.jobs["errors"].policy(own), Policy { length_ms: 1_000, ..own });
    assert!(!config.jobs.contains_key("dyno-load"));
}

/// Every key of `[sink.delivery]` with another value, and what each must become.
#[test]
fn limits_and_times_of_delivery_are_those_of_the_file() {
    let keys = "batch_max = 1\nlinger_ms = 2\nqueue_max = 3\nqueue_bytes_max = 4\nspan_max = 5\npatience_ms = 6\n\
                retry_after_ms = 7\nback_off_ms = 8\nback_off_max_ms = 9\nrepair_back_off_ms = 10\n\
                repair_back_off_max_ms = 11\ncommit_interval_ms = 12\nappend_timeout_ms = 13\n\
                report_interval_ms = 14\nstop_timeout_ms = 15";
    let ms = Duration::from_millis;
    let expected = DeliverySettings {
        batch_max: 1,
        linger: ms(2),
        queue_max: 3,
        queue_bytes_max: 4,
        span_max: 5,
        patience: ms(6),
        retry_after: ms(7),
        back_off: WaitBounds { base: ms(8), cap: ms(9) },
        repair_back_off: WaitBounds { base: ms(10), cap: ms(11) },
        commit_interval: ms(12),
        append_deadline: ms(13),
        report_interval: ms(14),
        stop_deadline: ms(15),
    };
    let (of_sink, of_retry) = (DeliverySettings::of_sink(), DeliverySettings::of_retry());
    let check = |text: &str, sink: DeliverySettings, retry: DeliverySettings| {
        let config = parse(text, &[]).unwrap().sink;
        assert_eq!((config.delivery, config.retry), (sink, retry), "{text}");
    };
    check("", of_sink, of_retry);
    check(&format!("[sink.delivery]\n{keys}"), expected, of_retry);
    check(&format!("[sink.retry]\n{keys}"), of_sink, expected);

    let refused = |key: &str, parts: &[&str]| {
        for section in ["sink.delivery", "sink.retry"] {
            check_refused(&format!("[{section}]\n{key}"), &[], &[&[section], parts].concat());
        }
    };
    refused("batch_max = 0", &["batch_max = 0", "at least 1"]);
    refused("queue_max = 5", &["queue_max = 5", "batch_max = 1024"]);
    refused("commit_interval_ms = 0", &["commit_interval_ms = 0"]);
    refused("back_off_max_ms = 5", &["back_off_max_ms = 5", "back_off_ms = 200"]);
    refused("repair_back_off_ms = 400000", &["repair_back_off_max_ms = 300000"]);
}

#[test]
fn timeouts_of_postgres_are_those_of_the_file() {
    let section = "[sink.postgres]\nconnect_timeout_ms = 1\nstatement_timeout_ms = 2\nlock_timeout_ms = 3\n\
                   [sink.postgres.shards]\none = 'postgres://host/one'";
    let ms = Duration::from_millis;
    let expected = Timeouts { connect: ms(1), statement: ms(2), lock: ms(3) };
    let config = parse(section, &[]).unwrap();
    assert_eq!(config.sink.postgres.timeouts, expected);
    assert_eq!(config.sink.postgres.settings().unwrap().timeouts, expected);
    assert_eq!(parse("", &[]).unwrap().sink.postgres.timeouts, Timeouts::default());
    check_refused("[sink.postgres]\nlock_timeout_ms = 0", &[], &["sink.postgres.lock_timeout_ms = 0"]);
}

#[test]
fn shards_are_named_and_their_secrets_stay_secret() {
    let text = "[sink.postgres.shards]\none = \"env:RED_URL\"\ntwo = \"postgres://host/two\"";
    let config = parse(text, &[("RED_URL", "postgres://user:hidden@host/one")]).unwrap();
    let shards: Vec<(&str, &str)> =
        config.sink.postgres.shards.iter().map(|(name, url)| (name.as_str(), url.reveal())).collect();
    assert_eq!(shards, [("one", "postgres://user:hidden@host/one"), ("two", "postgres://host/two")]);
    assert!(!format!("{config:?}").contains("hidden"), "a secret is shown");
    let every =
        ShardMapSection { from: None, shards: vec!["one".into(), "two".into()], key: ShardKey::Owner };
    assert_eq!(config.sink.postgres.map, [every]);

    let mapped = format!(
        "{text}\n[[sink.postgres.map]]\nfrom = \"2026-11-22\"\nshards = [\"two\"]\nkey = \"owner-and-process-type\""
    );
    let mapped = parse(&mapped, &[("RED_URL", "postgres://host/one")]).unwrap();
    let from = Some("2026-11-22".parse().unwrap());
    let key = ShardKey::OwnerAndFirstDimension;
    assert_eq!(mapped.sink.postgres.map, [ShardMapSection { from, shards: vec!["two".into()], key }]);

    check_refused(text, &[], &["sink.postgres.shards.one", "RED_URL"]);
    check_refused("[sink.postgres.shards]\n\"a b\" = \"postgres://h/one\"", &[], &["\"a b\"", "letters"]);
    check_refused("[sink.postgres.shards]\n\"\" = \"postgres://h/one\"", &[], &["a shard is called \"\""]);
    let shard_of =
        |bytes: usize| format!("[sink.postgres.shards]\n{} = \"postgres://h/one\"", "s".repeat(bytes));
    assert!(parse(&shard_of(64), &[]).is_ok());
    check_refused(&shard_of(65), &[], &["a name is 1 to 64"]);
    assert!(parse("[worker]\npause_max_ms = 1000", &[]).is_ok());
    check_refused("[worker]\npause_max_ms = 999", &[], &["worker.pause_max_ms = 999", "at least 1000"]);
    check_refused("[[sink.postgres.map]]\nfrom = \"soon\"\nshards = []", &[], &["line 2", "soon"]);
    check_refused("[ingress.tokens]\n\"d.1\" = \"an app\"", &[], &["ingress.tokens", "an app", "UUID"]);
    check_refused("[[sink.postgres.map]]\nkey = \"app\"\nshards = []", &[], &["owner-and-process-type"]);
    assert_eq!(parse("[sink]\nretention_days = 0", &[]).unwrap().sink.retention_days, None);
}
