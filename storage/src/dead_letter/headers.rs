//! The failure headers of a summary that was not stored: those of RETRY and QUARANTINE records.
//!
//! | header                     | value                                                             |
//! |----------------------------|-------------------------------------------------------------------|
//! | `yahtzee-store`            | name of the store, as in `postgres`                               |
//! | `yahtzee-job`              | name of the job                                                   |
//! | `yahtzee-shard`            | name of the shard                                                 |
//! | `yahtzee-revision`         | `generation/last_offset/final`, as in `3/81723/true`              |
//! | `yahtzee-source`           | `topic/partition/offset` of the summary                           |
//! | `yahtzee-first-failure-ms` | when it failed first, milliseconds since 1970                     |
//! | `yahtzee-attempts`         | times that it was handed to RETRY since an operator last looked   |
//! | `yahtzee-error-code`       | code of what went wrong last: a SQLSTATE, `io:StorageFull`, ...   |
//! | `yahtzee-error`            | what the store said last, 512 bytes at most                       |
//! | `yahtzee-settled`          | QUARANTINE only: `requeued` or `dropped`, by an operator          |
//!
//! Values are text. Key and value of the record are the summary's own bytes. Headers that are missing or invalid are
//! ignored when they are read: the summary can be stored without any of them.

use std::fmt;
use std::str::FromStr;

use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_core::summary::Revision;
use yahtzee_runtime::log::Header;

/// Maximum size of `yahtzee-error`, in bytes.
pub const ERROR_BYTES_MAX: usize = 512;

const STORE: &str = "yahtzee-store";
const JOB: &str = "yahtzee-job";
const SHARD: &str = "yahtzee-shard";
const REVISION: &str = "yahtzee-revision";
const SOURCE: &str = "yahtzee-source";
const FIRST_FAILURE_MS: &str = "yahtzee-first-failure-ms";
const ATTEMPTS: &str = "yahtzee-attempts";
const ERROR_CODE: &str = "yahtzee-error-code";
const ERROR: &str = "yahtzee-error";
const SETTLED: &str = "yahtzee-settled";

/// Source of a summary, and its failures so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureHeaders {
    /// Name of the store that did not take it.
    pub store: Option<String>,
    /// Name of the job.
    pub job: Option<String>,
    /// Name of the shard; a summary without a readable key has none.
    pub shard: Option<String>,
    /// Revision of the summary, if it has one.
    pub revision: Option<Revision>,
    /// Place of the summary in its own topic.
    pub source: Option<RecordPosition>,
    /// Time of the first failure, milliseconds since 1970.
    pub first_failure_ms: Option<i64>,
    /// Number of times that it was handed to RETRY since an operator last requeued it.
    pub attempts: u32,
    /// What kind of failure it was last: see [`Cause::code`](yahtzee_runtime::cause::Cause::code). Records of former versions
    /// have none.
    pub code: Option<String>,
    /// What the store said last.
    pub error: Option<String>,
    /// Action of an operator on a quarantined summary.
    pub settled: Option<Settled>,
}

/// Place of a record in the log. Shown as `topic/partition/offset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordPosition {
    /// Topic, without the prefix of the cluster.
    pub topic: String,
    /// Partition.
    pub partition: Partition,
    /// Offset.
    pub offset: Offset,
}

/// Way in which an operator settled a quarantined summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was handed to RETRY.
    Requeued,
    /// It was discarded.
    Dropped,
}

impl FailureHeaders {
    /// Returns the headers of a record. An error that is too long is cut between characters.
    #[must_use]
    pub fn headers(&self) -> Vec<Header> {
        let text = |name, value: Option<String>| {
            Some(Header { name: std::borrow::Cow::Borrowed(name), value: value?.into_bytes() })
        };
        let error =
            self.error.as_deref().map(|error| error[..error.floor_char_boundary(ERROR_BYTES_MAX)].to_owned());
        let headers = [
            text(STORE, self.store.clone()),
            text(JOB, self.job.clone()),
            text(SHARD, self.shard.clone()),
            text(REVISION, self.revision.as_ref().map(revision_text)),
            text(SOURCE, self.source.as_ref().map(RecordPosition::to_string)),
            text(FIRST_FAILURE_MS, self.first_failure_ms.map(|ms| ms.to_string())),
            text(ATTEMPTS, Some(self.attempts.to_string())),
            text(ERROR_CODE, self.code.clone()),
            text(ERROR, error),
            text(SETTLED, self.settled.map(|settled| settled.name().to_owned())),
        ];
        headers.into_iter().flatten().collect()
    }

    /// Reads headers, and ignores invalid ones. The last header of a name counts.
    #[must_use]
    pub fn read<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut trail = Self::default();
        for (name, value) in headers {
            let Ok(text) = str::from_utf8(value) else { continue };
            match name {
                STORE => trail.store = Some(text.to_owned()),
                JOB => trail.job = Some(text.to_owned()),
                SHARD => trail.shard = Some(text.to_owned()),
                REVISION => trail.revision = parse_revision(text),
                SOURCE => trail.source = text.parse().ok(),
                FIRST_FAILURE_MS => trail.first_failure_ms = text.parse().ok(),
                ATTEMPTS => trail.attempts = text.parse().unwrap_or(0),
                ERROR_CODE => trail.code = Some(text.to_owned()),
                ERROR => trail.error = Some(text.to_owned()),
                SETTLED => trail.settled = Settled::parse(text),
                _ => {}
            }
        }
        trail
    }
}

