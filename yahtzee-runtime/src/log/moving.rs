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
        let (topic, isolation) = (self.topic.clone(), self.isolation);
        self.move_or_open(from, || log.reader(&topic, from, isolation))
    }

    fn move_or_open(
        &mut self,
        from: &[(Partition, Offset)],
        open: impl FnOnce() -> Result<Box<dyn LogReader>, LogError>,
    ) -> Result<(), LogError> {
        let has_moved = match &mut self.reader {
            Some(reader) => reader.move_to(from)?,
            None => false,
        };
        if !has_moved {
            self.reader = Some(open()?);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that says where it is by its known end.
    struct Movable {
        place: Offset,
        can_move: bool,
    }

    impl LogReader for Movable {
        fn poll(&mut self, _wait: Duration) -> Result<Batch<'_>, LogError> {
            Ok(Batch::new(std::iter::empty()))
        }

        fn known_end(&self, _partition: Partition) -> Option<Offset> {
            Some(self.place)
        }

        fn move_to(&mut self, from: &[(Partition, Offset)]) -> Result<bool, LogError> {
            if self.can_move {
                self.place = from[0].1;
            }
            Ok(self.can_move)
        }
    }

    /// Moves to three places and compares how many readers were opened.
    fn check(can_move: bool, expected: u32) {
        let mut opened = 0;
        let mut reader = MovingReader::new("topic", Isolation::Committed);
        for place in [3, 1, 2] {
            let from = [(Partition(0), Offset(place))];
            let open = || -> Result<Box<dyn LogReader>, LogError> {
                opened += 1;
                Ok(Box::new(Movable { place: Offset(place), can_move }))
            };
            reader.move_or_open(&from, open).unwrap();
            let at = reader.reader.as_ref().and_then(|reader| reader.known_end(Partition(0)));
            assert_eq!(at, Some(Offset(place)));
        }
        assert_eq!(opened, expected, "{can_move}");
    }

    #[test]
    fn a_reader_that_can_be_moved_is_opened_once() {
        check(true, 1);
        check(false, 3);
    }
}
