//! HTTP log drains in, raw records out.
//!
//! The pure part reads bytes and does no I/O: [`frame`] finds the messages of a body, [`syslog`] (or
//! [`cli_text`]) their headers, [`class`] who wrote them, [`measure`] what they say, [`pack`] puts the
//! measurements into records. [`collect`] ties these together for a drain request and for a [`recording`].
//!
//! The HTTP service around it ([`service`], [`handler`], [`server`]) appends to the [`raw_topics`], answers only after the
//! log has acknowledged, and stores each delivery once ([`dedupe`]).

pub mod app_event;
pub mod auth;
pub mod body;
pub mod class;
pub mod cli_text;
pub mod collect;
pub mod config;
pub mod dedupe;
mod drain;
pub mod dyno_event;
mod endpoint;
pub mod frame;
pub mod handler;
pub mod heartbeats;
pub mod language;
pub mod log_loss;
pub mod measure;
pub mod metric_names;
pub mod owner;
pub mod pack;
pub mod platform_error;
pub mod rate;
pub mod raw_topics;
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

pub use collect::BodyCounts;
pub use dedupe::NotStored;
pub use handler::router as http_router;
pub use heartbeats::Heartbeats;
pub use owner::{TokenTable, derived_owner};
pub use pack::{PackedRecord, frame_digest};
pub use raw_topics::RawTopics;
pub use recording::Recording;
pub use server::serve;
pub use service::Ingress;
pub use settings::Settings;
pub use start::listen;
pub use stats::{FrameOutcome, IngressStats, Snapshot as IngressSnapshot};
