//! What goes wrong between a writer and its database, and how the writer comes back.

use std::net::TcpListener;
use std::time::Duration;

use yahtzee_storage::postgres::PostgresStore;
use yahtzee_storage::postgres::settings::Timeouts;
use yahtzee_storage::postgres::shard_map::ShardKey;
use yahtzee_storage::store::{Outcome, Shard, ShardWriter, SummaryStore};

use super::support::{DAY, Database, Entry, JOB, check_all, fault, settings, store_of, table, write};

/// A writer that loses patience soon.
fn hasty(database: &Database) -> Box<dyn ShardWriter> {
    let mut settings = settings(&[("0", database.url(None, None))], ShardKey::Owner);
    let (statement, lock) = (Duration::from_millis(400), Duration::from_millis(100));
    settings.timeouts = Timeouts { statement, lock, ..Timeouts::default() };
    PostgresStore::new(settings).unwrap().writer(Shard(0))
}

fn check_fault(outcomes: &[Outcome], name: &str, word: &str) {
    for outcome in outcomes {
        assert_eq!(outcome.name(), name, "{outcome:?}");
        assert!(fault(outcome).contains(word), "{word} in {}", fault(outcome));
    }
}

/// Writes entries as one batch; whether a transaction may have been committed all the same comes with the outcomes.
fn write_in_doubt(writer: &mut dyn ShardWriter, entries: &[Entry]) -> (Vec<Outcome>, bool) {
    let summaries: Vec<_> = entries.iter().map(Entry::summary).collect();
    let written = writer.write_and_settle(&summaries, &[]);
    (written.outcomes, written.is_in_doubt)
}

#[test]
fn a_table_that_is_locked_is_tried_again_later_and_others_are_not_held_up() {
    let Some(database) = Database::create() else { return };
    let mut writer = hasty(&database);
    let other_day = Entry::on(DAY.plus(1), 1, 0, 1);
    check_all(&mut *writer, &[Entry::of(1, 0, 1), Entry::on(DAY.plus(1), 1, 0, 0)], "stored");
    let operator = database.session();
    operator.run(&format!("BEGIN; LOCK TABLE {}", table()));
    let (outcomes, is_in_doubt) = write_in_doubt(&mut *writer, &[Entry::of(2, 0, 1), other_day]);
    check_fault(&outcomes[..1], "retryable", "55P03");
    assert_eq!((&outcomes[1], is_in_doubt), (&Outcome::Stored, false));
    operator.run("COMMIT");
    check_all(&mut *writer, &[Entry::of(2, 0, 1)], "stored");
}

#[test]
fn a_statement_that_takes_too_long_is_tried_again_later() {
    let Some(database) = Database::create() else { return };
    let mut writer = hasty(&database);
    check_all(&mut *writer, &[Entry::of(1, 0, 1)], "stored");
    database.run(&format!(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN PERFORM pg_sleep(20); RETURN new; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION slow()",
        table()
    ));
    check_fault(&write(&mut *writer, &[Entry::of(2, 0, 1)]), "retryable", "57014");
    database.run(&format!("DROP TRIGGER slow ON {}", table()));
    check_all(&mut *writer, &[Entry::of(2, 0, 1)], "stored");
}

/// The trigger ends its own session, in the middle of the batch.
#[test]
fn a_session_that_is_ended_in_mid_batch_is_opened_again() {
    let Some(database) = Database::create() else { return };
    let mut writer = database.writer();
    check_all(&mut *writer, &[Entry::of(1, 0, 1)], "stored");
    database.run(&format!(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN new; END $$; \
         CREATE TRIGGER die BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION die()",
        table()
    ));
    let batch: Vec<_> = (0..100).map(|owner| Entry::of(owner, 1, 1)).collect();
    let (outcomes, is_in_doubt) = write_in_doubt(&mut *writer, &batch);
    check_fault(&outcomes, "retryable", "shard 0");
    assert!(is_in_doubt);
    database.run(&format!("DROP TRIGGER die ON {}", table()));
    check_all(&mut *writer, &batch, "stored");
}

/// As a server that is restarted, or a pooler that closes idle sessions, does.
#[test]
fn a_session_that_ended_between_batches_is_no_failure() {
    let Some(database) = Database::create() else { return };
    let mut writer = database.writer();
    check_all(&mut *writer, &[Entry::of(1, 0, 1)], "stored");
    let gone = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'yahtzee%' AND datname = ";
    let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
               WHERE application_name LIKE 'yahtzee%' AND datname = ";
    assert_eq!(database.run(&format!("{end}'{}'", database.name)), ["t"]);
    assert_eq!(database.run(&format!("{gone}'{}'", database.name)), ["0"]);
    // The news may still be on its way to the client: one failure that can be retried is all there may be.
    let outcome = write(&mut *writer, &[Entry::of(2, 0, 1)]).remove(0);
    assert!(matches!(outcome, Outcome::Stored | Outcome::Retryable(_)), "{outcome:?}");
    check_all(&mut *writer, &[Entry::of(3, 0, 1)], "stored");
}

#[test]
fn a_server_that_is_not_there_is_tried_again_later() {
    if Database::create().is_none() {
        return;
    }
    let dead = "host=127.0.0.1 port=1 user=x dbname=x".to_owned();
    let mut writer = store_of(&[("0", dead)], ShardKey::Owner).writer(Shard(0));
    check_fault(&write(&mut *writer, &[Entry::of(1, 0, 1), Entry::of(2, 0, 1)]), "retryable", "shard 0");
}

