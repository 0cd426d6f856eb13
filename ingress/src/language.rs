//! Posts of language runtimes: counters, gauges and distributions of one dyno, about every 20 seconds.
//!
//! A client posts JSON ([`body`]) to `/lang/<owner>/<process>`, where the dyno's UUID may follow. `<process>` is the dyno
//! (`web.1`) or the process type (`web`). Header `Measurements-Time` has the time (RFC 3339), `Measurements-Count` the number.
//!
//! The reply is that of other log drains but for success, which these clients know as 200. They do not repeat what
//! gets a 4xx, so content gets none: an unreadable post is counted and taken, and a stale one is stored, for
//! the worker decides by the log what is late.
//!
//! Clients repeat what gets no answer, and give a post no id. Its name is a digest of dyno, time and body, if it has the
//! first two: without them, two posts of idle dynos would look like one. A post without a readable time counts when it is received.

use axum::http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use yahtzee_core::owner::Owner;
use yahtzee_pipeline_proto::Measurement;
use yahtzee_pipeline_proto::raw::lang_metric::Value;
use yahtzee_pipeline_proto::raw::{Flag, LangMetric, SourceKind};

use crate::collector::BodyCounts;
use crate::dedupe::DeliveryId;
use crate::drain::announced_count;
use crate::line::values::hyphenated_uuid;
use crate::line::{CommonFields, DynoRef, LineContext, timestamp};
use crate::packer::{BodyOrigin, Packer};
use crate::parsed_body::ParsedBody;
use crate::sender_name::SenderName;
use crate::stats::FrameOutcome;

pub mod body;

use body::PostedMetrics;

/// Header with the time of a post.
const TIME: &str = "measurements-time";

/// Header with the number of metrics in a post.
const COUNT: &str = "measurements-count";

/// The sender of a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanguageClient {
    /// The app.
    pub owner: Owner,
    /// `web`, `worker` ...
    pub process_type: String,
    /// 1 for `web.1`, if the path says so.
    pub dyno_num: Option<u32>,
    /// The dyno's own identity, if the path says so.
    pub dyno_uuid: Option<[u8; 16]>,
}

impl LanguageClient {
    /// Reads the parts of a path. `None` if they name no owner and process, or if `dyno` is not a UUID.
    #[must_use]
    pub fn parse(owner: &str, process: &str, dyno: Option<&str>) -> Option<Self> {
        let DynoRef { process_type, dyno_num } = DynoRef::parse(process.as_bytes())?;
        let dyno_uuid = match dyno {
            Some(dyno) => Some(hyphenated_uuid(dyno.as_bytes())?),
            None => None,
        };
        Some(Self { owner: Owner::parse(owner)?, process_type: process_type.to_owned(), dyno_num, dyno_uuid })
    }

    /// Returns a name of the one dyno among those of its owner; `None` if only its process type is known.
    fn dyno(&self) -> Option<SenderName> {
        let Self { process_type, dyno_num, dyno_uuid, .. } = self;
        let is_one = dyno_num.is_some() || dyno_uuid.is_some();
        is_one.then(|| SenderName::Dyno(format!("{process_type}.{dyno_num:?}.{dyno_uuid:?}").into_bytes()))
    }
}

/// A post.
#[derive(Clone, Debug)]
pub(crate) struct LanguageRequest {
    client: LanguageClient,
    /// As it was written, and in microseconds since 1970.
    time: Option<(Vec<u8>, i64)>,
    announced_count: Option<u64>,
}

impl LanguageRequest {
    pub(crate) fn new(client: LanguageClient, headers: &HeaderMap) -> Self {
        let time = headers.get(TIME).map(HeaderValue::as_bytes);
        let time = time.and_then(|text| Some((text.to_vec(), timestamp::parse_us(text)?)));
        Self { client, time, announced_count: announced_count(headers, COUNT) }
    }

    fn metric(&self, name: String, value: Value, frame_index: u32, recv_us: i64) -> LangMetric {
        let own_time_us = self.time.as_ref().map(|&(_, time_us)| time_us);
        let (time_us, time_replaced) = (own_time_us.unwrap_or(recv_us), own_time_us.is_none());
        let context = LineContext { time_us, time_replaced, frame_index, repaired: false };
        let CommonFields { time_us, flags, .. } = CommonFields::new(context);
        let LanguageClient { process_type, dyno_num, dyno_uuid, .. } = &self.client;
        LangMetric {
            time_us,
            process_type: process_type.clone(),
            dyno_num: *dyno_num,
            dyno_uuid: dyno_uuid.map(|uuid| uuid.to_vec()).unwrap_or_default(),
            frame_index,
            flags,
            name,
            value: Some(value),
        }
    }

    pub(crate) fn owner(&self) -> Owner {
        self.client.owner
    }

    pub(crate) fn delivery_id(&self, body: &[u8]) -> Option<DeliveryId> {
        let (dyno, (time, _)) = (self.client.dyno()?, self.time.as_ref()?);
        Some(dyno.frame_id(self.client.owner, &[time, Sha256::digest(body).as_slice()].concat()))
    }

