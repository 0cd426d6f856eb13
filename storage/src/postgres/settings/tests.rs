//! Settings that cannot be right, each with its message.

use super::super::shard_map::{Epoch, ShardKey};
use super::*;
use crate::store::Day;

fn settings(shards: &[(&str, &str)], map: &[&str]) -> PostgresSettings {
    let shard =
        |&(name, url): &(&str, &str)| ShardSettings { name: name.into(), url: Secret::new(url.into()) };
    let shards_of_map = map.iter().map(|&name| name.to_owned()).collect();
    PostgresSettings {
        shards: shards.iter().map(shard).collect(),
        map: ShardMap::constant(shards_of_map, ShardKey::Owner).unwrap(),
        timeouts: Timeouts::default(),
        ca_file: None,
    }
}

#[test]
fn settings_are_checked_against_themselves() {
    fn check(shards: &[(&str, &str)], map: &[&str], word: &str) {
        let text = settings(shards, map).check().err().map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains(word) && text.is_empty() == word.is_empty(), "{text:?}");
        assert!(!text.contains("secret"), "{text}");
    }
    let (a, b) = (("a", "postgres://u:secret@one/x"), ("b", "postgres://u:secret@two/x"));
    check(&[a, b], &["a", "b"], "");
    check(&[], &["a"], "no shards");
    check(&[a, ("a", b.1)], &["a"], "two shards are called \"a\"");
    check(&[a, b], &["a", "c"], "names shard \"c\"");
    check(&[("a", "postgres://u:secret@/x")], &["a"], "names no host");
    check(&[("a", "postgres://u:secret@one:nan/x")], &["a"], "url of shard \"a\"");
    let demand = if cfg!(feature = "tls") { "" } else { "TLS" };
    check(&[("a", "postgres://u:secret@one/x?sslmode=require")], &["a"], demand);
}

#[test]
fn one_database_is_one_shard() {
    fn check(one: &str, other: &str, is_same: bool) {
        let result = settings(&[("a", one), ("b", other)], &["a"]).check();
        assert_eq!(matches!(result, Err(SettingsError::SameDatabase { .. })), is_same, "{one} {other}");
    }
    check("postgres://u@one/x", "postgres://v@ONE:5432/x", true);
    check("postgres://u@one/x", "host=one dbname=x user=w", true);
    check("postgres://u@one", "postgres://v@one/u", true);
    check("postgres://u@one,two/x", "postgres://u@two/x", true);
    check("postgres://u@one/x", "postgres://u@one:5433/x", false);
    check("postgres://u@one/x", "postgres://u@one/y", false);
    check("postgres://u@one/x", "postgres://u@two/x", false);
}

#[test]
fn urls_are_not_shown() {
    let text = format!("{:?}", settings(&[("a", "postgres://u:secret@one/x")], &["a"]));
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn an_unknown_shard_is_told_with_the_day_of_the_map() {
    let mut settings = settings(&[("a", "postgres://u@one/x")], &["a"]);
    let epoch = |from, name: &str| Epoch { from, shards: vec![name.to_owned()], key: ShardKey::Owner };
    let from: Day = "2026-11-21".parse().unwrap();
    settings.map = ShardMap::new(vec![epoch(Day::MIN, "a"), epoch(from, "b")]).unwrap();
    assert_eq!(settings.check().err(), Some(SettingsError::UnknownShard { shard: "b".into(), from }));
}
