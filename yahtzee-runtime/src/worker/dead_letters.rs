//! Records of the DLQ and LATE topics. Wire form: `yahtzee-proto/yahtzee/dead_letters.proto`.

use prost::Message;
use yahtzee_core::effect::{DEAD_LETTER_BYTES, DeadLetter, Emit, FailedSummary, Late};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_core::summary::Provenance;

use super::worker_topics::WorkerTopics;

/// Returns partition, key and value of the record of a dead letter.
pub(super) fn dead_letter(
    letter: DeadLetter,
    topics: &WorkerTopics,
    partition: Partition,
) -> (Partition, Vec<u8>, Vec<u8>) {
    let key = key(topics, partition, letter.offset);
    let message = yahtzee_proto::DeadLetter {
        job: topics.job.to_owned(),
        topic: topics.raw.clone(),
        partition: partition.0,
        offset: letter.offset.0,
        timestamp_ms: letter.timestamp_ms,
        reason: letter.reason.name().to_owned(),
        key: letter.key,
        value: letter.value,
        value_bytes: letter.value_bytes as u64,
    };
    (partition, key, message.encode_to_vec())
}

/// Greatest size of a key and value that is written. Logs take 1 MiB for a record and what surrounds it.
pub(super) const RECORD_BYTES_MAX: usize = 1_000_000;

/// A final summary that is not published.
pub(super) struct Unpublished<'a> {
    reason: &'static str,
    key: &'a [u8],
    value: &'a [u8],
    provenance: Provenance,
}

impl<'a> Unpublished<'a> {
    /// A summary that is too large for any log.
    pub(super) fn too_large(emit: &'a Emit) -> Self {
        let provenance = Provenance::of_value(&emit.value).expect("the core writes its own summaries");
        Self { reason: "summary-too-large", key: &emit.key, value: &emit.value, provenance }
    }

    /// A summary that the job's code has panicked on.
    pub(super) fn failed(failed: &'a FailedSummary) -> Self {
        Self { reason: "summary-panic", key: &failed.key, value: &[], provenance: failed.provenance }
    }

    /// Returns partition, key and value of its record in the DLQ topic.
    pub(super) fn dead_letter(
        &self,
        topics: &WorkerTopics,
        partition: Partition,
    ) -> (Partition, Vec<u8>, Vec<u8>) {
        let start = |bytes: &[u8]| bytes[..bytes.len().min(DEAD_LETTER_BYTES)].to_vec();
        let offset = self.provenance.last_offset;
        let message = yahtzee_proto::DeadLetter {
            job: topics.job.to_owned(),
            topic: topics.summary.to_string(),
            partition: partition.0,
            offset,
            timestamp_ms: 0,
            reason: self.reason.to_owned(),
            key: start(self.key),
            value: start(self.value),
            value_bytes: self.value.len() as u64,
        };
        let key = format!("{}/{}/{partition}/{offset}", topics.job, topics.summary);
        (partition, key.into_bytes(), message.encode_to_vec())
    }
}

/// Returns partition, key and value of the record of what came too late or too early.
pub(super) fn late(
    mut late: Late,
    topics: &WorkerTopics,
    partition: Partition,
) -> (Partition, Vec<u8>, Vec<u8>) {
    let key = key(topics, partition, late.offset);
    let value_bytes = late.value.len() as u64;
    late.value.truncate(RECORD_BYTES_MAX);
    let message = yahtzee_proto::Late {
        job: topics.job.to_owned(),
        topic: topics.raw.clone(),
        partition: partition.0,
        offset: late.offset.0,
        timestamp_ms: late.timestamp_ms,
        owner: late.owner.0.to_vec(),
        late: late.outcomes.late(),
        future: late.outcomes.future,
        latest_windows: late.outcomes.latest_windows,
        value: late.value,
        value_bytes,
    };
    (partition, key, message.encode_to_vec())
}

/// `job/topic/partition/offset`: the same for every delivery, so that a reader can drop repetitions.
fn key(topics: &WorkerTopics, partition: Partition, offset: Offset) -> Vec<u8> {
    format!("{}/{}/{partition}/{offset}", topics.job, topics.raw).into_bytes()
}

#[cfg(test)]
mod tests {
    use yahtzee_core::effect::Effect;
    use yahtzee_core::owner::Owner;
    use yahtzee_core::record::{MeasurementCounts, Poison};

    use super::super::write::record_of;
    use super::*;

