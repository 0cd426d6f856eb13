//! Standard output and standard error, whose readers may go away: `head` does, terminals close, disks fill up. The macros of
//! the standard library panic then.

use std::fmt;
use std::io::{self, ErrorKind, Write as _};

/// Reason why standard output was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub struct OutputError(#[from] io::Error);

impl OutputError {
    /// Returns whether nobody reads any more, which is no failure of the writer.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

/// Writes to standard output; see [`out!`](crate::out).
///
/// # Errors
/// If it cannot be written to, or nobody reads any more.
pub fn write(text: fmt::Arguments<'_>) -> Result<(), OutputError> {
    let mut output = io::stdout().lock();
    output.write_fmt(text).and_then(|()| output.flush()).map_err(OutputError)
}

/// Writes to standard error; see [`errln!`](crate::errln). Where that fails there is nowhere left to say so.
pub fn write_error(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// Writes formatted text to standard output; a `Result` of [`OutputError`].
#[macro_export]
macro_rules! out {
    ($($text:tt)*) => { $crate::output::write(format_args!($($text)*)) };
}

/// Writes a formatted line to standard output; a `Result` of [`OutputError`].
#[macro_export]
macro_rules! outln {
    ($($text:tt)*) => { $crate::output::write(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes a formatted line to standard error, if anybody reads it.
#[macro_export]
macro_rules! errln {
    ($($text:tt)*) => { $crate::output::write_error(format_args!("{}\n", format_args!($($text)*))) };
}
