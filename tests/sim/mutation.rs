//! Every mistake in the list is noticed, by the property that is there to notice it, within its budget of seeds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use yahtzee_sim::{Mutant, first_kill, kills, mutants};

use crate::seeds::assert_holds;
use crate::threads;

/// The same for every run: whether a mutant dies must not depend on luck.
const FROM: u64 = 1;

#[test]
fn no_mutant_survives_its_budget() {
    let waiting = Mutex::new(mutants());
    let survivors = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                while let Some(mutant) = next(&waiting) {
                    if first_kill(&mutant, FROM..FROM + mutant.seeds).is_none() {
                        survivors.lock().unwrap().push(mutant.name);
                    }
                }
            });
        }
    });
    assert_eq!(survivors.into_inner().unwrap(), [""; 0]);
}

fn next(waiting: &Mutex<Vec<Mutant>>) -> Option<Mutant> {
    waiting.lock().unwrap().pop()
}

#[test]
fn production_survives_the_seeds_that_kill_the_mutants() {
    let most = mutants().iter().map(|mutant| mutant.seeds).max().unwrap();
    assert_holds(FROM, most);
}

#[test]
fn there_are_enough_mutants_and_each_has_a_name_of_its_own() {
    let mutants = mutants();
    let names: BTreeSet<_> = mutants.iter().map(|mutant| mutant.name).collect();
    assert_eq!(names.len(), mutants.len());
    assert!(mutants.len() >= 25);
}

/// The figures of a row are those of `cargo xtask simulate --table`; that there is one, and what it says, is held here.
#[test]
fn every_mistake_has_its_row_in_the_commit_rule() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/commit-rule.md");
    let document = fs::read_to_string(path).unwrap();
    for mutant in mutants() {
        let property = mutant.killed_by.name().split(' ').next().unwrap();
        let row = format!("\n| `{}` | {} | {property} | ", mutant.name, mutant.mistake);
        assert!(document.contains(&row), "{row}");
    }
}

#[test]
fn a_row_of_the_table_counts_what_a_budget_looks_for() {
    let mutant = mutants().into_iter().find(|mutant| mutant.name == "stamp-is-event-time").unwrap();
    let counted = kills(&mutant, FROM..FROM + 20, threads());
    assert_eq!(counted.first, first_kill(&mutant, FROM..FROM + 20));
    assert!((1..20).contains(&counted.seeds), "{counted:?}");
}
