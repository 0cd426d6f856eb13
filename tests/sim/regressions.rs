//! Runs that broke a promise once, cut down to what matters. Production passes them all; those found with a mutant
//! still break its promise under it, so that they are known to mean something.

use std::fs;
use std::path::Path;

use yahtzee_sim::{PRODUCTION, Regression};

fn regressions() -> Vec<(String, Regression)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim/regressions");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut regressions: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "ops"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let regression = Regression::parse(&fs::read_to_string(&path).unwrap());
            (name.clone(), regression.unwrap_or_else(|error| panic!("{name}: {error}")))
        })
        .collect();
    regressions.sort_by(|left, right| left.0.cmp(&right.0));
    regressions
}

#[test]
fn production_passes_every_regression() {
    let regressions = regressions();
    assert!(!regressions.is_empty());
    for (name, regression) in regressions {
        assert_eq!(regression.replay().failures, [], "{name}");
    }
}

#[test]
fn mutants_still_fail_the_regressions_found_with_them() {
    let mut unbroken = Vec::new();
    for (name, regression) in regressions().iter().filter(|(_, it)| it.mutant != PRODUCTION.name) {
        let outcome = regression.replay_mutant().unwrap_or_else(|| panic!("{name}: no such mutant"));
        if !outcome.failures.iter().any(|failure| failure.property == regression.property) {
            unbroken.push((name.clone(), regression.property, outcome.failures));
        }
    }
    assert_eq!(unbroken, [], "the promise is no longer broken");
}
