//! Log lines: one file per kind of line, from its bytes to its measurements.
//!
//! [`syslog`] or [`heroku_logs`] reads the header, [`class`] tells who wrote the line, [`measure`](measure()) what it says.

mod app_event;
pub mod class;
pub mod context;
mod dyno_event;
pub mod heroku_logs;
mod log_loss;
mod measure;
mod platform_error;
mod router;
mod runtime_metrics;
pub mod syslog;
pub mod timestamp;
pub mod values;

#[cfg(test)]
mod damage_tests;

pub use class::LineClass;
pub use context::{CommonFields, DynoRef, LineContext};
pub use measure::{ParsedLine, measure};
pub use syslog::LogLine;
