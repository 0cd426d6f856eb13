//! Behind PgBouncer in transaction mode: no batch finds the session of the one before.

use std::sync::Arc;

use yahtzee_storage::postgres::shard_map::ShardKey;
use yahtzee_storage::store::{Outcome, Shard, SummaryStore};

use super::support::{DAY, Database, Entry, JOB, check_all, store_of, table, write};

/// Creating, copying, guarding, isolating, reading and dropping, by more writers than there are sessions.
#[test]
fn a_pooler_in_between_makes_no_difference() {
    let Some(database) = Database::create() else { return };
    let Some(url) = database.pooled_url() else { return };
    let store = Arc::new(store_of(&[("0", url)], ShardKey::Owner));
    std::thread::scope(|scope| {
        for writer in 0..8_u32 {
            let store = &store;
            scope.spawn(move || {
                let mut shard = store.writer(Shard(0));
                for last_offset in 0..6 {
                    let own = (0..64).map(|owner| Entry::of(writer * 64 + owner, 0, last_offset));
                    let other_day = Entry::on(DAY.plus(i64::from(writer)), 1_000 + writer, 1, last_offset);
                    check_all(&mut *shard, &own.chain([other_day]).collect::<Vec<_>>(), "stored");
                }
            });
        }
    });
    database.run(&format!("ALTER TABLE {} ADD CHECK (count <> 700)", table()));
    let mut batch: Vec<_> = (0..100).map(|owner| Entry::of(owner, 2, 1)).collect();
    batch[50] = Entry::of(50, 2, 699);
    let outcomes = write(&mut *store.writer(Shard(0)), &batch);
    assert_eq!(outcomes.iter().filter(|it| **it == Outcome::Stored).count(), 99, "{outcomes:?}");
    assert_eq!(outcomes[50].name(), "poison");
    assert_eq!(store.range(JOB, Some(batch[7].parts.owner), i64::MIN, i64::MAX).unwrap().rows.len(), 2);
    assert_eq!(store.drop_days_below(DAY.plus(8), None).unwrap().len(), 8);
}