/// It takes the connection and says nothing more.
#[test]
fn a_server_that_hangs_is_tried_again_later() {
    let Some(database) = Database::create() else { return };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("host=127.0.0.1 port={port} user=x dbname={}", database.name);
    let mut settings = settings(&[("0", url)], ShardKey::Owner);
    settings.timeouts.connect = Duration::from_millis(50);
    let mut writer = PostgresStore::new(settings).unwrap().writer(Shard(0));
    check_fault(&write(&mut *writer, &[Entry::of(1, 0, 1)]), "retryable", "no answer within 50 ms");
}

/// As after a fail-over, while the url still leads to what now is a standby.
#[test]
fn a_server_that_only_reads_is_tried_again_later() {
    let Some(database) = Database::create() else { return };
    check_all(&mut *database.writer(), &[Entry::of(1, 0, 1)], "stored");
    database.run(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name));
    let outcomes = write(&mut *database.writer(), &[Entry::of(2, 0, 1), Entry::on(DAY.plus(1), 2, 0, 1)]);
    check_fault(&outcomes, "retryable", "25006");
    let rows = database.store().range(JOB, Some(Entry::of(1, 0, 1).parts.owner), i64::MIN, i64::MAX).unwrap();
    assert_eq!(rows.rows.len(), 1);
    database.run(&format!("BEGIN READ WRITE; ALTER DATABASE {} RESET ALL; COMMIT", database.name));
    check_all(&mut *database.writer(), &[Entry::of(2, 0, 1)], "stored");
}

#[test]
fn a_wrong_url_is_not_retried_and_says_what_to_mend() {
    let Some(database) = Database::create() else { return };
    let check = |url: String, code: &str, word: &str| {
        let mut writer = store_of(&[("0", url)], ShardKey::Owner).writer(Shard(0));
        let outcomes = write(&mut *writer, &[Entry::of(1, 0, 1)]);
        check_fault(&outcomes, "misconfigured", code);
        check_fault(&outcomes, "misconfigured", word);
    };
    check(database.url(None, Some("no_such_database")), "3D000", "create the database");
    check(database.url(Some("no_such_role"), None), "28000", "mend user");
}

#[test]
fn a_role_without_rights_is_not_retried_and_holds_up_its_own_tables_only() {
    let Some(database) = Database::create() else { return };
    check_all(&mut *database.writer(), &[Entry::of(1, 0, 1), Entry::on(DAY.plus(1), 1, 0, 1)], "stored");
    let role = format!("role_{}", database.name);
    let next = format!("yahtzee_{}", DAY.plus(1).to_string().replace('-', ""));
    database.run(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA yahtzee, yahtzee_{}, {next} TO {role}; \
         GRANT SELECT ON ALL TABLES IN SCHEMA yahtzee TO {role}; \
         GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {next} TO {role}",
        DAY.to_string().replace('-', "")
    ));
    let mut writer = store_of(&[("0", database.url(Some(&role), None))], ShardKey::Owner).writer(Shard(0));
    let batch = [Entry::of(2, 0, 1), Entry::on(DAY.plus(1), 2, 0, 1), Entry::on(DAY.plus(2), 2, 0, 1)];
    let outcomes = write(&mut *writer, &batch);
    check_fault(&outcomes[..1], "misconfigured", "42501");
    assert_eq!(outcomes[1], Outcome::Stored, "{outcomes:?}");
    check_fault(&outcomes[2..], "misconfigured", "GRANT");
    drop(writer);
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_table_altered_by_hand_is_named_and_a_dropped_one_comes_back() {
    let Some(database) = Database::create() else { return };
    let mut writer = database.writer();
    let mut check = |alter: &str, code: &str| {
        check_all(&mut *writer, &[Entry::of(1, 0, 1), Entry::on(DAY.plus(1), 1, 0, 1)], "stored");
        database.run(&format!("ALTER TABLE {} {alter}", table()));
        for owner in 2..4 {
            let batch = [Entry::of(owner, 0, 1), Entry::on(DAY.plus(1), owner, 0, 1)];
            let outcomes = write(&mut *database.writer(), &batch);
            check_fault(&outcomes[..1], "misconfigured", code);
            check_fault(&outcomes[..1], "misconfigured", "rename or drop it");
            assert_eq!(outcomes[1], Outcome::Stored, "{outcomes:?}");
            // The second time around it is empty.
            database.run(&format!("TRUNCATE {}", table()));
        }
        database.run(&format!("DROP TABLE {}; TRUNCATE {}", table(), next_table()));
        check_all(&mut *writer, &[Entry::of(1, 0, 0)], "stored");
    };
    check("DROP COLUMN count", "42703");
    check("ALTER COLUMN value TYPE integer USING 0", "42804");
    check("DROP CONSTRAINT errors_key", "42704");
}

fn next_table() -> String {
    table().replace(&DAY.to_string().replace('-', ""), &DAY.plus(1).to_string().replace('-', ""))
}

#[test]
fn a_schema_or_the_bookkeeping_dropped_by_hand_is_created_again() {
    let Some(database) = Database::create() else { return };
    let mut writer = database.writer();
    check_all(&mut *writer, &[Entry::of(1, 0, 1)], "stored");
    database.run(&format!("DROP SCHEMA yahtzee_{} CASCADE", DAY.to_string().replace('-', "")));
    check_all(&mut *writer, &[Entry::of(1, 0, 1)], "stored");
    database.run("DROP SCHEMA yahtzee CASCADE");
    check_all(&mut *writer, &[Entry::of(1, 0, 2)], "stored");
}
