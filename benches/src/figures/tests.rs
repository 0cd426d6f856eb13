//! Every case runs small, and its checks hold. Nothing is asserted about time or memory.

use std::collections::BTreeSet;
use std::io::Write as _;

use super::all;
use super::command::POSTGRES;
use super::table::Table;
use crate::sheet::{Bench, Scale, Setting, Sheet, Target};

const SMALL: Setting = Setting { scale: Scale::Small, postgres: None };

fn check(benches: impl Iterator<Item = Bench>, setting: &Setting) {
    for bench in benches {
        let sheet = bench.run(setting).unwrap();
        assert_eq!(sheet.wrong, Vec::<String>::new(), "{}", bench.name);
        let names: BTreeSet<_> = sheet.figures.iter().map(|figure| &figure.name).collect();
        assert!(!names.is_empty() && names.len() == sheet.figures.len(), "{}: {names:?}", bench.name);
        assert!(sheet.figures.iter().all(|figure| figure.value.is_finite()), "{sheet:?}");
    }
}

#[test]
fn cases_in_memory_find_what_they_must() {
    check(all().filter(|bench| !bench.needs_postgres), &SMALL);
}

#[test]
fn cases_on_postgres_find_what_they_must() {
    let Ok(url) = std::env::var(POSTGRES) else {
        let advice = format!(
            "NOT TESTED: no {POSTGRES}. Run `eval \"$(cargo xtask services up postgres)\"`, then the test again."
        );
        assert!(std::env::var_os("CI").is_none(), "{advice}");
        // Not through `eprintln!`, which the test harness keeps to itself.
        writeln!(std::io::stderr(), "{advice}").unwrap();
        return;
    };
    check(all().filter(|bench| bench.needs_postgres), &Setting { postgres: Some(url), ..SMALL });
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let names: BTreeSet<_> = all().map(|bench| bench.name).collect();
    assert_eq!(names.len(), all().count());
}

#[test]
fn goal_and_gate_are_reached_from_the_good_side() {
    fn check(target: Target, value: f64, expected: &str) {
        assert_eq!(target.verdict(value), expected, "{value} of {target:?}");
    }
    let (size, speed) = (Target::at_most(160.0, Some(256.0)), Target::at_least(110.0, Some(70.0)));
    check(size, 160.0, "goal reached");
    check(size, 160.1, "gate reached, goal not");
    check(size, 256.1, "GATE NOT REACHED");
    check(speed, 110.0, "goal reached");
    check(speed, 70.0, "gate reached, goal not");
    check(speed, 69.9, "GATE NOT REACHED");
    check(Target::at_most(60.0, None), 61.0, "GOAL NOT REACHED");
}

#[test]
fn the_middle_round_is_judged_and_a_failed_check_voids_the_case() {
    let mut table = Table::default();
    for value in [1.0, 500.0, 170.0] {
        let mut sheet = Sheet::default();
        sheet.figure_for(Target::at_most(160.0, Some(256.0)), "size", "B", value);
        table.add("suite/case", sheet);
    }
    let text = table.to_string();
    assert!(text.contains("170.0") && text.contains("gate reached, goal not"), "{text}");
    assert!(!table.is_void());
    let mut sheet = Sheet::default();
    sheet.check("rows", 9, 10);
    table.add("suite/case", sheet);
    assert!(table.is_void() && table.to_string().contains("VOID: rows: found 9, expected 10"), "{table}");
}
