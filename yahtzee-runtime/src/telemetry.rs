//! Seen from outside: metrics and the process's log output.

pub mod logging;
pub mod metric;
