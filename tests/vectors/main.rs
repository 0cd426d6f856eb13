//! The samples of `vectors/constructed`, and those below `$YAHTZEE_VECTORS`, against the ingress and the jobs.

mod bodies;
mod jobs;
mod lines;
mod requests;
mod sample;
#[path = "../../ingress/tests/stub_log.rs"]
mod stub_log;

use sample::Sample;

/// Samples whose `expect` is not what the specification asks for, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("platform_events-049", "an L14 is an error of the log system, not an unknown line"),
    ("platform_events-050", "an L15 is an error of the log system, not an unknown line"),
];

/// Checks every sample of a form; the exceptions must still be ones.
fn check_all(forms: &[&str], check: impl Fn(&Sample) -> Result<(), String>) {
    let mut failures = Vec::new();
    let mut checked = 0;
    for sample in sample::all().iter().filter(|sample| forms.contains(&sample.form())) {
        checked += 1;
        let exception = EXCEPTIONS.iter().find(|(id, _)| *id == sample.id());
        match (check(sample), exception) {
            (Err(failure), None) => failures.push(format!("{}: {failure}", sample.id())),
            (Ok(()), Some((id, _))) => failures.push(format!("{id} is no exception any more")),
            (Ok(()), None) | (Err(_), Some(_)) => {}
        }
    }
    assert!(failures.is_empty(), "{} of {checked} samples:\n{}", failures.len(), failures.join("\n"));
    assert!(checked > 0, "no sample of {forms:?}");
}

#[test]
fn lines_are_read_as_expected() {
    check_all(&["syslog", "payload", "cli"], lines::check);
}

#[test]
fn bodies_are_read_as_expected() {
    check_all(&["drain_body"], bodies::check);
}

#[test]
fn requests_are_answered_as_expected() {
    requests::check_all();
}

#[test]
fn every_measurement_reaches_its_job() {
    jobs::every_measurement_reaches_its_job();
}

#[test]
fn dyno_events_have_the_figures_of_their_lines() {
    jobs::dyno_events();
}

#[test]
fn app_events_have_the_figures_of_their_lines() {
    jobs::app_events();
}

#[test]
fn losses_lie_in_the_minutes_of_their_notices() {
    jobs::log_loss();
}

#[test]
fn language_metrics_have_the_figures_of_their_posts() {
    jobs::language_metrics();
}
