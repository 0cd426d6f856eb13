//! The PostgreSQL store on the server of `YAHTZEE_TEST_POSTGRES`: one database, and three that share the series of an
//! owner.

use std::sync::{Arc, Mutex, PoisonError};

use yahtzee_storage::postgres::shard_map::ShardKey;
use yahtzee_storage::store::SummaryStore;

use super::Bench;
use crate::postgres_store::support::{Database, store_of};

mod one_shard {
    use super::{PostgresBench, ShardKey};

    crate::stores::each_property!(match PostgresBench::of(1, ShardKey::Owner) {
        Some(bench) => bench,
        None => return,
    });
}

mod three_shards {
    use super::{PostgresBench, ShardKey};

    crate::stores::each_property!(match PostgresBench::of(3, ShardKey::OwnerAndFirstDimension) {
        Some(bench) => bench,
        None => return,
    });
}

/// Databases of its own for each test. They go after the store.
struct PostgresBench {
    store: Mutex<Option<Arc<dyn SummaryStore>>>,
    databases: Vec<Database>,
    key: ShardKey,
}

impl PostgresBench {
    fn of(shards: usize, key: ShardKey) -> Option<Self> {
        let databases: Vec<Database> = (0..shards).map(|_| Database::create()).collect::<Option<_>>()?;
        let bench = Self { store: Mutex::new(None), databases, key };
        bench.reopen();
        Some(bench)
    }
}

impl Bench for PostgresBench {
    fn store(&self) -> Arc<dyn SummaryStore> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.clone().expect("open between two calls")
    }

    fn reopen(&self) -> Arc<dyn SummaryStore> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        drop(store.take());
        let names = ["a", "b", "c"];
        let shards: Vec<(&str, String)> = names
            .into_iter()
            .zip(&self.databases)
            .map(|(name, database)| (name, database.url(None, None)))
            .collect();
        let reopened: Arc<dyn SummaryStore> = Arc::new(store_of(&shards, self.key));
        *store = Some(Arc::clone(&reopened));
        reopened
    }
}
