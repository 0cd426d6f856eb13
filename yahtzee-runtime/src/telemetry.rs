//! Seen from outside: the one list of metric names, and the process's log output.

pub mod logging;
pub mod names;
