//! The HTTP service on a log that is a stub.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod deliveries;
mod language;
mod refused;
mod stub_log;
