//! The writers of a slot: fenced, or at least once.

use std::sync::Arc;

use yahtzee_core::owner::Partition;

use crate::log::{
    Acknowledged, Appender, CommittedOffset, LogError, NewRecord, OffsetCommit, SharedLog, SlotName,
    SlotWriter, Transaction,
};

use super::{Guarantee, WorkerSettings};

/// Opens the writer of a slot; a fenced one fences its predecessors.
pub(super) fn open_writer(
    log: &SharedLog,
    name: &SlotName,
    settings: &WorkerSettings,
) -> Result<Box<dyn SlotWriter>, LogError> {
    match settings.guarantee {
        Guarantee::Fenced => log.slot_writer(name),
        Guarantee::AtLeastOnce => Ok(Box::new(UnfencedWriter {
            log: Arc::clone(log),
            group: name.group.clone(),
            appender: log.appender(settings.write_deadline)?,
        })),
    }
}

/// Writes at least once: records are visible when they are acknowledged, and stay when the commit does not follow.
struct UnfencedWriter {
    log: SharedLog,
    group: String,
    appender: Arc<dyn Appender>,
}

impl SlotWriter for UnfencedWriter {
    fn committed(
        &mut self,
        topic: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Option<CommittedOffset>>, LogError> {
        // Of a time when the job was fenced, a transaction may hang that nobody here can end. What was committed before it is right:
        // more is read again.
        let below = |error: LogError| match error.is_transient() {
            true => {
                self.log.committed_below_open_transactions(&self.group, topic, partitions).map_err(|_| error)
            }
            false => Err(error),
        };
        self.log.committed(&self.group, topic, partitions).or_else(below)
    }

    fn append(&mut self, records: &[NewRecord]) -> Result<Acknowledged<'_>, LogError> {
        self.appender.append_and_wait(records)?;
        Ok(Acknowledged::new(self))
    }
}

impl Transaction for UnfencedWriter {
    fn commit(&mut self, offsets: &[OffsetCommit<'_>]) -> Result<(), LogError> {
        if offsets.is_empty() {
            return Ok(());
        }
        self.log.commit(&self.group, offsets)
    }

    fn abort(&mut self) {}
}
