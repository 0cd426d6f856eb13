//! Posts of language runtimes over HTTP: what is answered, and what reaches the log. The log is a stub.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use prost::Message;
use tokio::sync::mpsc;
use tower::ServiceExt;
use yahtzee_core::owner::Owner;
use yahtzee_ingress::stats::FrameOutcome;
use yahtzee_ingress::token_table::TokenTable;
use yahtzee_ingress::{Ingress, Settings, http_router};
use yahtzee_pipeline_proto::raw::{LangMetric, SourceKind};
use yahtzee_pipeline_proto::{RawMeasurement, RecordOf};
use yahtzee_runtime::log::LogError;

use crate::stub_log::{Delivery, broker_down, stub_log};

const RECV_US: i64 = 1_772_600_767_000_000;
const OWNER: &str = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";
const DYNO: &str = "11111111-2222-4333-8444-555555555555";
const BODY: &str = r#"{"counters": {"gc": 3}, "gauges": {"heap": 1048576}}"#;

struct Service {
    ingress: Arc<Ingress>,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    stored: Vec<RecordOf<LangMetric>>,
}

impl Service {
    fn start(settings: Settings) -> Self {
        let (topics, deliveries) = stub_log();
        let ingress = Ingress::new(settings, TokenTable::default(), topics, Box::new(|| RECV_US));
        Self { ingress, deliveries, stored: Vec::new() }
    }

    /// Sends a request to a log that answers `outcome`.
    async fn send(&mut self, request: Request<Body>, outcome: Result<(), LogError>) -> StatusCode {
        let reply = http_router(Arc::clone(&self.ingress)).oneshot(request);
        tokio::pin!(reply);
        loop {
            tokio::select! {
                response = &mut reply => return response.unwrap_or_else(|never| match never {}).status(),
                Some(delivery) = self.deliveries.recv() => {
                    let messages = delivery.records.iter().map(|record| {
                        assert_eq!(record.measurement_type, LangMetric::TYPE);
                        assert_eq!(Some(record.owner), Owner::parse(OWNER));
                        RecordOf::decode(record.payload.as_slice()).expect("its message")
                    });
                    self.stored.extend(messages);
                    delivery.answer(outcome.clone());
                }
            }
        }
    }

    async fn post(&mut self, path: &str, body: impl Into<Body>) -> StatusCode {
        self.send(post(path, body), Ok(())).await
    }

    fn frames(&self, outcome: FrameOutcome) -> u64 {
        self.ingress.stats().snapshot().frames(outcome)
    }
}

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .header("measurements-count", "2")
        .header("measurements-time", "2026-03-04T05:06:00Z");
    request.body(body.into()).expect("valid")
}

#[tokio::test]
async fn a_post_is_stored_whole_and_answered_200() {
    let mut service = Service::start(Settings::default());
    assert_eq!(service.post(&format!("/lang/{OWNER}/web.1/{DYNO}"), BODY).await, StatusCode::OK);
    let [record] = &service.stored[..] else { panic!("{:?}", service.stored) };
    assert_eq!(record.measurements.len(), 2);
    assert_eq!(record.frame_id.len(), 16);
    assert_eq!((record.recv_us, record.source_kind), (RECV_US, SourceKind::Language.into()));
    assert!(record.measurements.iter().all(|metric| metric.time_us == RECV_US - 7_000_000));
    let snapshot = service.ingress.stats().snapshot();
    assert!(snapshot.counts.measurements().any(|counted| counted == ("LANG_METRIC", 2)));
    assert_eq!((snapshot.count_mismatches, snapshot.counts.rejected_values), (0, 0));
}

#[tokio::test]
async fn attempts_of_one_dyno_are_stored_once_and_posts_of_a_type_always() {
    async fn check(path: &str, expected_stored: usize) {
        let mut service = Service::start(Settings::default());
        for _ in 0..3 {
            assert_eq!(service.post(path, BODY).await, StatusCode::OK);
        }
        assert_eq!(service.stored.len(), expected_stored, "{path}");
    }
    check(&format!("/lang/{OWNER}/web.1"), 1).await;
    check(&format!("/lang/{OWNER}/web/{DYNO}"), 1).await;
    check(&format!("/lang/{OWNER}/web"), 3).await;
}

#[tokio::test]
async fn content_never_gets_an_error() {
    async fn check(body: &str, expected_outcome: Option<FrameOutcome>, expected_rejected: u64) {
        let mut service = Service::start(Settings::default());
        assert_eq!(service.post(&format!("/lang/{OWNER}/web"), body.to_owned()).await, StatusCode::OK);
        let counted = FrameOutcome::ALL.into_iter().filter(|&outcome| service.frames(outcome) > 0);
        assert_eq!(counted.collect::<Vec<_>>(), Vec::from_iter(expected_outcome), "{body}");
        assert_eq!(service.ingress.stats().snapshot().counts.rejected_values, expected_rejected, "{body}");
        assert!(service.stored.is_empty(), "{body}");
    }
    check("", None, 0).await;
    check("{}", Some(FrameOutcome::Stored), 0).await;
    check("{\"counters\": {\"a b\": 1, \"c\": -1}}", Some(FrameOutcome::Stored), 2).await;
    check("trolllllll", Some(FrameOutcome::Unreadable), 0).await;
    check("[]", Some(FrameOutcome::Unreadable), 0).await;
}

#[tokio::test]
async fn what_the_request_itself_gets_wrong_is_refused() {
    async fn check(request: Request<Body>, expected: StatusCode) {
        let settings = Settings { credentials: vec!["user:pass".into()], ..Settings::default() };
        let mut service = Service::start(settings);
        assert_eq!(service.send(request, Ok(())).await, expected);
        assert!(service.stored.is_empty());
    }
    fn with(name: &'static str, value: &'static str, mut request: Request<Body>) -> Request<Body> {
        request.headers_mut().insert(name, value.parse().expect("valid"));
        request
    }
    let path = format!("/lang/{OWNER}/web.1");
    let known = |request| with("authorization", "Basic dXNlcjpwYXNz", request);
    check(post(&path, BODY), StatusCode::UNAUTHORIZED).await;
    check(known(with("content-type", "text/plain", post(&path, BODY))), StatusCode::UNSUPPORTED_MEDIA_TYPE)
        .await;
    check(known(post(&path, " ".repeat((512 << 10) + 1))), StatusCode::PAYLOAD_TOO_LARGE).await;
    check(known(post("/lang/nobody/web.1", BODY)), StatusCode::NOT_FOUND).await;
    check(known(post(&format!("/lang/{OWNER}"), BODY)), StatusCode::NOT_FOUND).await;
    check(known(Request::get(&path).body(Body::empty()).expect("valid")), StatusCode::METHOD_NOT_ALLOWED)
        .await;
}

#[tokio::test]
async fn what_the_log_does_not_take_comes_again() {
    let mut service = Service::start(Settings::default());
    let path = format!("/lang/{OWNER}/web.1");
    assert_eq!(service.send(post(&path, BODY), Err(broker_down())).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(service.post(&path, BODY).await, StatusCode::OK);
    assert_eq!(service.frames(FrameOutcome::Stored), 1);
    assert_eq!(service.frames(FrameOutcome::NotStored), 1);
}
