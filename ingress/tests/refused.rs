//! Refused requests on real connections, by clients that send everything before they read.

use std::future::pending;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use yahtzee_ingress::token_table::TokenTable;
use yahtzee_ingress::{Ingress, Settings, serve};

use crate::stub_log::stub_log;

const NOW_US: i64 = 1_772_600_767_000_000;
const LIMIT_BYTES: usize = 100_000;
/// More than the buffers of a connection hold, so that a server that does not read stops the client.
const LONG_BYTES: usize = 20_000_000;

/// A connection to a service of its own, which runs on the runtime and wants the token `secret`.
fn connect() -> (TcpStream, Runtime) {
    connect_at(settings(), Box::new(|| NOW_US))
}

fn settings() -> Settings {
    Settings { max_body_bytes: LIMIT_BYTES, credentials: vec!["secret".into()], ..Settings::default() }
}

/// As [`connect`], with settings and a clock.
fn connect_at(settings: Settings, clock: Box<dyn Fn() -> i64 + Send + Sync>) -> (TcpStream, Runtime) {
    let runtime = Runtime::new().unwrap();
    let (topics, _) = stub_log();
    let ingress = Ingress::new(settings, TokenTable::default(), topics, clock);
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    runtime.spawn(serve(listener, Arc::clone(&ingress), pending()));
    (stream, runtime)
}

fn head(request_line: &str, headers: &str) -> String {
    format!(
        "{request_line} HTTP/1.1\r\nHost: x\r\nContent-Type: application/logplex-1\r\n\
         Authorization: Bearer secret\r\n{headers}\r\n"
    )
}

fn of_length(bytes: usize) -> (String, Vec<u8>) {
    (format!("Content-Length: {bytes}\r\n"), vec![b'x'; bytes])
}

/// Reads a reply, and returns its head.
fn reply(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        read.extend(byte);
    }
    let head = String::from_utf8(read).unwrap();
    let (_, length) = head.split_once("content-length: ").unwrap();
    let (length, _) = length.split_once('\r').unwrap();
    stream.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
    head
}

/// Sends head and body, reads the reply, and sends something acceptable on the same connection.
fn check(head: &str, body: &[u8], expected: &str) {
    check_at(settings(), head, body, expected);
}

/// As [`check`], with settings.
fn check_at(settings: Settings, head: &str, body: &[u8], expected: &str) {
    let (mut stream, _runtime) = connect_at(settings, Box::new(|| NOW_US));
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).expect("the body is read");
    let first = reply(&mut stream);
    assert!(first.starts_with(&format!("HTTP/1.1 {expected}")), "{head}: {first}");
    let (length, body) = of_length(3);
    stream.write_all(self::head("POST /drain", &length).as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    let second = reply(&mut stream);
    assert!(second.starts_with("HTTP/1.1 204"), "after {head}: {second}");
}

