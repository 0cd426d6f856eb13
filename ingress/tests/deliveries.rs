//! What becomes of deliveries: stored once, answered truthfully. The log is a stub, the time is simulated.

use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, Request, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use tokio::sync::mpsc;
use tower::ServiceExt;
use yahtzee_core::owner::Owner;
use yahtzee_ingress::line::LineClass;
use yahtzee_ingress::stats::FrameOutcome;
use yahtzee_ingress::token_table::TokenTable;
use yahtzee_ingress::{Ingress, Settings, http_router};
use yahtzee_pipeline_proto::raw::{AppEvent, RouterRequest};
use yahtzee_pipeline_proto::{RawMeasurement, RecordOf};

use crate::stub_log::{Delivery, broker_down, stub_log};

const RECV_US: i64 = 1_772_600_767_000_000;

fn service(settings: Settings) -> (Arc<Ingress>, mpsc::UnboundedReceiver<Delivery>) {
    let (topics, deliveries) = stub_log();
    (Ingress::new(settings, TokenTable::default(), topics, Box::new(|| RECV_US)), deliveries)
}

fn message() -> String {
    let message =
        "<158>1 2026-03-04T05:06:07Z host heroku router - at=info path=\"/\" fwd=x dyno=web.1 status=200\n";
    format!("{} {message}", message.len())
}

fn request(frame_id: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post("/drain")
        .header("content-type", "application/logplex-1")
        .header("logplex-drain-token", "d.1")
        .header("logplex-msg-count", "1")
        .header("logplex-frame-id", frame_id);
    request.body(body.into()).expect("valid")
}

async fn send(ingress: &Arc<Ingress>, request: Request<Body>) -> StatusCode {
    let response = http_router(Arc::clone(ingress)).oneshot(request).await;
    response.unwrap_or_else(|never| match never {}).status()
}

async fn post(ingress: &Arc<Ingress>, frame_id: &str) -> StatusCode {
    send(ingress, request(frame_id, message())).await
}

