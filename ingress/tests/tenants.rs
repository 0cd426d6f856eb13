//! What one sender may do beside the others: which apps it writes for, and how many it may make up.

use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::Frame;
use tokio::sync::mpsc;
use tower::ServiceExt;
use yahtzee_core::owner::Owner;
use yahtzee_ingress::auth::{Credential, WriteScope};
use yahtzee_ingress::token_table::TokenTable;
use yahtzee_ingress::{FrameOutcome, Ingress, Settings, derived_owner, http_router};

use crate::stub_log::{Delivery, stub_log};

const RECV_US: i64 = 1_772_600_767_000_000;
const KNOWN: Owner = Owner([7; 16]);
const PATH_OWNER: &str = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";

struct Service {
    ingress: Arc<Ingress>,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
}

impl Service {
    fn start(settings: Settings) -> Self {
        let (topics, deliveries) = stub_log();
        let tokens: TokenTable = [("d.known", KNOWN)].into_iter().collect();
        Self { ingress: Ingress::new(settings, tokens, topics, Box::new(|| RECV_US)), deliveries }
    }

    /// Sends a request and compares its status and the owners of what is stored.
    async fn check(&mut self, request: Request<Body>, expected_status: u16, expected_owners: &[Owner]) {
        let reply = http_router(Arc::clone(&self.ingress)).oneshot(request);
        tokio::pin!(reply);
        let mut owners = Vec::new();
        let status = loop {
            tokio::select! {
                response = &mut reply => break response.unwrap_or_else(|never| match never {}).status().as_u16(),
                Some(delivery) = self.deliveries.recv() => {
                    owners.extend(delivery.records.iter().map(|record| record.owner));
                    delivery.answer(Ok(()));
                }
            }
        };
        assert_eq!((status, owners.as_slice()), (expected_status, expected_owners));
    }
}

fn message(app_name: &str) -> String {
    let message = format!(
        "<158>1 2026-03-04T05:06:07Z host {app_name} router - at=info path=\"/\" fwd=x dyno=web.1 status=200\n"
    );
    format!("{} {message}", message.len())
}

fn drain(token: &str, app_names: &[&str]) -> Request<Body> {
    let body: String = app_names.iter().map(|name| message(name)).collect();
    let request = Request::post("/drain").header("content-type", "application/logplex-1");
    request.header("logplex-drain-token", token).body(Body::from(body)).unwrap()
}

