//! Log output through `tracing`: text for people, JSON for machines.

use std::fs::File;
use std::io::IsTerminal;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line per event.
    #[default]
    Text,
    /// One JSON object per event.
    Json,
}

/// Destination of log lines.
#[derive(Debug)]
pub enum LogOutput {
    /// Standard error.
    StandardError,
    /// A file, appended to: where the terminal is taken.
    File(File),
}

/// Reads a level, or a list of directives.
///
/// # Errors
/// If it is neither; the text shows what to write.
pub(crate) fn parse_filter(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(filter)
        .map_err(|error| format!("log filter `{filter}` is not readable: {error}; try `info`"))
}

/// Starts logging. `filter` is a level or a list of directives such as `info,yahtzee_runtime=debug`.
///
/// # Errors
/// If `filter` cannot be read, or logging was set up before; the text says which.
pub fn start_logging(format: LogFormat, filter: &str, output: LogOutput) -> Result<(), String> {
    let filter = parse_filter(filter)?;
    let (writer, is_terminal) = match output {
        LogOutput::StandardError => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
        LogOutput::File(file) => (BoxMakeWriter::new(Mutex::new(file)), false),
    };
    // Where a line cannot be written, it would be said on standard error, by a macro that panics if nobody reads there.
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    let started = match format {
        LogFormat::Text => builder.with_ansi(is_terminal).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| format!("logging was already started: {error}"))
}
