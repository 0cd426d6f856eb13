//! The HTTP service on a log that is a stub.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod deliveries;
mod language;
mod memory;
mod refused;
mod stub_log;
mod tenants;