fn metrics_post(owner: &str) -> Request<Body> {
    let request = Request::post(format!("/lang/{owner}/web.1")).header("content-type", "application/json");
    request.body(Body::from(r#"{"counters": {"gc": 3}}"#)).unwrap()
}

#[tokio::test]
async fn unknown_owners_are_bounded_and_further_ones_may_try_again() {
    let mut service = Service::start(Settings { unknown_owners_max: 2, ..Settings::default() });
    let log_token = "t.0a1b2c3d-0000-4000-8000-00000000ffff";
    service.check(drain("d.1", &["heroku"]), 204, &[derived_owner(b"d.1")]).await;
    service.check(metrics_post(PATH_OWNER), 200, &[Owner::parse(PATH_OWNER).unwrap()]).await;
    service.check(drain("d.2", &["heroku"]), 429, &[]).await;
    service.check(drain("d.known", &["heroku", log_token]), 429, &[]).await;
    service.check(metrics_post("11111111-2222-4333-8444-555555555555"), 429, &[]).await;
    service.check(drain("d.2", &["app"]), 204, &[]).await;
    service.check(drain("d.1", &["heroku"]), 204, &[derived_owner(b"d.1")]).await;
    service.check(drain("d.known", &["heroku"]), 204, &[KNOWN]).await;
    let snapshot = service.ingress.stats().snapshot();
    assert_eq!((snapshot.unknown_owners_refused, snapshot.frames(FrameOutcome::NotStored)), (3, 3));
}

/// A delivery of id 1, with a credential.
fn frame(path: &str, credential: &str, token: Option<&str>, app_names: &[&str]) -> Request<Body> {
    let body: String = app_names.iter().map(|name| message(name)).collect();
    let request = Request::post(path).header("content-type", "application/logplex-1");
    let request = request.header("authorization", format!("Bearer {credential}")).header("x-request-id", "1");
    let request =
        token.into_iter().fold(request, |request, token| request.header("logplex-drain-token", token));
    request.body(Body::from(body)).unwrap()
}

/// A service with a credential for each of these scopes.
fn start_bound(scopes: &[(&str, &[Owner])]) -> Service {
    let credential = |&(secret, owners): &(&str, &[Owner])| {
        let scope = WriteScope::Owners(Arc::new(owners.iter().copied().collect()));
        Credential { scope, ..Credential::from(secret) }
    };
    Service::start(Settings { credentials: scopes.iter().map(credential).collect(), ..Settings::default() })
}

#[tokio::test]
async fn deliveries_named_as_those_of_another_owner_do_not_suppress_them() {
    let (path_owner, other) = (Owner::parse(PATH_OWNER).unwrap(), Owner([8; 16]));
    let (path, path_of_other) = (format!("/drain/{path_owner}"), format!("/drain/{other}"));
    for forged in [&format!("owner.{path_owner}"), PATH_OWNER, "anonymous", "d.1"] {
        let mut service = start_bound(&[("a", &[path_owner]), ("b", &[other])]);
        service.check(frame(&path_of_other, "b", Some(forged), &["heroku"]), 204, &[other]).await;
        service.check(frame(&path, "a", None, &["heroku"]), 204, &[path_owner]).await;
        service.check(frame(&path, "a", Some("d.1"), &["heroku"]), 204, &[path_owner]).await;
        service.check(frame(&path, "a", None, &["heroku"]), 204, &[]).await;
        assert_eq!(service.ingress.stats().snapshot().frames(FrameOutcome::Duplicate), 1, "{forged}");
    }
}

/// What the first sender may not write has not been stored by its delivery.
#[tokio::test]
async fn a_delivery_within_a_smaller_scope_does_not_suppress_the_lines_of_others() {
    let log_token = "t.0a1b2c3d-0000-4000-8000-00000000ffff";
    let mut both = [KNOWN, derived_owner(log_token.as_bytes())];
    both.sort_unstable();
    let mut service = start_bound(&[("small", &[KNOWN]), ("great", &both)]);
    let frame = |credential| frame("/drain", credential, Some("d.known"), &["heroku", log_token]);
    service.check(frame("small"), 204, &[KNOWN]).await;
    service.check(frame("great"), 204, &both).await;
    service.check(frame("great"), 204, &[]).await;
}

#[tokio::test]
async fn a_credential_writes_only_for_what_it_is_bound_to() {
    let path_owner = Owner::parse(PATH_OWNER).unwrap();
    let scope = WriteScope::Owners(Arc::new([KNOWN, path_owner].into()));
    let credentials = vec![Credential { scope, ..Credential::from("bound") }, "open".into()];
    let mut service = Service::start(Settings { credentials, ..Settings::default() });
    let with = |token: &str, mut request: Request<Body>| {
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    };
    let other = "11111111-2222-4333-8444-555555555555";
    service.check(with("bound", drain("d.known", &["heroku"])), 204, &[KNOWN]).await;
    service.check(with("bound", drain("d.other", &["heroku"])), 403, &[]).await;
    service.check(with("bound", metrics_post(PATH_OWNER)), 200, &[path_owner]).await;
    service.check(with("bound", metrics_post(other)), 403, &[]).await;
    service.check(with("open", drain("d.other", &["heroku"])), 204, &[derived_owner(b"d.other")]).await;
    service.check(with("open", metrics_post(other)), 200, &[Owner::parse(other).unwrap()]).await;
    // A line of somebody else's is content, and content never gets an error.
    let foreign = "t.0a1b2c3d-0000-4000-8000-00000000ffff";
    service.check(with("bound", drain("d.known", &["heroku", foreign])), 204, &[KNOWN]).await;
    service.check(with("bound", drain("d.known", &[foreign])), 204, &[]).await;
    assert_eq!(service.ingress.stats().snapshot().counts.foreign, 2);
}

/// A body of which a part has arrived, and nothing else comes.
struct HalfSent(Option<Bytes>);

impl HttpBody for HalfSent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |part| Poll::Ready(Some(Ok(Frame::data(part)))))
    }
}

#[tokio::test]
async fn bodies_that_arrive_slowly_share_a_bounded_memory() {
    let mut service = Service::start(Settings { body_memory_bytes: 10, ..Settings::default() });
    let of_bytes = |body: Body| {
        Request::post("/drain").header("content-type", "application/logplex-1").body(body).unwrap()
    };
    let six_bytes = || of_bytes(Body::from("xxxxxx"));
    for _ in 0..3 {
        service.check(six_bytes(), 204, &[]).await;
    }
    let half_sent = of_bytes(Body::new(HalfSent(Some(Bytes::from("xxxxxx")))));
    let mut waiting = http_router(Arc::clone(&service.ingress)).oneshot(half_sent);
    tokio::select! {
        biased;
        response = &mut waiting => panic!("{response:?}"),
        () = std::future::ready(()) => {}
    }
    service.check(six_bytes(), 503, &[]).await;
    service.check(of_bytes(Body::from("xxxx")), 204, &[]).await;
    drop(waiting);
    service.check(six_bytes(), 204, &[]).await;
    assert_eq!(service.ingress.stats().snapshot().bodies_without_memory, 1);
}

/// It is taken in steps, before it is used.
#[tokio::test]
async fn what_a_body_unpacks_to_is_in_the_memory_too() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&[b'x'; 1_000]).unwrap();
    let packed = gzip.finish().unwrap();
    for (more, expected, without_memory) in [((16 << 10) - 1, 503, 1), (16 << 10, 204, 0)] {
        let mut service =
            Service::start(Settings { body_memory_bytes: packed.len() + more, ..Settings::default() });
        let request = Request::post("/drain").header("content-type", "application/logplex-1");
        let request = request.header("content-encoding", "gzip").body(Body::from(packed.clone())).unwrap();
        service.check(request, expected, &[]).await;
        assert_eq!(service.ingress.stats().snapshot().bodies_without_memory, without_memory);
    }
}
