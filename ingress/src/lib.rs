//! HTTP log drains in, raw records out.
//!
//! The pure part reads bytes and does no I/O: [`frame`] finds the messages of a body, [`syslog`] (or
//! [`cli_text`]) their headers, [`class`] who wrote them, [`measure`] what they say, [`pack`] puts the
//! measurements into records. [`collect`] ties these together for a drain request and for a [`recording`].
//!
//! The HTTP service around it ([`service`], [`handler`], [`server`]) answers only after the log has
//! acknowledged ([`delivery`]), and stores each delivery once ([`dedupe`]).

pub mod app_event;
pub mod auth;
pub mod body;
pub mod class;
pub mod cli_text;
pub mod collect;
pub mod config;
pub mod dedupe;
pub mod delivery;
mod drain;
pub mod dyno_event;
pub mod frame;
pub mod handler;
pub mod language;
pub mod log_loss;
pub mod log_writer;
pub mod measure;
pub mod metric_names;
pub mod owner;
pub mod pack;
pub mod platform_error;
mod post;
pub mod rate;
pub mod recording;
pub mod reply;
pub mod router;
pub mod runtime_metrics;
pub mod sender;
pub mod server;
pub mod service;
pub mod settings;
pub mod start;
pub mod stats;
pub mod syslog;
pub mod timestamp;
pub mod value;

pub use collect::Counts;
pub use delivery::{Delivery, NotStored};
pub use handler::router as http_router;
pub use log_writer::LogWriter;
pub use owner::{TokenTable, derived_owner};
pub use pack::{PackedRecord, frame_digest};
pub use recording::Recording;
pub use server::serve;
pub use service::Ingress;
pub use settings::Settings;
pub use start::{Heartbeats, listen};
pub use stats::{FrameOutcome, IngressStats, Snapshot as IngressSnapshot};
