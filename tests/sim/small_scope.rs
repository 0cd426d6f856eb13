//! All logs of seven records under all schedules of commits and crashes.

use yahtzee_sim::{PRODUCTION, check_small_scope, mutants};

use crate::threads;

#[test]
fn every_small_log_survives_every_schedule() {
    let runs = check_small_scope(7, threads(), &PRODUCTION).unwrap_or_else(|found| panic!("{found:?}"));
    assert_eq!(runs, 4_u64.pow(7) * 4_u64.pow(6));
}

/// It is not blind: the commit rules one would write first fall to it.
#[test]
fn weaker_rules_have_small_counterexamples() {
    fn check(name: &str) {
        let mutant = mutants().into_iter().find(|mutant| mutant.name == name).unwrap();
        let found = check_small_scope(5, threads(), &mutant);
        assert!(found.is_err(), "{name}: {found:?}");
    }
    check("watermark-not-restored");
    check("replay-from-first-plus-one");
    check("replay-from-oldest-window");
    check("replay-from-position");
    check("no-catch-up-barrier");
}
