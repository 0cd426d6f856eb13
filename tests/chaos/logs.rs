//! What the processes of a run have logged, as plain text.

use std::path::Path;

use anyhow::Result;

/// All lines of all log files in `folder`, without terminal colours.
pub(crate) fn lines(folder: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            lines.extend(std::fs::read_to_string(&path)?.lines().map(without_colours));
        }
    }
    Ok(lines)
}

fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
}

/// The greatest memory bound that a worker printed for its windows, in MiB.
pub(crate) fn memory_bound_mib(lines: &[String]) -> Option<f64> {
    let reports = lines.iter().filter(|line| line.contains("memory bound"));
    let bounds = reports.filter_map(|line| line.split("usual_mib=").nth(1)?.split(' ').next()?.parse().ok());
    bounds.reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_left_out() {
        assert_eq!(without_colours("\u{1b}[2mpart\u{1b}[0mition=\u{1b}[0m3"), "partition=3");
        assert_eq!(without_colours("plain"), "plain");
    }

    #[test]
    fn the_greatest_bound_counts() {
        let line =
            |mib: u32| format!("INFO memory bound of the windows series=7 usual_mib={mib} greatest_mib=9000");
        assert_eq!(memory_bound_mib(&[line(76), line(153), "usual_mib=900".to_owned()]), Some(153.0));
        assert_eq!(memory_bound_mib(&[]), None);
    }
}
