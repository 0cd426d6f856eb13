//! Summaries by numbers: the series is the owner, the revision the last offset.

use prost::Message;
use yahtzee_core::owner::Owner;
use yahtzee_core::summary::{Provenance, SummaryKey};

use super::Id;
use crate::store::Day;
use crate::store::OwnedSummary;

/// A minute of 2023.
const WINDOW_START_MS: i64 = 1_700_000_040_000;

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(message, optional, tag = "1")]
    provenance: Option<Provenance>,
}

pub(crate) fn key(series: u8) -> Vec<u8> {
    let window_start_ms = WINDOW_START_MS;
    SummaryKey {
        owner: Owner([series; 16]),
        dimensions: Vec::new(),
        window_start_ms,
        window_length_ms: 60_000,
    }
    .encode()
}

pub(crate) fn value(revision: u64) -> Vec<u8> {
    value_of_generation(1, revision)
}

pub(crate) fn value_of_generation(generation: u32, revision: u64) -> Vec<u8> {
    let provenance = Provenance {
        generation,
        first_offset: 0,
        last_offset: revision,
        count: revision + 1,
        is_final: false,
    };
    Value { provenance: Some(provenance) }.encode_to_vec()
}

/// Series and revision of a key and a value of this file.
pub(crate) fn id(key: &[u8], value: &[u8]) -> Id {
    (SummaryKey::decode(key).unwrap().owner.0[0], Provenance::of_value(value).unwrap().last_offset)
}

pub(crate) fn carried(job: &str, key: &[u8], revision: u64) -> OwnedSummary {
    let value = value(revision);
    OwnedSummary::read(&job.into(), key, &value, Day::of_ms(WINDOW_START_MS)).unwrap()
}