#[test]
fn the_client_of_a_refused_request_can_read_the_reply_and_goes_on() {
    let (length, body) = of_length(LONG_BYTES);
    check(&head("POST /drain", &length), &body, "413");
    check(&head("POST /elsewhere", &length), &body, "404");
    check(&head("POST /drain/nobody", &length), &body, "404");
    check(&head("POST /lang/nobody/web", &length), &body, "404");
    check(&head("POST /drain/%ff", &length), &body, "404");
    check(&head("POST /lang/%ff/web", &length), &body, "404");
    check(&head("POST /lang/nobody/web/%ff", &length), &body, "404");
    check(&head("PUT /drain", &length), &body, "405");
    check(&head("POST /drain", &length).replace("secret", "wrong"), &body, "401");
    check(&head("POST /drain", &length).replace("logplex-1", "json"), &body, "415");
    let chunked = format!("{LONG_BYTES:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(LONG_BYTES));
    check(&head("POST /drain", "Transfer-Encoding: chunked\r\n"), chunked.as_bytes(), "413");
    let without_memory =
        Settings { max_body_bytes: LONG_BYTES, body_memory_bytes: LIMIT_BYTES, ..settings() };
    check_at(without_memory, &head("POST /drain", &length), &body, "503");
}

/// The second connection is answered once the first has ended, and not while it goes on.
#[test]
fn no_more_connections_are_served_than_allowed() {
    let (mut first, _runtime) =
        connect_at(Settings { max_connections: 1, ..settings() }, Box::new(|| NOW_US));
    let request = head("POST /drain", "Content-Length: 0\r\n");
    let mut second = TcpStream::connect(first.peer_addr().unwrap()).unwrap();
    second.write_all(request.as_bytes()).unwrap();
    for _ in 0..20 {
        first.write_all(request.as_bytes()).unwrap();
        reply(&mut first);
    }
    second.set_nonblocking(true).unwrap();
    assert_eq!(second.read(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    second.set_nonblocking(false).unwrap();
    drop(first);
    assert!(reply(&mut second).starts_with("HTTP/1.1 204"));
}

#[test]
fn a_body_as_large_as_the_limit_is_taken_whether_it_is_announced_or_not() {
    for (bytes, expected) in [(LIMIT_BYTES, "204"), (LIMIT_BYTES + 1, "413")] {
        let (length, body) = of_length(bytes);
        check(&head("POST /drain", &length), &body, expected);
        let chunked = format!("{bytes:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(bytes));
        check(&head("POST /drain", "Transfer-Encoding: chunked\r\n"), chunked.as_bytes(), expected);
    }
}

/// What a connection may hold shows in the heads that it can read. The refused one has no end yet: the reply does not wait for it.
#[test]
fn a_connection_holds_no_more_than_a_usual_head_needs() {
    let check = |head: &str, expected: &str| {
        let (mut stream, _runtime) = connect();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let reply = reply(&mut stream);
        assert!(reply.starts_with(&format!("HTTP/1.1 {expected}")), "{} bytes: {reply}", head.len());
    };
    let long =
        |bytes| head("POST /drain", &format!("Content-Length: 0\r\nX-Long: {}\r\n", "x".repeat(bytes)));
    check(&long(20_000), "204");
    check(&long(40_000)[..33_000], "431");
}

/// Its body is not on its way: the reply comes at once, and is the last one.
#[test]
fn a_client_that_asks_first_gets_the_refusal_instead_of_the_go_ahead() {
    let (mut stream, _runtime) = connect();
    let (length, _) = of_length(LONG_BYTES);
    let head = head("POST /drain", &format!("{length}Expect: 100-continue\r\n"));
    stream.write_all(head.as_bytes()).unwrap();
    let reply = reply(&mut stream);
    assert!(reply.starts_with("HTTP/1.1 413"), "{reply}");
    assert!(reply.to_ascii_lowercase().contains("connection: close"), "{reply}");
}

/// The clock stands for any mistake of the program in the middle of a delivery, which has a name that the next attempt has
/// too.
#[test]
fn a_request_that_panics_is_answered_500_and_its_next_attempt_is_new() {
    let has_panicked = AtomicBool::new(false);
    let (mut stream, _runtime) = connect_at(
        settings(),
        Box::new(move || {
            if has_panicked.swap(true, Ordering::Relaxed) {
                return NOW_US;
            }
            std::panic::resume_unwind(Box::new("as planned"))
        }),
    );
    let mut attempt = || {
        let head = head("POST /drain", "Content-Length: 3\r\nLogplex-Frame-Id: frame\r\n");
        stream.write_all([head.as_bytes(), b"xxx"].concat().as_slice()).unwrap();
        let reply = reply(&mut stream);
        reply.split_whitespace().nth(1).map(str::to_owned)
    };
    let statuses = [attempt(), attempt(), attempt()].map(Option::unwrap);
    assert_eq!(statuses, ["500", "204", "204"]);
}
