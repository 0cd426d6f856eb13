//! Bisects a failed write to find the rows at fault, so that their neighbours are stored.

use super::classify::{Class, ServerFailure, classify};
use super::rows::Group;
use super::shard::PostgresShard;
use crate::store::Outcome;

/// Returns the parts of a failed write that are worth a separate try: its tables, then the halves of a table while a
/// single row may be at fault. The remaining rows have their outcome.
pub(super) fn divide<'a>(
    shard: &PostgresShard,
    mut portion: Vec<Group<'a>>,
    failure: &ServerFailure,
    outcomes: &mut [Outcome],
) -> Vec<Vec<Group<'a>>> {
    if portion.len() > 1 {
        return portion.into_iter().map(|group| vec![group]).collect();
    }
    let Some(group) = portion.pop() else { return Vec::new() };
    if classify(failure) != Class::Poison {
        fail(shard, &group, failure, outcomes);
        return Vec::new();
    }
    match group.halves() {
        Ok(halves) => halves.into_iter().map(|half| vec![half]).collect(),
        Err(single) => {
            fail(shard, &single, failure, outcomes);
            Vec::new()
        }
    }
}

/// Gives all rows of the group the outcome of the failure.
pub(super) fn fail(
    shard: &PostgresShard,
    group: &Group<'_>,
    failure: &ServerFailure,
    outcomes: &mut [Outcome],
) {
    let outcome = failure.outcome(&shard.name, &group.table.to_string());
    for line in &group.lines {
        outcomes[line.index] = outcome.clone();
    }
}
