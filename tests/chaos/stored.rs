//! The verdict on a store: its rows beside what the oracle says, and what happened on the way.

use std::time::{Duration, Instant};

use anyhow::Result;
use yahtzee_storage::embedded::EmbeddedStore;

use crate::judge::Listing;
use crate::postgres::SECOND;
use crate::report::{StoreFigures, StoreZeros, seconds};
use crate::rig::Rig;
use crate::rows;
use crate::stores::{Shards, Target};
use crate::summaries::percentile;

/// All rows of the store; with PostgreSQL also what is to be said of it.
pub(crate) fn listing(
    rig: &Rig,
    expected: &Listing,
) -> Result<(Listing, Option<(StoreZeros, StoreFigures)>)> {
    let mut found = Listing::new();
    match &rig.stores.target {
        Target::Embedded(folder) => {
            EmbeddedStore::open(folder)?.scan(|row| {
                found.insert(row.key.encode(), row.value);
            })?;
            Ok((found, None))
        }
        Target::Postgres(shards) => {
            let of_rows = collect(shards, &mut found)?;
            let zeros = StoreZeros {
                rows_wrong: count(&found, |key, value| expected.get(key).is_some_and(|it| it != value)),
                rows_missing: count(expected, |key, _| !found.contains_key(key)),
                rows_extra: of_rows.rows_extra + count(&found, |key, _| !expected.contains_key(key)),
                rows_back: shards.reader.seen().went_back,
                retry_waiting: rig.retry_waiting()?,
                quarantine_wrong: rig.stores.findings.quarantine_wrong + rig.quarantined()?.len() as u64,
                healthy_behind: rig.stores.findings.healthy_behind,
                ..of_rows
            };
            let figures = figures(rig, shards, found.len() as u64)?;
            Ok((found, Some((zeros, figures))))
        }
    }
}

/// Reads all shards; what can be said of each row by itself.
fn collect(shards: &Shards, found: &mut Listing) -> Result<StoreZeros> {
    let mut zeros = StoreZeros::default();
    for (number, shard) in shards.databases.shards.iter().enumerate() {
        for row in rows::read(&shard.session()?, true)? {
            zeros.rows_against_chain += u64::from(row.is_broken);
            zeros.rows_extra += u64::from(shards.databases.number_of(&row.key) != number);
            found.insert(row.key.encode(), row.value);
        }
    }
    Ok(zeros)
}

fn count(listing: &Listing, is_meant: impl Fn(&Vec<u8>, &Vec<u8>) -> bool) -> u64 {
    listing.iter().filter(|(key, value)| is_meant(key, value)).count() as u64
}

fn figures(rig: &Rig, shards: &Shards, rows: u64) -> Result<StoreFigures> {
    let bounds = rig.cluster.bounds(&rig.cluster.topics().retry)?;
    let outages = &rig.stores.outages;
    let is_outage = |at: Instant| outages.iter().any(|outage| outage.from <= at && at <= outage.to);
    // Only where one server works all the time there is something to compare.
    let has_healthy = !outages.is_empty() && outages.iter().all(|outage| outage.server == SECOND);
    let percentile =
        |during: bool| has_healthy.then(|| freshness(rig, shards, |at| is_outage(at) == during)).flatten();
    Ok(StoreFigures {
        rows,
        retry_records: bounds.iter().map(|bounds| bounds.end.0 - bounds.start.0).sum(),
        quarantined: rig.stores.findings.quarantined,
        healthy_p99_s: percentile(false),
        healthy_p99_outage_s: percentile(true),
    })
}

/// Age of raw records when they were first seen in a row of the server that is never down.
fn freshness(rig: &Rig, shards: &Shards, when: impl Fn(Instant) -> bool) -> Option<f64> {
    let (raw, seen) = (rig.raw.seen(), shards.reader.seen());
    let healthy = seen.sightings.iter().filter(|it| shards.databases.shards[it.shard].server != SECOND);
    let ages = healthy.filter(|it| when(it.at)).filter_map(|it| {
        let arrived = raw.sight.arrived_at(it.partition, it.offset)?;
        Some(it.at.saturating_duration_since(arrived))
    });
    let mut ages: Vec<Duration> = ages.collect();
    percentile(&mut ages, 99).map(seconds)
}
