//! Reading: waits for the writer, then copies what is there into a page.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fjall::Snapshot;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

use super::EmbeddedHandle;
use super::format::PartitionId;
use super::state::LogState;
use super::store::LogStore;
use crate::log::{Batch, Bounds, LogError, LogReader, Page};

/// Limits of one page; one record may exceed them.
const PAGE_BYTES: usize = 1 << 20;
const PAGE_RECORDS: usize = 4_096;

/// Reads some partitions of one topic.
pub(super) struct EmbeddedReader {
    handle: Arc<EmbeddedHandle>,
    topic: String,
    cursors: Vec<PartitionCursor>,
    /// The cursor that comes first next time, so that none waits behind a busy one.
    first: usize,
    page: Page,
}

/// Position of the reader in a partition.
struct PartitionCursor {
    id: PartitionId,
    position: u64,
    /// Whether an end was reported: later ones are, when their records have been read.
    has_reported_end: bool,
    known_end: Option<u64>,
    /// Its offset is not in the log; that was reported.
    is_lost: bool,
}

impl EmbeddedReader {
    /// Opens a reader at the given offsets.
    pub(super) fn open(
        handle: Arc<EmbeddedHandle>,
        topic: &str,
        from: &[(Partition, Offset)],
    ) -> Result<Self, LogError> {
        let state = handle.shared.published.lock();
        let cursor = |&(partition, offset): &(Partition, Offset)| {
            let (id, _) = state.find(topic, partition)?;
            Ok(PartitionCursor {
                id,
                position: offset.0,
                has_reported_end: false,
                known_end: None,
                is_lost: false,
            })
        };
        let cursors = from.iter().map(cursor).collect::<Result<_, _>>()?;
        drop(state);
        Ok(Self { handle, topic: topic.to_owned(), cursors, first: 0, page: Page::default() })
    }

    /// Updates the known ends; returns whether any partition has something to report.
    fn look(cursors: &mut [PartitionCursor], state: &LogState) -> Option<()> {
        let mut has_work = false;
        for cursor in cursors {
            let bounds = state.partition(cursor.id).bounds();
            cursor.known_end = Some(bounds.end.0);
            has_work |= cursor.has_work(bounds);
        }
        has_work.then_some(())
    }

    /// Returns the first partition with a position that is not in the log, once.
    ///
    /// Called after the snapshot was taken: retention moves the start before it deletes, so if the start is still
    /// at or before the position now, the snapshot has every record from there on.
    fn take_lost(&mut self) -> Option<LogError> {
        let state = self.handle.shared.published.lock();
        let lost =
            self.cursors.iter_mut().find(|cursor| cursor.is_outside(state.partition(cursor.id).bounds()))?;
        lost.is_lost = true;
        Some(LogError::OffsetOutOfRange {
            topic: self.topic.clone(),
            partition: lost.id.partition,
            offset: Offset(lost.position),
        })
    }

    fn fill(&mut self, snapshot: &Snapshot) -> Result<(), LogError> {
        let ready = self.cursors.iter().filter(|cursor| cursor.is_ready()).count().max(1);
        let share = PageRoom { bytes: PAGE_BYTES / ready, records: (PAGE_RECORDS / ready).max(1) };
        let (later, sooner) = self.cursors.split_at_mut(self.first);
        for cursor in sooner.iter_mut().chain(later).filter(|cursor| cursor.is_ready()) {
            cursor.fill(&self.handle.shared.store, snapshot, share, &mut self.page)?;
        }
        self.first = (self.first + 1) % self.cursors.len().max(1);
        Ok(())
    }
}

impl LogReader for EmbeddedReader {
    fn poll(&mut self, wait: Duration) -> Result<Batch<'_>, LogError> {
        self.page.clear();
        let until = Instant::now().checked_add(wait);
        let published = &self.handle.shared.published;
        if published.wait(until, |state| Self::look(&mut self.cursors, state)).is_some() {
            let snapshot = self.handle.shared.store.snapshot();
            if let Some(error) = self.take_lost() {
                return Err(error);
            }
            let filled = self.fill(&snapshot);
            // What was copied before an error is delivered; the error comes again with the next poll.
            if self.page.is_empty() {
                filled?;
            }
        }
        Ok(Batch::from(&self.page))
    }

    fn known_end(&self, partition: Partition) -> Option<Offset> {
        let cursor = self.cursors.iter().find(|cursor| cursor.id.partition == partition)?;
        cursor.known_end.map(Offset)
    }
}

/// Room of a cursor on the page. At least one record is always put.
#[derive(Clone, Copy)]
struct PageRoom {
    bytes: usize,
    records: usize,
}

impl PartitionCursor {
    fn is_outside(&self, bounds: Bounds) -> bool {
        !self.is_lost && !(bounds.start.0..=bounds.end.0).contains(&self.position)
    }

    fn has_work(&self, bounds: Bounds) -> bool {
        self.is_outside(bounds) || self.is_ready()
    }

    /// Returns whether there may be records before the known end, or the first end is to be reported.
    fn is_ready(&self) -> bool {
        !self.is_lost && self.known_end.is_some_and(|end| self.position < end || !self.has_reported_end)
    }

    /// Copies records from the position on. The known end is older than the snapshot, so all up to it is there.
    fn fill(
        &mut self,
        store: &LogStore,
        snapshot: &Snapshot,
        mut room: PageRoom,
        page: &mut Page,
    ) -> Result<(), LogError> {
        let end = self.known_end.unwrap_or(self.position);
        for stored in store.scan(snapshot, self.id, self.position..end) {
            let stored = stored?;
            let (record, headers) = stored.with_headers();
            page.push_record(self.id.partition, record, headers);
            self.position = record.offset.0 + 1;
            room.records -= 1;
            room.bytes = room.bytes.saturating_sub(stored.len());
            if self.position < end && (room.records == 0 || room.bytes == 0) {
                return Ok(());
            }
        }
        // What is missing below the end was superseded.
        self.position = end;
        self.has_reported_end = true;
        page.push_end(self.id.partition, Offset(end));
        Ok(())
    }
}
