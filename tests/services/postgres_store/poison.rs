//! Rows that can never be stored, among many that can.

use yahtzee_storage::store::Outcome;

use super::support::{Database, Entry, check_all, fault, table, write};

const ROWS: u32 = 1_024;

fn batch(last_offset: u64) -> Vec<Entry> {
    (0..ROWS).map(|owner| Entry::of(owner, 0, last_offset)).collect()
}

/// Writes a batch and asserts that these rows alone were refused, with this in their text.
fn check(database: &Database, entries: &[Entry], poison: &[usize], word: &str) {
    let outcomes = write(&mut *database.writer(), entries);
    for (index, outcome) in outcomes.iter().enumerate() {
        match poison.contains(&index) {
            true => {
                assert!(matches!(outcome, Outcome::Poison(_)), "{index}: {outcome:?}");
                assert!(fault(outcome).contains(word), "{}", fault(outcome));
            }
            false => assert_eq!(*outcome, Outcome::Stored, "{index}"),
        }
    }
}

#[test]
fn one_row_against_a_rule_of_the_operator_is_isolated() {
    let Some(database) = Database::create() else { return };
    check_all(&mut *database.writer(), &[Entry::of(0, 0, 0)], "stored");
    database.run(&format!("ALTER TABLE {} ADD CHECK (count <> 700)", table()));
    let mut entries = batch(1);
    entries[611] = Entry::of(611, 0, 699);
    check(&database, &entries, &[611], "SQLSTATE 23514");
    assert_eq!(database.run(&format!("SELECT count(*) FROM {}", table())), [(ROWS - 1).to_string()]);
}

#[test]
fn a_trigger_that_refuses_rows_is_a_rule_too() {
    let Some(database) = Database::create() else { return };
    check_all(&mut *database.writer(), &[Entry::of(0, 0, 0)], "stored");
    database.run(&format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF new.count IN (700, 701) THEN RAISE 'not this one'; END IF; RETURN new; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION refuse()",
        table()
    ));
    let mut entries = batch(1);
    entries[0] = Entry::of(0, 0, 699);
    entries[1_023] = Entry::of(1_023, 0, 700);
    check(&database, &entries, &[0, 1_023], "not this one");
}

/// In a table that is empty, so that the rows are copied, and in one that is not.
#[test]
fn a_key_too_large_for_the_index_is_isolated() {
    let Some(database) = Database::create() else { return };
    // Nothing that the index could compress.
    let mut state = 1_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
    };
    let dimensions: Vec<String> = (0..16).map(|_| (0..250).map(|_| letter()).collect()).collect();
    let dimensions: Vec<&str> = dimensions.iter().map(String::as_str).collect();
    for last_offset in [1, 2] {
        let mut entries = batch(last_offset);
        entries[300] = entries[300].clone().with_dimensions(&dimensions);
        check(&database, &entries, &[300], "SQLSTATE 54000");
    }
}
