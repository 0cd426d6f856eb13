//! How a slot writes: fenced, or at least once.

use std::sync::{Arc, mpsc};

use crate::log::{Appender, CommitSource, LogError, NewRecord, SharedLog, SlotName, SlotWriter};

use super::{Guarantee, WorkerSettings};

/// The writer of one slot.
pub(super) enum Writer {
    Fenced(Box<dyn SlotWriter>),
    AtLeastOnce { log: SharedLog, group: String, appender: Arc<dyn Appender> },
}

impl Writer {
    /// Opens the writer; a fenced one fences its predecessors.
    pub(super) fn open(
        log: &SharedLog,
        name: &SlotName,
        settings: &WorkerSettings,
    ) -> Result<Self, LogError> {
        match settings.guarantee {
            Guarantee::Fenced => Ok(Self::Fenced(log.slot_writer(name)?)),
            Guarantee::AtLeastOnce => Ok(Self::AtLeastOnce {
                log: Arc::clone(log),
                group: name.group.clone(),
                appender: log.appender(settings.write_deadline)?,
            }),
        }
    }

    /// Makes `records` durable, then what `commit` allows. See [`SlotWriter::write`]. `records` may be taken.
    pub(super) fn write(
        &mut self,
        records: &mut Vec<NewRecord>,
        commit: &mut CommitSource<'_>,
    ) -> Result<(), LogError> {
        match self {
            Self::Fenced(writer) => writer.write(records, commit),
            Self::AtLeastOnce { log, group, appender } => {
                append(&**appender, std::mem::take(records))?;
                for (topic, partition, offset) in commit() {
                    log.commit(group, &topic, &[(partition, offset)])?;
                }
                Ok(())
            }
        }
    }
}

fn append(appender: &dyn Appender, records: Vec<NewRecord>) -> Result<(), LogError> {
    if records.is_empty() {
        return Ok(());
    }
    let (done, acknowledged) = mpsc::sync_channel(1);
    let answer = Box::new(move |result| {
        // The receiver waits below; it is gone only if this thread has panicked.
        let _ = done.send(result);
    });
    appender.append(records, answer);
    acknowledged.recv().unwrap_or_else(|_| {
        Err(LogError::Unavailable {
            what: "the acknowledgement of summaries".to_owned(),
            reason: "the appender was closed".to_owned(),
        })
    })
}
