//! Debian's packages, unpacked and not installed: that needs neither root nor room in the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::artefacts::{files_with, run_tool};

/// Downloads packages into `folder` and unpacks them there.
///
/// # Errors
/// If one cannot be downloaded or unpacked; `hint` says what to do where there is no `apt-get`.
pub(super) fn unpack(packages: &[String], folder: &Path, hint: &str) -> Result<()> {
    let download =
        || run_tool(Command::new("apt-get").arg("download").args(packages).current_dir(folder), hint);
    if download().is_err() {
        // A fresh machine has no package lists yet, and an old one may have outdated ones.
        run_tool(Command::new("apt-get").args(["update", "--quiet"]), hint)?;
        download()?;
    }
    for package in files_with("deb", folder)? {
        run_tool(Command::new("dpkg").arg("-x").arg(&package).arg(folder), hint)?;
        fs::remove_file(&package).with_context(|| format!("cannot remove {}", package.display()))?;
    }
    Ok(())
}

/// The packages of shared libraries that `package` names as needed, but the C library.
///
/// # Errors
/// If there is no `apt-cache`, or it does not know the package.
pub(super) fn libraries_of(package: &str, hint: &str) -> Result<Vec<String>> {
    let mut ask = Command::new("apt-cache");
    let output = ask.args(["depends", package]).output();
    let output = output.with_context(|| format!("cannot run `apt-cache`: {hint}"))?;
    Ok(libraries_in(&String::from_utf8_lossy(&output.stdout)))
}

/// What `apt-cache depends` lists, as `Depends: libx`, or `|Depends: libx` for the first of two choices.
fn libraries_in(dependencies: &str) -> Vec<String> {
    let names = dependencies.lines().filter_map(|line| {
        let name = line.trim_start_matches([' ', '|']).strip_prefix("Depends: ")?;
        (name.starts_with("lib") && name != "libc6").then(|| name.to_owned())
    });
    names.collect()
}

/// The folders in which unpacked libraries lie: `usr/lib/TRIPLET`, and `lib/TRIPLET` in older packages.
pub(super) fn library_folders(root: &Path) -> Vec<PathBuf> {
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    ["usr/lib", "lib"].iter().map(|folder| root.join(folder).join(&triplet)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_told_from_other_dependencies() {
        let listed = "pooler\n  PreDepends: libfirst\n  Depends: base\n |Depends: libone\n  Depends: libc6\n    \
                      libchoice\n  Depends: <libvirtual>\n  Suggests: libother\n  Depends: libtwo\n";
        assert_eq!(libraries_in(listed), ["libone", "libtwo"]);
        assert!(libraries_in("").is_empty());
    }
}
