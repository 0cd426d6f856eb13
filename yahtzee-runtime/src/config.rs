//! One strict file for all processes, with overrides from the environment.
//!
//! Two stages: a section such as [`WorkerSection`] is what was written, key by key with its documentation; its `check`
//! returns what it means, with relations between settings asserted. Each crate owns its sections; who builds a
//! program composes them into a file and reads it with [`parse_file`].

mod environment;
mod error;
mod file;
mod job;
mod kafka;
mod log;
mod log_choice;
mod process;
mod secret;
mod topics;
mod worker;

pub use environment::{Environment, platform_variable, process_environment};
pub use error::ConfigError;
pub use file::{parse_file, read_text, written};
pub use job::JobSection;
pub use kafka::KafkaSection;
pub use log::{EmbeddedLogSection, LogKind, LogSection};
pub use log_choice::LogChoice;
pub use process::{AdminSection, LoggingSection, parse_address};
pub use secret::{HIDDEN, Secret, hide};
pub use topics::TopicsSection;
pub use worker::{WorkerConfig, WorkerSection, is_other_dyno, worker_index_from};

#[cfg(test)]
mod tests;