/// Waits until so many attempts have been found to be duplicates.
async fn duplicates(ingress: &Ingress, count: u64) {
    while ingress.stats().snapshot().frames(FrameOutcome::Duplicate) < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn attempts_in_flight_at_once_get_one_answer_and_are_stored_once() {
    for (outcome, expected) in
        [(Ok(()), StatusCode::NO_CONTENT), (Err(broker_down()), StatusCode::SERVICE_UNAVAILABLE)]
    {
        let (ingress, mut deliveries) = service(Settings::default());
        let log = async {
            let delivery = deliveries.recv().await.expect("one delivery");
            duplicates(&ingress, 2).await;
            delivery.answer(outcome);
        };
        let attempts = [post(&ingress, "F"), post(&ingress, "F"), post(&ingress, "F")];
        let [first, second, third] = attempts;
        let (first, second, third, ()) = tokio::join!(first, second, third, log);
        assert_eq!([first, second, third], [expected; 3]);
        assert!(deliveries.try_recv().is_err(), "produced more than once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_acknowledgement_answers_the_next_attempt() {
    let (ingress, mut deliveries) = service(Settings::default());
    assert_eq!(post(&ingress, "F").await, StatusCode::SERVICE_UNAVAILABLE);
    let delivery = deliveries.recv().await.expect("handed over all the same");
    let log = async {
        duplicates(&ingress, 1).await;
        delivery.answer(Ok(()));
    };
    let (second, ()) = tokio::join!(post(&ingress, "F"), log);
    assert_eq!(second, StatusCode::NO_CONTENT);
    assert_eq!(post(&ingress, "F").await, StatusCode::NO_CONTENT);
    assert!(deliveries.try_recv().is_err(), "produced more than once");
    assert_eq!(ingress.stats().snapshot().counts.lines(LineClass::Router), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_goes_away_does_not_undo_its_delivery() {
    let (ingress, mut deliveries) = service(Settings::default());
    let attempt = tokio::time::timeout(Duration::from_millis(1), post(&ingress, "F"));
    assert!(attempt.await.is_err());
    let delivery = deliveries.recv().await.expect("handed over before the sender went");
    delivery.answer(Ok(()));
    assert_eq!(post(&ingress, "F").await, StatusCode::NO_CONTENT);
    assert!(deliveries.try_recv().is_err(), "produced more than once");
}

#[tokio::test(start_paused = true)]
async fn a_full_log_means_try_again_and_the_next_attempt_counts() {
    let (ingress, mut deliveries) = service(Settings { max_deliveries: 1, ..Settings::default() });
    assert_eq!(post(&ingress, "A").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(post(&ingress, "B").await, StatusCode::SERVICE_UNAVAILABLE);
    deliveries.recv().await.expect("the first").answer(Err(broker_down()));
    assert!(deliveries.try_recv().is_err(), "the second did not get to the log");
    let log = async {
        let delivery = deliveries.recv().await.expect("the second, at its second attempt");
        delivery.answer(Ok(()));
    };
    let (second, ()) = tokio::join!(post(&ingress, "B"), log);
    assert_eq!(second, StatusCode::NO_CONTENT);
    assert_eq!(ingress.stats().snapshot().frames(FrameOutcome::Stored), 1);
}

#[tokio::test]
async fn a_stopped_log_means_try_again() {
    let (ingress, deliveries) = service(Settings::default());
    drop(deliveries);
    assert_eq!(post(&ingress, "F").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ingress.stats().snapshot().frames(FrameOutcome::NotStored), 1);
    assert_eq!(ingress.stats().snapshot().counts.all_lines(), 0);
}

#[tokio::test]
async fn the_path_names_the_owner_of_senders_without_a_token() {
    async fn check(path: &str, expected: StatusCode, expected_owner: Option<Owner>) {
        let (ingress, mut deliveries) = service(Settings::default());
        let request = Request::post(path).header("content-type", "application/logplex-1");
        let request = request.body(Body::from(message())).expect("valid");
        let log = async {
            let delivery = deliveries.recv().await?;
            let owner = delivery.records[0].owner;
            delivery.answer(Ok(()));
            Some(owner)
        };
        let attempt = async {
            let status = send(&ingress, request).await;
            drop(ingress);
            status
        };
        let (status, owner) = tokio::join!(attempt, log);
        assert_eq!((status, owner), (expected, expected_owner), "{path}");
    }
    let uuid = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";
    check(&format!("/drain/{uuid}"), StatusCode::NO_CONTENT, Owner::parse(uuid)).await;
    check("/drain/nobody", StatusCode::NOT_FOUND, None).await;
    check("/elsewhere", StatusCode::NOT_FOUND, None).await;
}

#[tokio::test]
async fn content_without_measurements_is_taken_without_the_log() {
    async fn check(body: &str, expected: Option<FrameOutcome>) {
        let (ingress, mut deliveries) = service(Settings::default());
        assert_eq!(send(&ingress, request("F", body.to_owned())).await, StatusCode::NO_CONTENT);
        assert!(deliveries.try_recv().is_err());
        let snapshot = ingress.stats().snapshot();
        let counted: Vec<_> =
            FrameOutcome::ALL.into_iter().filter(|&outcome| snapshot.frames(outcome) > 0).collect();
        assert_eq!(counted, Vec::from_iter(expected), "{body:?}");
    }
    check("", None).await;
    check(" \n", None).await;
    check("trolllllll", Some(FrameOutcome::Unreadable)).await;
    check("7 <13>1 x", Some(FrameOutcome::Unreadable)).await;
    check("33 <190>1 T host app web.1 - hello ab", Some(FrameOutcome::Stored)).await;
}

/// A body that never arrives.
struct Never;

impl HttpBody for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_means_try_again() {
    let (ingress, _deliveries) = service(Settings::default());
    assert_eq!(send(&ingress, request("F", Body::new(Never))).await, StatusCode::SERVICE_UNAVAILABLE);
}

/// The stub refuses a record in another partition.
#[tokio::test]
async fn records_go_to_the_partition_of_their_owner() {
    let (ingress, mut deliveries) = service(Settings::default());
    for owner in (0..50_u8).map(|number| Owner([number; 16])) {
        let request =
            Request::post(format!("/drain/{owner}")).header("content-type", "application/logplex-1");
        let request = request.body(Body::from(message())).expect("valid");
        let log = async {
            let delivery = deliveries.recv().await.expect("one delivery");
            assert_eq!(delivery.records[0].owner, owner);
            delivery.answer(Ok(()));
        };
        let (status, ()) = tokio::join!(send(&ingress, request), log);
        assert_eq!(status, StatusCode::NO_CONTENT);
    }
}

/// The line that an app repeats 500 times when its cache is down shrinks to a fortieth.
#[tokio::test]
async fn compressed_bodies_are_limited_by_their_plain_size_alone() {
    async fn check(lines: usize, expected: StatusCode) {
        let (ingress, _deliveries) = service(Settings { max_body_bytes: 100_000, ..Settings::default() });
        let line = "<190>1 2026-03-04T05:06:07Z host app web.1 - could not connect to cache, trying again\n";
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(format!("{} {line}", line.len()).repeat(lines).as_bytes()).unwrap();
        let mut request = request("F", gzip.finish().unwrap());
        request.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
        assert_eq!(send(&ingress, request).await, expected, "{lines} lines");
    }
    check(1_000, StatusCode::NO_CONTENT).await;
    check(1_200, StatusCode::PAYLOAD_TOO_LARGE).await;
}

#[tokio::test]
async fn bodies_above_the_limit_are_refused_for_good() {
    async fn check(bytes: usize, expected: StatusCode) {
        let (ingress, _deliveries) = service(Settings { max_body_bytes: 1_000, ..Settings::default() });
        assert_eq!(send(&ingress, request("F", "x".repeat(bytes))).await, expected, "{bytes} bytes");
    }
    check(1_000, StatusCode::NO_CONTENT).await;
    check(1_001, StatusCode::PAYLOAD_TOO_LARGE).await;
}

/// A notice of scaling, which is about as long stored as it is written.
fn scaling(process_types: usize) -> String {
    let quantities: String = (0..process_types).map(|number| format!("worker_{number}@1 ")).collect();
    let message = format!("<158>1 2026-03-04T05:06:07Z host app api - Scaled to {quantities}by user x");
    format!("{} {message}", message.len())
}

/// A record that the log never takes would be refused at every attempt, and all of its body with it.
#[tokio::test]
async fn every_body_within_the_limit_makes_records_that_the_log_takes() {
    async fn check(lines: &[String], expected_events: usize, expected_oversized: u64) {
        let (ingress, mut deliveries) = service(Settings::default());
        let body = format!("{}{}", lines.concat(), message());
        let log = async {
            let delivery = deliveries.recv().await.expect("one delivery");
            let sizes: Vec<usize> = delivery.records.iter().map(|record| record.payload.len()).collect();
            // A Kafka client takes 1,000,000 bytes by default, with what surrounds the value.
            assert!(sizes.iter().all(|&bytes| bytes < 999_000), "{sizes:?}");
            let of_type = |name| delivery.records.iter().filter(move |it| it.measurement_type == name);
            let events =
                of_type(AppEvent::TYPE).map(|it| RecordOf::<AppEvent>::decode(it.payload.as_slice()));
            let events: usize = events.map(|record| record.unwrap().measurements.len()).sum();
            assert_eq!((events, of_type(RouterRequest::TYPE).count()), (expected_events, 1));
            delivery.answer(Ok(()));
        };
        let (status, ()) = tokio::join!(send(&ingress, request("F", body)), log);
        assert_eq!(status, StatusCode::NO_CONTENT);
        assert_eq!(ingress.stats().snapshot().counts.oversized, expected_oversized);
    }
    check(&vec![scaling(600); 150], 150, 0).await;
    check(&[scaling(3), scaling(150_000), scaling(3)], 2, 1).await;
}
