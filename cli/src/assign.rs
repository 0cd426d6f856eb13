//! `yahtzee assign`: which worker has which slots and partitions, and what moves when their number changes.

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use yahtzee_core::assignment::{WorkerIndex, partitions_of, slots_of};
use yahtzee_runtime::{out, outln};

use crate::process::GlobalOptions;

/// Numbers of workers that are shown: a job's commits name workers up to here.
const WORKERS_MAX: i64 = 65_536;

/// Show which worker reads which partitions, and what moves when their number changes
///
/// Computed from the configuration, as every worker computes it for itself; the log is not read.
///
/// A slot is a group of partitions that one worker owns and that is fenced as a unit. The number of slots is fixed by
/// configuration; a change of the number of workers moves whole slots. The new worker of a slot reads it again from its
/// last commit, which takes about as long as reading the minutes of its open windows.
///
/// Try `yahtzee assign --workers 3 --compare 4` before starting a fourth worker.
#[derive(Debug, Args)]
pub(crate) struct AssignOptions {
    /// Number of workers
    #[arg(long, value_name = "N", default_value_t = 1, env = "YAHTZEE_WORKERS", value_parser = clap::value_parser!(u32).range(..=WORKERS_MAX))]
    workers: u32,
    /// Another number of workers: show which slots and partitions move when changing to it
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u32).range(..=WORKERS_MAX))]
    compare: Option<u32>,
    /// Number of slots; default: `worker.slots` of the configuration
    #[arg(long, value_name = "S")]
    slots: Option<u32>,
    /// Number of partitions; default: `topics.partitions` of the configuration
    #[arg(long, value_name = "P")]
    partitions: Option<u32>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct AssignmentReport {
    slots: u32,
    partitions: u32,
    workers: Vec<Share>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compare: Option<Comparison>,
}

/// Slots and partitions of one worker.
#[derive(Serialize)]
struct Share {
    worker: String,
    slots: Vec<u32>,
    partitions: Vec<u32>,
}

/// Slots and partitions that move at a change of the number of workers.
#[derive(Serialize)]
struct Comparison {
    workers: Vec<Share>,
    moves: Vec<Move>,
    partitions_moved: usize,
}

/// A slot that moves to another worker.
#[derive(Serialize)]
struct Move {
    slot: u32,
    from_worker: u32,
    to_worker: u32,
    partitions: Vec<u32>,
}

pub(crate) fn assign(global: &GlobalOptions, options: &AssignOptions) -> Result<()> {
    let config = global.load()?;
    let slots = options.slots.unwrap_or(config.worker.slots);
    let partitions = options.partitions.unwrap_or(config.layout.partitions);
    ensure!(
        (1..=partitions).contains(&slots),
        "{slots} slots over {partitions} partitions: there must be at least one slot and no more than partitions; \
         choose --slots 1 to {partitions}"
    );
    let assignment = assignment(options.workers, options.compare, slots, partitions)?;
    match options.json {
        true => outln!("{}", serde_json::to_string_pretty(&assignment)?)?,
        false => out!("{}", text(&assignment))?,
    }
    Ok(())
}

fn assignment(workers: u32, compare: Option<u32>, slots: u32, partitions: u32) -> Result<AssignmentReport> {
    let compare = compare.map(|after| comparison(workers, after, slots, partitions)).transpose()?;
    Ok(AssignmentReport { slots, partitions, workers: shares(workers, slots, partitions)?, compare })
}

fn shares(workers: u32, slots: u32, partitions: u32) -> Result<Vec<Share>> {
    let share = |index| {
        let worker = WorkerIndex::new(index, workers)?;
        let own: Vec<u32> = slots_of(worker, slots).collect();
        let mut read: Vec<u32> = own.iter().flat_map(|&slot| in_slot(slot, slots, partitions)).collect();
        read.sort_unstable();
        Ok(Share { worker: worker.to_string(), slots: own, partitions: read })
    };
    // Worker 0 of none is refused by name.
    (0..workers.max(1)).map(share).collect()
}