    fn topics() -> WorkerTopics {
        WorkerTopics {
            job: "errors",
            raw: "ERROR.v1".to_owned(),
            summary: "ERROR_SUMMARY.v1".into(),
            dead_letters: "DLQ.ERROR.v1".into(),
            late: "LATE.ERROR.v1".into(),
            partitions: 4,
            window_length_ms: 60_000,
            generation: 1,
        }
    }

    #[test]
    fn dead_letters_read_the_same_through_the_published_schema() {
        let letter = DeadLetter {
            offset: Offset(7),
            timestamp_ms: 99,
            reason: Poison::Value,
            key: vec![1, 2],
            value: vec![3],
            value_bytes: 5_000,
        };
        let record = record_of(Effect::DeadLetter(letter), &topics(), Partition(3), 1_000);
        assert_eq!(
            (&*record.topic, record.partition, record.timestamp_ms),
            ("DLQ.ERROR.v1", Partition(3), 1_000)
        );
        assert_eq!(record.key, b"errors/ERROR.v1/3/7");
        let published = yahtzee_proto::DeadLetter::decode(&*record.value).unwrap();
        let expected = yahtzee_proto::DeadLetter {
            job: "errors".to_owned(),
            topic: "ERROR.v1".to_owned(),
            partition: 3,
            offset: 7,
            timestamp_ms: 99,
            reason: "value".to_owned(),
            key: vec![1, 2],
            value: vec![3],
            value_bytes: 5_000,
        };
        assert_eq!(published, expected);

        let outcomes = MeasurementCounts {
            late: [1, 2, 0, 0],
            future: 4,
            latest_windows: 9,
            ..MeasurementCounts::default()
        };
        let rejected =
            Late { offset: Offset(8), timestamp_ms: 98, owner: Owner([6; 16]), outcomes, value: vec![1] };
        let record = record_of(Effect::Late(rejected), &topics(), Partition(1), 1_000);
        assert_eq!((&*record.topic, record.key.as_slice()), ("LATE.ERROR.v1", &b"errors/ERROR.v1/1/8"[..]));
        let published = yahtzee_proto::Late::decode(&*record.value).unwrap();
        assert_eq!((published.job.as_str(), published.topic.as_str()), ("errors", "ERROR.v1"));
        assert_eq!((published.partition, published.offset, published.timestamp_ms), (1, 8, 98));
        assert_eq!((published.late, published.future, published.latest_windows), (3, 4, 9));
        assert_eq!((published.owner, published.value), (vec![6; 16], vec![1]));
    }

    /// The log takes the record of any raw record, and so does whoever reads it: the size of the whole is in it.
    #[test]
    fn a_late_record_of_any_size_fits_the_log() {
        for bytes in [RECORD_BYTES_MAX, RECORD_BYTES_MAX + 1, 20 << 20] {
            let outcomes = MeasurementCounts::default();
            let late = Late {
                offset: Offset(8),
                timestamp_ms: 98,
                owner: Owner([6; 16]),
                outcomes,
                value: vec![1; bytes],
            };
            let record = record_of(Effect::Late(late), &topics(), Partition(1), 5);
            assert!(record.key.len() + record.value.len() < 1 << 20, "{bytes}");
            let published = yahtzee_proto::Late::decode(&*record.value).unwrap();
            assert_eq!(
                (published.value.len(), published.value_bytes),
                (bytes.min(RECORD_BYTES_MAX), bytes as u64)
            );
        }
    }

    #[derive(Clone, PartialEq, Message)]
    struct Blob {
        #[prost(bytes = "vec", tag = "16")]
        bytes: Vec<u8>,
    }

    #[test]
    fn a_summary_that_no_log_takes_is_a_dead_letter() {
        let provenance =
            Provenance { generation: 1, first_offset: 2, last_offset: 9, count: 3, is_final: true };
        let body = Blob { bytes: vec![7; RECORD_BYTES_MAX] };
        let (owner, key) = (Owner([6; 16]), vec![3; 40]);
        let emit = Emit { owner, key: key.clone(), value: provenance.join(&body), is_final: true };
        let bytes = emit.value.len() as u64;
        let record = record_of(Effect::Emit(emit), &topics(), Partition(1), 5);
        assert_eq!((&*record.topic, record.partition), ("DLQ.ERROR.v1", Partition(1)));
        let letter = yahtzee_proto::DeadLetter::decode(&*record.value).unwrap();
        assert_eq!(
            (letter.reason.as_str(), letter.topic.as_str()),
            ("summary-too-large", "ERROR_SUMMARY.v1")
        );
        assert_eq!((letter.offset, letter.key, letter.value_bytes), (9, key, bytes));
    }
}
