//! Maps a summary to its shard: a function of its day and key, so that a new map moves no data.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::SummaryKey;

use super::settings_error::SettingsError;
use crate::store::Day;

/// The sequence of shard maps over time.
///
/// A map takes effect with the first window of its day (midnight UTC) and holds until the next one starts. Rows of
/// earlier days stay in their shards, and are read from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardMap {
    /// Epochs; at least one, ascending by `from`, the first from [`Day::MIN`].
    epochs: Vec<Epoch>,
}

/// A shard map and the day that it starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// First day; [`Day::MIN`] in the first epoch.
    pub from: Day,
    /// Names of the shards. Their order matters: the hash of a key chooses an index into them.
    pub shards: Vec<String>,
    /// Parts of the key that rows are spread by.
    pub key: ShardKey,
}

/// The parts of a summary key that decide its shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum ShardKey {
    /// Keeps all series of an app in one shard: a query for the app asks that shard alone.
    #[default]
    #[serde(rename = "owner")]
    Owner,
    /// Spreads the process types of an app: better balance with large apps, and a dead shard hides only a part of an
    /// app; reads ask all shards.
    #[serde(rename = "owner-and-process-type")]
    OwnerAndFirstDimension,
}

/// Writes the name that the bookkeeping of the shards stores; must never change.
impl fmt::Display for ShardKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Owner => "owner",
            Self::OwnerAndFirstDimension => "owner and first dimension",
        })
    }
}

impl ShardMap {
    /// Creates the map from its epochs, oldest first.
    ///
    /// # Errors
    /// If there is no epoch, the first has a first day, one is empty or names a shard twice, or they are out of order.
    pub fn new(epochs: Vec<Epoch>) -> Result<Self, SettingsError> {
        let first = epochs.first().ok_or(SettingsError::NoMap)?;
        if first.from != Day::MIN {
            return Err(SettingsError::NoBeginning { first: first.from });
        }
        for epoch in &epochs {
            epoch.check()?;
        }
        match epochs.windows(2).find(|pair| pair[0].from >= pair[1].from) {
            Some(pair) => Err(SettingsError::OutOfOrder { from: pair[1].from, after: pair[0].from }),
            None => Ok(Self { epochs }),
        }
    }

    /// Creates one map for all days.
    ///
    /// # Errors
    /// If [`Self::new`] fails.
    pub fn constant(shards: Vec<String>, key: ShardKey) -> Result<Self, SettingsError> {
        Self::new(vec![Epoch { from: Day::MIN, shards, key }])
    }

    /// Returns all epochs, oldest first.
    #[must_use]
    pub fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// Returns the epoch that a day lies in.
    #[must_use]
    pub fn epoch_of(&self, day: Day) -> &Epoch {
        let later = self.epochs.partition_point(|epoch| epoch.from <= day);
        &self.epochs[later.saturating_sub(1)]
    }

    /// Returns the epochs that the days `first` to `last` lie in; none if `last` comes before `first`.
    pub(super) fn epochs_of(&self, first: Day, last: Day) -> &[Epoch] {
        if last < first {
            return &[];
        }
        let start = self.epochs.partition_point(|epoch| epoch.from <= first).saturating_sub(1);
        let end = self.epochs.partition_point(|epoch| epoch.from <= last);
        &self.epochs[start..end]
    }

    /// Returns the name of the shard of a summary.
    #[must_use]
    pub fn shard_of(&self, key: &SummaryKey) -> &str {
        let epoch = self.epoch_of(Day::of_ms(key.window_start_ms));
        epoch.shard_of(key.owner, key.dimensions.first().map(String::as_str))
    }
}

impl Epoch {
    fn check(&self) -> Result<(), SettingsError> {
        if self.shards.is_empty() {
            return Err(SettingsError::EmptyMap { from: self.from });
        }
        for (place, shard) in self.shards.iter().enumerate() {
            if self.shards[..place].contains(shard) {
                return Err(SettingsError::TwiceInMap { shard: shard.clone(), from: self.from });
            }
        }
        Ok(())
    }

    /// Returns the name of the shard of an owner, and of the dimension if the map depends on it.
    fn shard_of(&self, owner: Owner, first_dimension: Option<&str>) -> &str {
        let mut hash = Xxh3Default::new();
        hash.update(&owner.0);
        if let (ShardKey::OwnerAndFirstDimension, Some(first)) = (self.key, first_dimension) {
            hash.update(first.as_bytes());
        }
        &self.shards[jump(hash.digest(), self.shards.len())]
    }

    /// Returns the names of the shards that can have rows of an owner.
    pub(super) fn shards_of_owner(&self, owner: Owner) -> Vec<&str> {
        match self.key {
            ShardKey::Owner => vec![self.shard_of(owner, None)],
            ShardKey::OwnerAndFirstDimension => self.shards.iter().map(String::as_str).collect(),
        }
    }
}

/// Returns the bucket of a key, below `buckets`, by jump consistent hash (Lamping and Veach, "A Fast, Minimal Memory,
/// Consistent Hash Algorithm", 2014): going from `n` to `n + 1` buckets moves one key in `n + 1`, all of them into the
/// new bucket.
fn jump(mut key: u64, buckets: usize) -> usize {
    let (mut bucket, mut next) = (0, 0);
    while next < buckets {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let step = (1_u64 << 31) as f64 / ((key >> 33) + 1) as f64;
        next = ((bucket + 1) as f64 * step) as usize;
    }
    bucket
}

/// A shard's place in the map of a day, as its database records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of shards in the map.
    pub(super) count: i32,
    /// Index of this one.
    pub(super) index: i32,
    /// Name of the [`ShardKey`] that spreads rows.
    pub(super) key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "place {} of {} by {}", self.index, self.count, self.key)
    }
}

#[cfg(test)]
mod tests;
