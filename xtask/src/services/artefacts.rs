//! Running the programs that fetch things, and fetching a folder all or nothing.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::command_line;

const MAVEN_HINT: &str =
    "install Maven (Debian: `apt-get install maven`); it is needed for the first start only";

/// Runs a command to its end, showing its line and letting it write to stderr.
///
/// # Errors
/// If the program is missing (`hint` says how to get it) or fails.
pub(super) fn run_tool(command: &mut Command, hint: &str) -> Result<()> {
    let line = command_line(command);
    eprintln!("$ {line}");
    // stdout carries this command's own answer, so what the tool prints goes to stderr.
    let status = match command.stdout(io::stderr()).status() {
        Ok(status) => status,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("`{}` is not installed: {hint}", command.get_program().display())
        }
        Err(error) => return Err(error).with_context(|| format!("cannot run `{line}`")),
    };
    if !status.success() {
        bail!("`{line}` failed with {status}: its own message is above");
    }
    Ok(())
}

/// Fills a folder and only then gives it its name: `destination` is missing or complete, never half there.
///
/// # Errors
/// If `fill` fails (what it wrote is removed) or the folder cannot be created or moved.
pub(super) fn fetch_folder(destination: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let cannot = || format!("cannot create {}", destination.display());
    let parent = destination.parent().expect("a fetched folder lies in the folder of its server");
    let temporary = tempfile::Builder::new().prefix(".fetching-").tempdir_in(parent).with_context(cannot)?;
    let filled = temporary.path().join("filled");
    fs::create_dir(&filled).with_context(cannot)?;
    fill(&filled)?;
    remove_folder(destination)?;
    fs::rename(&filled, destination).with_context(cannot)
}

/// Fills a folder with the artefacts of `pom`, unless those of the present one are there.
///
/// # Errors
/// If `pom` cannot be read, or what [`fetch_folder`] fails for.
pub(super) fn fetch_as_in(
    pom: &Path,
    destination: &Path,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let wanted = fs::read(pom).with_context(|| format!("cannot read {}", pom.display()))?;
    if fs::read(destination.join("pom.xml")).is_ok_and(|fetched| fetched == wanted) {
        return Ok(());
    }
    fetch_folder(destination, |folder| {
        fill(folder)?;
        fs::write(folder.join("pom.xml"), wanted).context("cannot mark the artefacts as fetched")
    })
}

/// Runs a goal of Maven's that writes to `folder`.
///
/// # Errors
/// If Maven is missing or fails.
pub(super) fn run_maven(pom: &Path, goal_and_options: &[&str], folder: &Path) -> Result<()> {
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-f"]).arg(pom).args(goal_and_options);
    maven.arg(format!("-DoutputDirectory={}", folder.display()));
    maven.env("MAVEN_OPTS", without_resets(env::var("MAVEN_OPTS").ok().as_deref()));
    run_tool(&mut maven, MAVEN_HINT)
}

/// Maven's options for its Java with one that keeps it from writing escape sequences at its end, as it does even without
/// colours and into files.
fn without_resets(given: Option<&str>) -> String {
    format!("{} -Djansi.noreset=true", given.unwrap_or_default()).trim().to_owned()
}

/// The files in `folder` whose name ends in `.extension`.
///
/// # Errors
/// If there is none, or the folder cannot be read.
pub(super) fn files_with(extension: &str, folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let found: Vec<_> = paths.filter(|path| path.extension().is_some_and(|it| it == extension)).collect();
    if found.is_empty() {
        bail!("the download left no .{extension} file in {}", folder.display());
    }
    Ok(found)
}

/// Removes a folder that may not be there.
///
/// # Errors
/// If it is there and cannot be removed.
pub(super) fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_to_maven_stays() {
        assert_eq!(without_resets(None), "-Djansi.noreset=true");
        assert_eq!(without_resets(Some("-Xmx1g")), "-Xmx1g -Djansi.noreset=true");
    }

    #[test]
    fn a_fetched_folder_replaces_the_old_one() {
        let parent = tempfile::tempdir().unwrap();
        let destination = parent.path().join("lib");
        for name in ["old", "new"] {
            fetch_folder(&destination, |folder| Ok(fs::write(folder.join(name), "")?)).unwrap();
        }
        assert!(destination.join("new").exists() && !destination.join("old").exists());
    }

    #[test]
    fn a_failed_fetch_leaves_nothing_behind() {
        let parent = tempfile::tempdir().unwrap();
        let fill = |folder: &Path| {
            fs::write(folder.join("half"), "")?;
            bail!("the network went away")
        };
        assert!(fetch_folder(&parent.path().join("lib"), fill).is_err());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn artefacts_are_fetched_once_per_pom() {
        let parent = tempfile::tempdir().unwrap();
        let (pom, destination) = (parent.path().join("pom.xml"), parent.path().join("lib"));
        let check = |text: &str, expected: bool| {
            fs::write(&pom, text).unwrap();
            let mut fetched = false;
            fetch_as_in(&pom, &destination, |_| {
                fetched = true;
                Ok(())
            })
            .unwrap();
            assert_eq!(fetched, expected, "{text}");
        };
        check("one", true);
        check("one", false);
        check("two", true);
        check("two", false);
    }

    #[test]
    fn a_missing_program_comes_with_a_hint() {
        let result = run_tool(&mut Command::new("no-such-program-yahtzee"), "try another machine");
        let message = result.unwrap_err().to_string();
        assert!(message.contains("not installed: try another machine"), "{message}");
    }
}
