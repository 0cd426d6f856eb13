//! Some servers refuse to run as root: root starts those as `nobody`, anybody else as oneself.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;

use super::SERVICES_DIR_VARIABLE;

const NOBODY: &str = "nobody";
const USERS: &str = "/etc/passwd";

/// The user that such a server runs as.
pub(super) struct Unprivileged {
    /// User and group id of `nobody`, if this process is root's.
    instead_of_root: Option<(u32, u32)>,
}

impl Unprivileged {
    /// The user for servers that this process starts.
    ///
    /// # Errors
    /// If this process is root's and there is no `nobody`.
    pub(super) fn find() -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self { instead_of_root: None });
        }
        let users = fs::read_to_string(USERS).with_context(|| format!("cannot read {USERS}"))?;
        let nobody = ids_of(NOBODY, &users);
        let nobody = nobody.with_context(|| {
            format!("{USERS} has no user `{NOBODY}`, which root needs here: run this as a normal user")
        })?;
        Ok(Self { instead_of_root: Some(nobody) })
    }

    /// Makes `command` run as this user, without any of root's groups.
    pub(super) fn runs(&self, command: &mut Command) {
        if let Some((user, group)) = self.instead_of_root {
            command.uid(user).gid(group);
        }
    }

    /// Makes a file or folder this user's.
    ///
    /// # Errors
    /// If its owner cannot be changed.
    pub(super) fn owns(&self, path: &Path) -> Result<()> {
        let Some((user, group)) = self.instead_of_root else { return Ok(()) };
        chown(path, Some(user), Some(group))
            .with_context(|| format!("cannot give {} to `{NOBODY}`", path.display()))
    }

    /// Sees whether this user can run `program` at all, by asking it for its version.
    ///
    /// # Errors
    /// If not: mostly because a folder above is closed to others, as `/root` is.
    pub(super) fn check_runs(&self, program: &Path, libraries: &[PathBuf]) -> Result<()> {
        let mut command = Command::new(program);
        self.runs(with_libraries(&mut command, libraries)?.arg("--version").stdin(Stdio::null()));
        match command.output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let errors = String::from_utf8_lossy(&output.stderr);
                bail!("`{} --version` failed with {}: {errors}", program.display(), output.status)
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => bail!(
                "user `{NOBODY}`, which stands in for root here, may not reach {}: \
                 `export {SERVICES_DIR_VARIABLE}=/var/tmp/yahtzee-services` (or any folder open to all) and try again",
                program.display()
            ),
            Err(error) => Err(error).with_context(|| format!("cannot run {}", program.display())),
        }
    }
}

/// Lets the loader look in these folders before those of the system.
///
/// # Errors
/// If the name of a folder holds a `:`, which separates them.
pub(super) fn with_libraries<'c>(command: &'c mut Command, folders: &[PathBuf]) -> Result<&'c mut Command> {
    if folders.is_empty() {
        return Ok(command);
    }
    let path = env::join_paths(folders)
        .with_context(|| format!("a `:` in a path: set {SERVICES_DIR_VARIABLE} to another folder"))?;
    Ok(command.env("LD_LIBRARY_PATH", path))
}

/// User and group id of a user in the text of passwd(5).
fn ids_of(user: &str, passwd: &str) -> Option<(u32, u32)> {
    let mut entries = passwd.lines().map(|line| line.split(':'));
    entries.find_map(|mut fields| {
        let is_wanted = fields.next()? == user;
        let (_password, uid, gid) = (fields.next()?, fields.next()?, fields.next()?);
        is_wanted.then(|| Some((uid.parse().ok()?, gid.parse().ok()?)))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n\nnobody2:x:5:6::/:\nnobody:x:65534:65533::/:\n";
        let check = |user, expected| assert_eq!(ids_of(user, passwd), expected, "{user}");
        check("nobody", Some((65_534, 65_533)));
        check("root", Some((0, 0)));
        check("nob", None);
    }
}
