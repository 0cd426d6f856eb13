//! After a failure: which rows it was about, so that their neighbours are stored.

use super::classify::{Class, ServerFailure, classify};
use super::node::Node;
use super::rows::Group;
use crate::store::Outcome;

/// Parts of a failed portion that are worth a try of their own: its tables, then the halves of a table while a row is
/// to blame. What is left over has its outcome.
pub(super) fn divide<'a>(
    node: &Node,
    mut portion: Vec<Group<'a>>,
    failure: &ServerFailure,
    outcomes: &mut [Outcome],
) -> Vec<Vec<Group<'a>>> {
    if portion.len() > 1 {
        return portion.into_iter().map(|group| vec![group]).collect();
    }
    let Some(group) = portion.pop() else { return Vec::new() };
    if classify(failure) != Class::Poison {
        fail(node, &group, failure, outcomes);
        return Vec::new();
    }
    match group.halves() {
        Ok(halves) => halves.into_iter().map(|half| vec![half]).collect(),
        Err(single) => {
            fail(node, &single, failure, outcomes);
            Vec::new()
        }
    }
}

/// All rows of the group come out as the failure says.
pub(super) fn fail(node: &Node, group: &Group<'_>, failure: &ServerFailure, outcomes: &mut [Outcome]) {
    let outcome = failure.outcome(&node.name, &group.table.to_string());
    for line in &group.lines {
        outcomes[line.index] = outcome.clone();
    }
}