    pub(crate) fn read(&self, body: &[u8], recv_us: i64) -> ParsedBody {
        let Some(PostedMetrics { accepted, announced, rejected }) = body::read(body) else {
            let outcome_if_stored = (!body.trim_ascii().is_empty()).then_some(FrameOutcome::Unreadable);
            return ParsedBody {
                records: Vec::new(),
                counts: BodyCounts::default(),
                differs_from_head: false,
                outcome_if_stored,
            };
        };
        let source_kind = SourceKind::Language;
        let frame_id = self.delivery_id(body);
        let mut packer = Packer::new(BodyOrigin { recv_us, frame_id, source_kind, drain: None });
        let mut counts = BodyCounts::default();
        counts.rejected_values = rejected;
        for ((name, value), frame_index) in accepted.into_iter().zip(0..) {
            let metric = self.metric(name, value, frame_index, recv_us);
            counts.time_replaced += u64::from(metric.flags & Flag::TimeReplaced as u32 != 0);
            let measurement = Measurement::from(metric);
            counts.pack(&mut packer, self.client.owner, &measurement);
        }
        let differs_from_head = self.announced_count.is_some_and(|count| count != announced);
        ParsedBody {
            records: packer.finish(),
            counts,
            differs_from_head,
            outcome_if_stored: Some(FrameOutcome::Stored),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use yahtzee_pipeline_proto::RecordOf;

    use super::*;

    const OWNER: &str = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";
    const DYNO: &str = "11111111-2222-4333-8444-555555555555";
    const TIME_US: i64 = 1_772_600_767_000_000;
    const BODY: &[u8] = br#"{"counters": {"gc": 3}, "gauges": {"heap": 1048576, "load": 0.5}}"#;

    fn post(path: (&str, Option<&str>), time: Option<&str>) -> LanguageRequest {
        let client = LanguageClient::parse(OWNER, path.0, path.1).unwrap();
        let headers = time.map(|time| (TIME.parse().unwrap(), HeaderValue::from_str(time).unwrap()));
        LanguageRequest::new(client, &HeaderMap::from_iter(headers))
    }

    fn metrics(post: &LanguageRequest) -> Vec<LangMetric> {
        let records = post.read(BODY, TIME_US).records;
        let [record] = &records[..] else { panic!("{records:?}") };
        assert_eq!(record.owner, Owner::parse(OWNER).unwrap());
        RecordOf::decode(record.payload.as_slice()).unwrap().measurements
    }

    #[test]
    fn paths_name_owner_and_process() {
        fn check(
            owner: &str,
            process: &str,
            dyno: Option<&str>,
            expected: Option<(&str, Option<u32>, bool)>,
        ) {
            let client = LanguageClient::parse(owner, process, dyno);
            let found = client
                .as_ref()
                .map(|client| (client.process_type.as_str(), client.dyno_num, client.dyno_uuid.is_some()));
            assert_eq!(found, expected, "{owner} {process} {dyno:?}");
        }
        check(OWNER, "web", None, Some(("web", None, false)));
        check(OWNER, "web.2", Some(DYNO), Some(("web", Some(2), true)));
        check(OWNER, "web", Some("42"), None);
        check(OWNER, "a b", None, None);
        check("nobody", "web", None, None);
    }

    #[test]
    fn a_post_is_one_record_of_its_time_and_dyno() {
        let metrics = metrics(&post(("web.2", Some(DYNO)), Some("2026-03-04T05:06:00Z")));
        let names: Vec<_> = metrics.iter().map(|metric| (metric.name.as_str(), metric.frame_index)).collect();
        assert_eq!(names, [("gc", 0), ("heap", 1), ("load", 2)]);
        assert_eq!(metrics[2].value, Some(Value::GaugeMilli(500)));
        for metric in metrics {
            assert_eq!((metric.time_us, metric.flags), (TIME_US - 7_000_000, 0));
            assert_eq!((metric.process_type.as_str(), metric.dyno_num), ("web", Some(2)));
            assert_eq!(metric.dyno_uuid[..4], [0x11; 4]);
        }
    }

    #[test]
    fn without_a_readable_time_it_is_the_receive_time() {
        fn check(time: Option<&str>, expected_us: i64, expected_flag: Flag) {
            let metrics = metrics(&post(("web", None), time));
            assert!(metrics.iter().all(|metric| metric.time_us == expected_us), "{time:?}");
            assert!(metrics.iter().all(|metric| metric.flags == expected_flag as u32), "{time:?}");
        }
        check(None, TIME_US, Flag::TimeReplaced);
        check(Some("yesterday"), TIME_US, Flag::TimeReplaced);
        check(Some("2026-03-04T05:16:07Z"), TIME_US + 600_000_000, Flag::None);
        check(Some("2026-03-04T04:06:07Z"), TIME_US - 3_600_000_000, Flag::None);
    }

    #[test]
    fn attempts_are_known_by_dyno_time_and_body() {
        let time = Some("2026-03-04T05:06:07Z");
        let id = |path, time, body: &[u8]| post(path, time).delivery_id(body);
        let first = id(("web.1", None), time, BODY);
        assert!(first.is_some());
        assert_eq!(id(("web.1", None), time, BODY), first);
        assert_ne!(id(("web.2", None), time, BODY), first);
        assert_ne!(id(("web", Some(DYNO)), time, BODY), first);
        assert_ne!(id(("web.1", None), Some("2026-03-04T05:06:08Z"), BODY), first);
        assert_ne!(id(("web.1", None), time, b"{}"), first);
        assert_eq!(id(("web.1", None), None, BODY), None);
        assert_eq!(
            id(("web.1", None), Some("yesterday"), BODY),
            None,
            "its attempts have the times of their receipt"
        );
        assert_eq!(id(("web", None), time, BODY), None, "two dynos may post the same");
    }

    #[test]
    fn counts_differ_from_the_head_only_where_it_says_one() {
        fn check(count: Option<u64>, expected: bool) {
            let post = LanguageRequest { announced_count: count, ..post(("web", None), None) };
            let contents = post.read(BODY, TIME_US);
            assert_eq!(contents.differs_from_head, expected, "{count:?}");
        }
        check(None, false);
        check(Some(3), false);
        check(Some(2), true);
    }
}
