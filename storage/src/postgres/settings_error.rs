//! Settings of the store that cannot be used.

use std::path::PathBuf;

use crate::store::Day;

/// Reason why the settings are invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No shards.
    #[error("the PostgreSQL store has no shards; give each a name and a url under `sink.postgres`")]
    NoShards,
    /// Two shards of one name.
    #[error("two shards are called {name:?}; a name stands for one database for ever")]
    SameName {
        /// The name.
        name: String,
    },
    /// Two shards in one database.
    #[error(
        "shards {first:?} and {second:?} have the same host, port and database; each needs one of its own"
    )]
    SameDatabase {
        /// Name of one.
        first: String,
        /// Name of the other.
        second: String,
    },
    /// An invalid connection string.
    #[error(
        "the url of shard {shard:?} cannot be used: {reason}; it looks like postgres://user:password@host:5432/database"
    )]
    Url {
        /// Name of the shard.
        shard: String,
        /// The fault; without the url, which holds a password.
        reason: String,
    },
    /// Certificates that cannot be used.
    #[error("`ca_file` {path:?} cannot be used: {reason}")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// No shard map.
    #[error("there is no shard map; give one that starts at the beginning of time")]
    NoMap,
    /// The first map has a first day.
    #[error(
        "the first shard map starts on {first}, but late data and replays come from any day; let it have no `from`"
    )]
    NoBeginning {
        /// Its first day.
        first: Day,
    },
    /// Maps out of order, or two from one day.
    #[error("the shard map from {from} stands after the one from {after}; list them by day, each once")]
    OutOfOrder {
        /// First day of the later one.
        from: Day,
        /// First day of the one before.
        after: Day,
    },
    /// A map without shards.
    #[error("the shard map from {from} has no shards")]
    EmptyMap {
        /// Its first day.
        from: Day,
    },
    /// A shard twice in a map.
    #[error("the shard map from {from} has shard {shard:?} twice; its place says which rows it holds")]
    TwiceInMap {
        /// Name of the shard.
        shard: String,
        /// First day of the map.
        from: Day,
    },
    /// A shard in a map that is not in the list.
    #[error("the shard map from {from} names shard {shard:?}, which has no url; add it to the shards")]
    UnknownShard {
        /// Name of the shard.
        shard: String,
        /// First day of the map.
        from: Day,
    },
}
