//! Heartbeats: empty records in every partition, so that windows close where there is no traffic.

use std::sync::Weak;
use std::time::Duration;

use yahtzee_runtime::shutdown::StopSignal;

use crate::service::Ingress;

/// Time between two heartbeats of a partition.
const INTERVAL: Duration = Duration::from_secs(10);

/// Whether every partition gets the present time now and then.
#[derive(Clone, Debug)]
pub enum Heartbeats {
    /// Until this signal: windows close where there is no traffic.
    Until(StopSignal),
    /// A recording keeps its own time: the present would make all of it late.
    Off,
}

/// Writes heartbeats, by the clock that stamps records too, until `stop` or until nobody else uses the service.
pub(crate) async fn write_heartbeats(ingress: Weak<Ingress>, stop: &StopSignal) {
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = stop.stopped() => return,
        }
        let Some(ingress) = ingress.upgrade() else { return };
        ingress.topics.append_heartbeats(ingress.recv_us().div_euclid(1_000));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use yahtzee_pipeline_proto::Measurement;
    use yahtzee_runtime::cause::Cause;
    use yahtzee_runtime::health::Health;
    use yahtzee_runtime::log::{AppendCallback, Appender, LogError, NewRecord, TIMESTAMP_AHEAD};
    use yahtzee_runtime::topics::TopicLayout;

    use super::*;
    use crate::raw_topics::RawTopics;
    use crate::settings::Settings;
    use crate::token_table::TokenTable;

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
    async fn every_partition_gets_one_per_interval_until_the_service_is_gone() {
        let (kept, layout) = (Arc::new(Kept::default()), TopicLayout::default());
        let topics = Arc::new(RawTopics::new(Arc::clone(&kept) as Arc<dyn Appender>, &layout));
        let ingress = Ingress::new(Settings::default(), TokenTable::default(), topics, Box::new(|| 7_999));
        let weak = Arc::downgrade(&ingress);
        let task = tokio::spawn(async move { write_heartbeats(weak, &StopSignal::new()).await });
        tokio::time::sleep(INTERVAL * 2 - Duration::from_millis(1)).await;
        drop(ingress);
        task.await.unwrap();
        let heartbeats = kept.0.lock().unwrap();
        assert_eq!(heartbeats.len(), 2 * Measurement::TYPES.len() * layout.partitions as usize);
        assert!(heartbeats.iter().all(|each| each.timestamp_ms == 7 && each.value.is_empty()));
    }

    /// Answers everything with one error.
    struct Refusing(LogError);

    impl Appender for Refusing {
        fn append(&self, _: &[NewRecord], done: AppendCallback) {
            done(Err(self.0.clone()));
        }
    }

    /// A record can be at fault itself, a heartbeat cannot.
    #[test]
    fn a_log_that_refuses_heartbeats_is_away() {
        fn check(code: &'static str, expected: Option<&str>) {
            let health = Health::default();
            let refusing = Arc::new(Refusing(LogError::refused("a record", Cause::new(code, "no"))));
            let topics = RawTopics::new(refusing, &TopicLayout::default()).with_health(health.clone());
            topics.append_heartbeats(7);
            let parts: Vec<String> = health.parts().into_keys().collect();
            assert_eq!(parts, Vec::from_iter(expected), "{code}");
            assert!(!health.is_ready());
        }
        check("disk-full", Some("ingress-log"));
        check(TIMESTAMP_AHEAD, Some("ingress-clock"));
    }
}
