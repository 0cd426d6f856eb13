//! HTTP log drains in, raw records out.
//!
//! The pure part reads bytes and does no I/O: [`octet_counting`] finds the messages of a body, [`line`](mod@line) reads
//! each into measurements, [`packer`] puts those into raw records; [`collector`] ties the three together, for a drain
//! request and for a [`recording`].
//!
//! The HTTP service around it ([`service`], [`handler`], [`server`]) appends to the [`raw_topics`], answers only after the
//! log has acknowledged, and stores each delivery once ([`dedupe`]).

// From bytes to raw records.
pub mod collector;
pub mod line;
pub mod octet_counting;
pub mod packer;
mod parsed_body;
pub mod recording;
pub mod token_table;

// The kinds of requests.
mod drain;
mod endpoint;
pub mod language;

// The service.
pub mod auth;
pub mod body_memory;
pub mod config;
pub mod dedupe;
pub mod handler;
pub mod heartbeats;
mod log_check;
pub mod metric_names;
pub mod rate_limit;
pub mod raw_topics;
pub mod reply;
pub mod request_body;
pub mod sender;
pub mod sender_name;
pub mod server;
pub mod service;
pub mod settings;
mod stamp_check;
pub mod start;
pub mod stats;
mod trouble;
pub mod unknown_owners;

pub use collector::BodyCounts;
pub use dedupe::NotStored;
pub use handler::router as http_router;
pub use heartbeats::Heartbeats;
pub use packer::PackedRecord;
pub use raw_topics::RawTopics;
pub use recording::{LineNames, Recording};
pub use server::serve;
pub use service::Ingress;
pub use settings::Settings;
pub use start::listen;
pub use stats::{FrameOutcome, IngressSnapshot, IngressStats};
pub use token_table::{TokenTable, derived_owner};
