//! Records of the DLQ and LATE topics. Wire form: `yahtzee-proto/yahtzee/dead_letters.proto`.

use prost::Message;
use yahtzee_core::effect::{
    DEAD_LETTER_BYTES, DeadLetter, FailedSummary, Late, RECORD_BYTES_MAX, SummaryFailure,
};
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;

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

/// Returns partition, key and value of the record of a final summary that is not published.
pub(super) fn failed_summary(
    failed: FailedSummary,
    topics: &WorkerTopics,
    partition: Partition,
) -> (Partition, Vec<u8>, Vec<u8>) {
    let (reason, value, value_bytes) = match failed.reason {
        SummaryFailure::Panic => ("summary-panic", Vec::new(), 0),
        SummaryFailure::TooLarge { value, value_bytes } => ("summary-too-large", value, value_bytes),
    };
    let offset = failed.provenance.last_offset;
    let message = yahtzee_proto::DeadLetter {
        job: topics.job.to_owned(),
        topic: topics.summary.to_string(),
        partition: partition.0,
        offset,
        timestamp_ms: 0,
        reason: reason.to_owned(),
        key: failed.key[..failed.key.len().min(DEAD_LETTER_BYTES)].to_vec(),
        value,
        value_bytes: value_bytes as u64,
    };
    let key = format!("{}/{}/{partition}/{offset}", topics.job, topics.summary);
    (partition, key.into_bytes(), message.encode_to_vec())
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
    use yahtzee_core::summary::Provenance;

    use super::super::write::{fit, record_of};
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

    #[test]
    fn a_summary_that_cannot_be_published_is_a_dead_letter() {
        let check = |key_bytes: usize, reason: SummaryFailure, name: &str, value: &[u8], value_bytes: u64| {
            let provenance =
                Provenance { generation: 1, first_offset: 2, last_offset: 9, count: 3, is_final: true };
            let (owner, key) = (Owner([6; 16]), vec![3; key_bytes]);
            let failed = FailedSummary { owner, key: key.clone(), provenance, reason };
            let record = record_of(Effect::Failed(failed), &topics(), Partition(1), 5);
            assert_eq!((&*record.topic, record.partition), ("DLQ.ERROR.v1", Partition(1)));
            let letter = yahtzee_proto::DeadLetter::decode(&*record.value).unwrap();
            assert_eq!((letter.reason.as_str(), letter.topic.as_str()), (name, "ERROR_SUMMARY.v1"));
            assert_eq!((letter.offset, letter.key), (9, key[..key.len().min(DEAD_LETTER_BYTES)].to_vec()));
            assert_eq!(record.key, b"errors/ERROR_SUMMARY.v1/1/9");
            assert_eq!((&*letter.value, letter.value_bytes), (value, value_bytes));
        };
        check(40, SummaryFailure::Panic, "summary-panic", &[], 0);
        check(9_000, SummaryFailure::Panic, "summary-panic", &[], 0);
        let too_large = SummaryFailure::TooLarge { value: vec![7; 20], value_bytes: 2_000_000 };
        check(40, too_large, "summary-too-large", &[7; 20], 2_000_000);
    }

    /// The final one of the series follows.
    #[test]
    fn a_change_that_cannot_be_published_is_no_dead_letter() {
        for is_final in [true, false] {
            let provenance =
                Provenance { generation: 1, first_offset: 2, last_offset: 9, count: 3, is_final };
            let (owner, key) = (Owner([6; 16]), vec![3; 40]);
            let failed = FailedSummary { owner, key, provenance, reason: SummaryFailure::Panic };
            assert_eq!(fit(Effect::Failed(failed), &topics()).is_some(), is_final);
        }
    }
}
