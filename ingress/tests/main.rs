//! The HTTP service on a log that is a stub.

mod deliveries;
mod language;
mod refused;
mod stub_log;