fn revision_text(revision: &Revision) -> String {
    let Revision { generation, last_offset, is_final } = revision;
    format!("{generation}/{last_offset}/{is_final}")
}

fn parse_revision(text: &str) -> Option<Revision> {
    let mut parts = text.split('/');
    let mut part = || parts.next();
    let revision = Revision {
        generation: part()?.parse().ok()?,
        last_offset: Offset(part()?.parse().ok()?),
        is_final: part()?.parse().ok()?,
    };
    parts.next().is_none().then_some(revision)
}

impl fmt::Display for RecordPosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// Error for a text that is not of the form `topic/partition/offset`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form topic/partition/offset, as in RETRY.ERROR_SUMMARY.v1/3/81723")]
pub struct NotARecordPosition(String);

impl FromStr for RecordPosition {
    type Err = NotARecordPosition;

    fn from_str(text: &str) -> Result<Self, NotARecordPosition> {
        let parse = || {
            let mut parts = text.rsplitn(3, '/');
            let offset = Offset(parts.next()?.parse().ok()?);
            let partition = Partition(parts.next()?.parse().ok()?);
            Some(Self { topic: parts.next()?.to_owned(), partition, offset })
        };
        parse().ok_or_else(|| NotARecordPosition(text.to_owned()))
    }
}

impl Settled {
    /// Returns the name, as in the header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Requeued => "requeued",
            Self::Dropped => "dropped",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Requeued, Self::Dropped].into_iter().find(|settled| settled.name() == text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn read_back(headers: &[Header]) -> FailureHeaders {
        FailureHeaders::read(headers.iter().map(|header| (&*header.name, header.value.as_slice())))
    }

    fn any_trail() -> impl Strategy<Value = FailureHeaders> {
        let revision =
            (any::<u32>(), any::<u64>(), any::<bool>()).prop_map(|(generation, last, is_final)| Revision {
                generation,
                last_offset: Offset(last),
                is_final,
            });
        let source =
            ("[A-Z._/v0-9]{1,20}", any::<u32>(), any::<u64>()).prop_map(|(topic, partition, offset)| {
                RecordPosition { topic, partition: Partition(partition), offset: Offset(offset) }
            });
        let error = (option::of("[-a-z:0-9A-Z]{1,20}"), option::of(".{0,100}"));
        let texts = (option::of(".*"), option::of(".*"), option::of(".*"), error);
        let settled = option::of(prop_oneof![Just(Settled::Requeued), Just(Settled::Dropped)]);
        let rest = (option::of(revision), option::of(source), any::<Option<i64>>(), any::<u32>(), settled);
        (texts, rest).prop_map(|((store, job, shard, (code, error)), rest)| {
            let (revision, source, first_failure_ms, attempts, settled) = rest;
            FailureHeaders {
                store,
                job,
                shard,
                revision,
                source,
                first_failure_ms,
                attempts,
                code,
                error,
                settled,
            }
        })
    }

    proptest! {
        #[test]
        fn trails_round_trip(trail in any_trail()) {
            prop_assert_eq!(read_back(&trail.headers()), trail);
        }

        #[test]
        fn garbage_in_one_header_leaves_the_others(
            trail in any_trail(),
            name in prop::sample::select(vec![REVISION, SOURCE, FIRST_FAILURE_MS, ATTEMPTS, SETTLED]),
            garbage in prop::collection::vec(128_u8.., 0..20),
        ) {
            let mut headers = trail.headers();
            headers.retain(|header| header.name != name);
            let without = read_back(&headers);
            headers.push(Header { name: name.into(), value: garbage });
            headers.push(Header { name: "traceparent".into(), value: b"00-1-2-3".to_vec() });
            prop_assert_eq!(read_back(&headers), without);
        }

        #[test]
        fn a_long_error_is_cut_between_characters(error in ".{400,800}") {
            let trail = FailureHeaders { error: Some(error.clone()), ..FailureHeaders::default() };
            let read = read_back(&trail.headers()).error.unwrap();
            prop_assert!(error.starts_with(&read));
            let is_whole = read.len() == error.len();
            prop_assert!(is_whole || (ERROR_BYTES_MAX - 3..=ERROR_BYTES_MAX).contains(&read.len()));
        }
    }

    /// Operators and other programs read these texts.
    #[test]
    fn the_texts_are_as_documented() {
        let revision = Revision { generation: 3, last_offset: Offset(81_723), is_final: true };
        let source = RecordPosition {
            topic: "ERROR_SUMMARY.v1".to_owned(),
            partition: Partition(5),
            offset: Offset(9),
        };
        let trail = FailureHeaders {
            revision: Some(revision),
            source: Some(source),
            attempts: 2,
            code: Some("53100".to_owned()),
            ..FailureHeaders::default()
        };
        let texts: Vec<(String, String)> = trail
            .headers()
            .into_iter()
            .map(|header| (header.name.into_owned(), String::from_utf8(header.value).unwrap()))
            .collect();
        let expected = [
            ("yahtzee-revision", "3/81723/true"),
            ("yahtzee-source", "ERROR_SUMMARY.v1/5/9"),
            ("yahtzee-attempts", "2"),
            ("yahtzee-error-code", "53100"),
        ];
        assert_eq!(texts, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }
}
