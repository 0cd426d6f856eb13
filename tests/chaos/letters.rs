//! Dead letters: which raw records they are of.

use std::collections::HashSet;

use yahtzee_core::owner::Partition;
use yahtzee_core::record::LogRecord;

use crate::watch::Sight;

/// Partition and offset of every raw record that has a dead letter.
#[derive(Default)]
pub(crate) struct Letters {
    pub(crate) of: HashSet<(u32, u64)>,
}

impl Sight for Letters {
    /// The key is `job/topic/partition/offset` of the raw record.
    fn see(&mut self, _: Partition, record: &LogRecord<'_>) {
        let key = String::from_utf8_lossy(record.key);
        let mut parts = key.rsplit('/');
        let offset = parts.next().and_then(|offset| offset.parse().ok());
        let partition = parts.next().and_then(|partition| partition.parse().ok());
        self.of.extend(partition.zip(offset));
    }
}