fn in_slot(slot: u32, slots: u32, partitions: u32) -> impl Iterator<Item = u32> {
    partitions_of(slot, slots, partitions).map(|partition| partition.0)
}

fn comparison(before: u32, after: u32, slots: u32, partitions: u32) -> Result<Comparison> {
    let (owners_before, owners_after) = (owners(before, slots)?, owners(after, slots)?);
    let owners = owners_before.into_iter().zip(owners_after);
    let moved = (0..slots).zip(owners).filter(|(_, (from, to))| from != to);
    let moves: Vec<Move> = moved
        .map(|(slot, (from_worker, to_worker))| {
            let partitions = in_slot(slot, slots, partitions).collect();
            Move { slot, from_worker, to_worker, partitions }
        })
        .collect();
    let partitions_moved = moves.iter().map(|moved| moved.partitions.len()).sum();
    Ok(Comparison { workers: shares(after, slots, partitions)?, moves, partitions_moved })
}

/// Returns the worker of every slot.
fn owners(workers: u32, slots: u32) -> Result<Vec<u32>> {
    let mut owners = vec![0; slots as usize];
    for index in 0..workers.max(1) {
        let worker = WorkerIndex::new(index, workers)?;
        slots_of(worker, slots).for_each(|slot| owners[slot as usize] = index);
    }
    Ok(owners)
}

fn text(assignment: &AssignmentReport) -> String {
    let AssignmentReport { slots, partitions, workers, compare } = assignment;
    let mut text =
        format!("{} over {} slots of {partitions} partitions\n", workers_text(workers.len()), slots);
    text += &shares_text(workers);
    let Some(Comparison { workers: after, moves, partitions_moved }) = compare else { return text };
    text += &format!("\nwith {}\n{}\n", workers_text(after.len()), shares_text(after));
    if moves.is_empty() {
        return text + "nothing moves\n";
    }
    text += &format!(
        "{} of {slots} slots move, {partitions_moved} of {partitions} partitions are read again from their commits\n",
        moves.len()
    );
    for Move { slot, from_worker, to_worker, partitions } in moves {
        text +=
            &format!("  slot {slot}: worker {from_worker} -> {to_worker}, partitions {}\n", list(partitions));
    }
    text
}

fn workers_text(count: usize) -> String {
    format!("{count} worker{}", if count == 1 { "" } else { "s" })
}

fn shares_text(shares: &[Share]) -> String {
    let line = |share: &Share| match share.slots.is_empty() {
        true => format!("  {}: idle, there are more workers than slots\n", share.worker),
        false => {
            let (slots, partitions) = (list(&share.slots), list(&share.partitions));
            format!("  {}: slots {slots}; partitions {partitions}\n", share.worker)
        }
    };
    shares.iter().map(line).collect()
}

fn list(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_moves_is_what_the_two_assignments_differ_in(
            before in 1..12_u32, after in 1..12_u32, slots in 1..12_u32, more in 0..40_u32,
        ) {
            let partitions = slots + more;
            let shown = assignment(before, Some(after), slots, partitions).unwrap();
            let comparison = shown.compare.unwrap();
            for partition in 0..partitions {
                let has = |shares: &[Share]| shares.iter().position(|share| share.partitions.contains(&partition));
                let (from, to) = (has(&shown.workers).unwrap(), has(&comparison.workers).unwrap());
                let moved = comparison.moves.iter().find(|moved| moved.partitions.contains(&partition));
                let told = moved.map(|moved| (moved.from_worker as usize, moved.to_worker as usize));
                prop_assert_eq!(told, (from != to).then_some((from, to)));
            }
        }
    }

    #[test]
    fn surplus_workers_are_called_idle() {
        let shown = text(&assignment(3, None, 2, 8).unwrap());
        let idle: Vec<&str> = shown.lines().filter(|line| line.contains("idle")).collect();
        assert_eq!(idle.len(), 1, "{shown}");
        assert!(idle[0].contains("2/3"), "{shown}");
    }

    #[test]
    fn no_workers_at_all_are_refused() {
        assert!(assignment(0, None, 2, 8).is_err());
        assert!(assignment(1, Some(0), 2, 8).is_err());
    }
}
