//! Heartbeats: empty records in every partition, so that windows close where there is no traffic.

use std::sync::Weak;
use std::time::Duration;

use crate::raw_topics::RawTopics;

/// Time between two heartbeats of a partition.
const INTERVAL: Duration = Duration::from_secs(10);

/// Whether every partition gets the present time now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeats {
    /// Windows close where there is no traffic.
    On,
    /// A recording keeps its own time: the present would make all of it late.
    Off,
}

/// Writes heartbeats by `clock` (microseconds since 1970) until nobody else uses the topics.
pub(crate) async fn write_heartbeats(topics: Weak<RawTopics>, clock: fn() -> i64) {
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        interval.tick().await;
        let Some(topics) = topics.upgrade() else { return };
        topics.append_heartbeats(clock().div_euclid(1_000));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use yahtzee_pipeline_proto::Measurement;
    use yahtzee_runtime::log::{AppendCallback, Appender, NewRecord};
    use yahtzee_runtime::topics::TopicLayout;

    use super::*;

    /// Keeps what is appended.
    #[derive(Default)]
    struct Kept(Mutex<Vec<NewRecord>>);

    impl Appender for Kept {
        fn append(&self, records: &[NewRecord], done: AppendCallback) {
            self.0.lock().unwrap().extend_from_slice(records);
            done(Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_partition_gets_one_per_interval_until_the_topics_are_gone() {
        let (kept, layout) = (Arc::new(Kept::default()), TopicLayout::default());
        let topics = Arc::new(RawTopics::new(Arc::clone(&kept) as Arc<dyn Appender>, &layout));
        let task = tokio::spawn(write_heartbeats(Arc::downgrade(&topics), || 7_999));
        tokio::time::sleep(INTERVAL * 2 - Duration::from_millis(1)).await;
        drop(topics);
        task.await.unwrap();
        let heartbeats = kept.0.lock().unwrap();
        assert_eq!(heartbeats.len(), 2 * Measurement::TYPES.len() * layout.partitions as usize);
        assert!(heartbeats.iter().all(|each| each.timestamp_ms == 7 && each.value.is_empty()));
    }
}
