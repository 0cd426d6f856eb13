//! The servers of this run, as the environment names them.

use std::io::Write;

/// What `variable` says of a server that `cargo xtask services up SERVICE` starts.
///
/// Without it the test that asks ends here, loudly; on a build server it fails.
pub(crate) fn named(variable: &str, service: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let advice = format!(
            "NOT TESTED: no {variable}. Run `eval \"$(cargo xtask services up {service})\"`, then the test again."
        );
        assert!(std::env::var_os("CI").is_none(), "{advice}");
        // Not through `eprintln!`, which the test harness keeps to itself.
        writeln!(std::io::stderr(), "{advice}").expect("standard error is open");
    }
    value
}
