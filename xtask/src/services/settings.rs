//! Settings files: templates below `services/` whose `@NAME@` placeholders are filled in at each start.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The file `path` below `services/`.
pub(super) fn template(path: &str) -> PathBuf {
    crate::repository_root().join("services").join(path)
}

/// Writes the settings that `template` makes of `values`, pairs of placeholder and value.
///
/// # Errors
/// If the template cannot be read or `path` not be written.
pub(super) fn write(template: &Path, values: &[(&str, &str)], path: &Path) -> Result<()> {
    let text = fs::read_to_string(template).with_context(|| format!("cannot read {}", template.display()))?;
    fs::write(path, fill_in(&text, values)).with_context(|| format!("cannot write {}", path.display()))
}

fn fill_in(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a template's settings, without comments.
    fn filled_in(path: &str, values: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("settings");
        write(&template(path), values, &settings).unwrap();
        let text = fs::read_to_string(settings).unwrap();
        text.lines().filter(|line| !line.starts_with(['#', ';'])).map(str::to_owned).collect()
    }

    #[track_caller]
    fn check(path: &str, values: &[(&str, &str)], expected: &[&str]) {
        let lines = filled_in(path, values);
        expected.iter().for_each(|line| assert!(lines.iter().any(|it| it == line), "{line} in {lines:#?}"));
        let placeholder = |line: &&String| {
            let between = line.split('@').nth(1).filter(|_| line.matches('@').count() > 1);
            between.is_some_and(|name| {
                !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            })
        };
        assert_eq!(lines.iter().find(placeholder), None);
    }

    #[test]
    fn every_placeholder_of_every_template_is_filled_in() {
        check(
            "kafka/server.properties",
            &[("PORT", "1111"), ("CONTROLLER_PORT", "2222"), ("DATA_DIR", "/data")],
            &[
                "log.dirs=/data",
                "controller.quorum.voters=1@127.0.0.1:2222",
                "advertised.listeners=PLAINTEXT://127.0.0.1:1111",
            ],
        );
        check("postgres/postgresql.conf", &[("PORT", "1111")], &["port = 1111", "fsync = on"]);
        check(
            "pgbouncer/pgbouncer.ini",
            &[("PORT", "1111"), ("SERVER_PORT", "2222")],
            &["listen_port = 1111", "* = host=127.0.0.1 port=2222 user=postgres"],
        );
    }
}
