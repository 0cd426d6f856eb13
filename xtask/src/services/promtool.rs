//! promtool, which lints metrics: from Debian's `prometheus` package, unpacked but not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::artefacts::{fetch_folder, run_tool};
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
        fetch_folder(&root, download_and_unpack)?;
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

fn download_and_unpack(folder: &Path) -> Result<()> {
    let download =
        || run_tool(Command::new("apt-get").args(["download", "prometheus"]).current_dir(folder), HINT);
    if download().is_err() {
        // A fresh machine has no package lists yet, and an old one may have outdated ones.
        run_tool(Command::new("apt-get").args(["update", "--quiet"]), HINT)?;
        download()?;
    }
    let package = downloaded_package(folder)?;
    run_tool(Command::new("dpkg").arg("-x").arg(&package).arg(folder), HINT)?;
    fs::remove_file(&package).with_context(|| format!("cannot remove {}", package.display()))
}

fn downloaded_package(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let package = paths.find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    package
        .with_context(|| format!("`apt-get download prometheus` left no .deb file in {}", folder.display()))
}
