//! promtool, which lints metrics: from Debian's `prometheus` package.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::artefacts::fetch_folder;
use super::debian;
use super::service_dir;
use super::state::ServiceDir;

/// The name on the command line.
pub(crate) const NAME: &str = "prometheus-tools";
/// Tells tests where promtool is.
pub(crate) const PATH_VARIABLE: &str = "YAHTZEE_PROMTOOL";

const HINT: &str =
    "this works on Debian and its children; elsewhere install promtool and set YAHTZEE_PROMTOOL to its path";

/// The path of promtool, if it has been fetched.
pub(crate) fn fetched() -> Option<PathBuf> {
    let path = promtool_in(&service_dir(NAME).join("root"));
    path.exists().then_some(path)
}

/// The path of promtool; fetches it the first time.
///
/// # Errors
/// If the package cannot be downloaded or unpacked.
pub(crate) fn fetch() -> Result<PathBuf> {
    let dir = ServiceDir::lock(service_dir(NAME))?;
    let root = dir.path().join("root");
    let promtool = promtool_in(&root);
    if !promtool.exists() {
        fetch_folder(&root, |folder| debian::unpack(&["prometheus".to_owned()], folder, HINT))?;
    }
    if !promtool.exists() {
        bail!("the prometheus package has no {}: {HINT}", promtool.display());
    }
    eprintln!("{NAME}: promtool is {}", promtool.display());
    Ok(promtool)
}

fn promtool_in(root: &Path) -> PathBuf {
    root.join("usr/bin/promtool")
}
