//! Reading a topic piece by piece through one reader.

use std::time::Duration;

use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use super::batch::Batch;
use super::error::LogError;
use super::interface::{Log, LogReader};
use super::record::Isolation;

/// A reader of a topic that is moved from one piece to the next: on Kafka it remains one client with its connections, however
/// many partitions it reads one after the other.
pub struct MovingReader {
    topic: String,
    isolation: Isolation,
    reader: Option<Box<dyn LogReader>>,
}

impl MovingReader {
    /// Creates a reader that reads nothing yet.
    #[must_use]
    pub fn new(topic: &str, isolation: Isolation) -> Self {
        Self { topic: topic.to_owned(), isolation, reader: None }
    }

    /// Returns the topic that is read.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Reads these partitions from now on, and no others.
    ///
    /// # Errors
    /// [`LogError::NoSuchTopic`] if the topic or one of the partitions does not exist.
    pub fn move_to(&mut self, log: &dyn Log, from: &[(Partition, Offset)]) -> Result<(), LogError> {
        let has_moved = match &mut self.reader {
            Some(reader) => reader.move_to(from)?,
            None => false,
        };
        if !has_moved {
            self.reader = Some(log.reader(&self.topic, from, self.isolation)?);
        }
        Ok(())
    }

    /// Polls as [`LogReader::poll`] does; nothing comes before the first move.
    ///
    /// # Errors
    /// Those of [`LogReader::poll`].
    pub fn poll(&mut self, wait: Duration) -> Result<Batch<'_>, LogError> {
        match &mut self.reader {
            Some(reader) => reader.poll(wait),
            None => Ok(Batch::new(std::iter::empty())),
        }
    }
}
