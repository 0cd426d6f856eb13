//! The memory of bodies is given back by every request, however it ends.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, Bytes};
use axum::http::Request;
use axum::http::request::Builder;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tower::ServiceExt;
use yahtzee_ingress::token_table::TokenTable;
use yahtzee_ingress::{Ingress, Settings, http_router};

use crate::stub_log::stub_log;

const RECV_US: i64 = 1_772_600_767_000_000;
/// All the memory, and the greatest body.
const MEMORY_BYTES: usize = 1_000;

fn post() -> Builder {
    Request::post("/drain").header("content-type", "application/logplex-1")
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// A body of so many bytes, of which more is announced if `is_cut`.
fn in_parts(bytes: usize, is_cut: bool) -> Body {
    let parts = stream::iter(vec![Ok::<_, Infallible>(Bytes::from_static(b"x")); bytes]);
    if is_cut { Body::from_stream(parts.chain(stream::pending())) } else { Body::from_stream(parts) }
}

fn router_line() -> String {
    let line =
        "<158>1 2026-03-04T05:06:07Z host heroku router - at=info path=\"/\" fwd=x dyno=web.1 status=200";
    format!("{} {line}", line.len())
}

/// Time is that of the test: what waits for ever runs into its timeout at once.
#[tokio::test(start_paused = true)]
async fn memory_is_given_back_however_a_request_ends() {
    let panics = Arc::new(AtomicBool::new(false));
    let panics_now = Arc::clone(&panics);
    let clock = move || {
        if panics_now.swap(false, Ordering::Relaxed) {
            std::panic::resume_unwind(Box::new("as planned"));
        }
        RECV_US
    };
    // No append is ever answered.
    let (topics, _appends) = stub_log();
    let settings =
        Settings { body_memory_bytes: MEMORY_BYTES, max_body_bytes: MEMORY_BYTES, ..Settings::default() };
    let ingress = Ingress::new(settings, TokenTable::default(), topics, Box::new(clock));
    let send = |request: Request<Body>| {
        let reply = http_router(Arc::clone(&ingress)).oneshot(request);
        reply.map(|response| response.unwrap_or_else(|never| match never {}).status().as_u16())
    };
    let check = async |what: &str, request: Request<Body>, expected: u16| {
        assert_eq!(send(request).await, expected, "{what}");
        let whole = post().body(in_parts(MEMORY_BYTES, false)).unwrap();
        assert_eq!(send(whole).await, 204, "after {what}");
    };
    check("what is stored", post().body(Body::from("xxx")).unwrap(), 204).await;
    check("too much", post().body(in_parts(MEMORY_BYTES + 1, false)).unwrap(), 413).await;
    check("half of it", post().body(in_parts(600, true)).unwrap(), 503).await;
    let packed = |bytes: Vec<u8>| post().header("content-encoding", "gzip").body(Body::from(bytes)).unwrap();
    check("what does not unpack", packed(vec![b'x'; 600]), 204).await;
    check("what unpacks to too much", packed(gzip(&[b'x'; MEMORY_BYTES + 1])), 413).await;
    check("what unpacks to more than is left", packed(gzip(&[b'x'; MEMORY_BYTES])), 503).await;
    check("what the log does not answer", post().body(Body::from(router_line())).unwrap(), 503).await;
    let named = || post().header("logplex-frame-id", "frame").body(Body::from(router_line())).unwrap();
    check("the first attempt", named(), 503).await;
    check("the next attempt", named(), 503).await;
    panics.store(true, Ordering::Relaxed);
    check("a panic", post().body(in_parts(600, false)).unwrap(), 500).await;
    assert!(send(post().body(in_parts(600, true)).unwrap()).now_or_never().is_none());
    check("a client that has gone", post().body(Body::from("xxx")).unwrap(), 204).await;
    // A body that the log has not answered is still there.
    let mut waiting = Box::pin(send(post().body(Body::from(router_line())).unwrap()));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(send(post().body(in_parts(MEMORY_BYTES, false)).unwrap()).await, 503);
    drop(waiting);
    check("a client that does not wait for the log", post().body(Body::from("xxx")).unwrap(), 204).await;
}
