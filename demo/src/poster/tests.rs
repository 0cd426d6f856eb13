//! The poster against a small HTTP server that answers by script.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

use super::*;
use yahtzee_loadgen::drain::{Fleet, FleetSettings};

/// One request as the server saw it; header names in lower case.
#[derive(Clone, Debug)]
struct Seen {
    connection: usize,
    request_line: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Seen {
    fn frame_id(&self) -> &str {
        &self.headers["logplex-frame-id"]
    }
}

/// Answers the n-th request about a frame (from 0) with a status; 0 closes the connection without an answer.
type Script = Box<dyn Fn(&Seen, usize) -> u16 + Send + Sync>;

struct Server {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/drain", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (Arc::clone(&seen), Arc::new(script));
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                thread::spawn(move || serve(connection, &stream.unwrap(), &log, &script));
            }
        });
        Self { url, seen }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(connection: usize, stream: &TcpStream, log: &Mutex<Vec<Seen>>, script: &Script) {
    let mut reader = BufReader::new(stream);
    while let Some(seen) = read_request(connection, &mut reader) {
        let earlier = {
            let mut log = log.lock().unwrap();
            log.push(seen.clone());
            log.iter().filter(|earlier| earlier.frame_id() == seen.frame_id()).count() - 1
        };
        let status = script(&seen, earlier);
        if status == 0 {
            return;
        }
        let reply = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: 0\r\n\r\n");
        let mut stream = stream;
        stream.write_all(reply.as_bytes()).unwrap();
    }
}

fn read_request(connection: usize, reader: &mut BufReader<&TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&bytes| bytes > 0)?;
    let request_line = line.trim_end().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { connection, request_line, headers, body })
}

fn frame(drain: &str, id: u32) -> DrainFrame {
    DrainFrame {
        drain_token: drain.to_owned(),
        frame_id: format!("{id:032X}"),
        message_count: 1,
        body: b"3 <1>".to_vec(),
        kind: FrameKind::Fresh,
    }
}

#[test]
fn requests_carry_what_logplex_sends() {
    let server = Server::start(Box::new(|_, _| 204));
    let credentials = DrainCredentials { user: "token".to_owned(), password: "secret".to_owned() };
    let poster = DrainPoster::start(&server.url, Some(&credentials), 1, StopSignal::new()).unwrap();
    let sent = frame("d.1", 0xab);
    poster.send(sent.clone());
    assert_eq!(poster.finish(), PosterCounts { posted: 1, ..PosterCounts::default() });
    let seen = &server.seen()[0];
    assert_eq!(seen.request_line, "POST /drain HTTP/1.1");
    assert_eq!(seen.body, sent.body);
    for (name, expected) in [
        ("content-type", "application/logplex-1"),
        ("logplex-msg-count", "1"),
        ("logplex-frame-id", "000000000000000000000000000000AB"),
        ("logplex-drain-token", "d.1"),
        ("user-agent", "Logplex/v73"),
        // base64 of "token:secret"
        ("authorization", "Basic dG9rZW46c2VjcmV0"),
    ] {
        assert_eq!(seen.headers.get(name).map(String::as_str), Some(expected), "{name}");
    }
}

#[test]
fn replies_decide_as_for_logplex() {
    fn check(statuses: &'static [u16], expected: PosterCounts) {
        let server = Server::start(Box::new(|_, attempt| statuses[attempt]));
        let poster = DrainPoster::start(&server.url, None, 1, StopSignal::new()).unwrap();
        poster.send(frame("d.1", 1));
        assert_eq!(poster.finish(), expected, "{statuses:?}");
        assert_eq!(server.seen().len(), statuses.len(), "{statuses:?}");
        assert!(server.seen().iter().all(|seen| !seen.headers.contains_key("authorization")));
    }
    let none = PosterCounts::default();
    check(&[200], PosterCounts { posted: 1, ..none });
    check(&[503, 204], PosterCounts { posted: 1, retried: 1, ..none });
    check(&[429, 500, 204], PosterCounts { posted: 1, retried: 2, ..none });
    check(&[302, 0, 503], PosterCounts { failed: 1, retried: 2, ..none });
    for dropping in [&[400], &[401], &[404], &[413]] {
        check(dropping, PosterCounts { refused: 1, ..none });
    }
    check(&[503, 400], PosterCounts { refused: 1, retried: 1, ..none });
}

#[test]
fn a_drain_keeps_its_order_and_its_connection() {
    let server = Server::start(Box::new(|_, _| 204));
    let frames = Fleet::new(FleetSettings::default(), 0).frames_until(2_000_000);
    let poster = DrainPoster::start(&server.url, None, 3, StopSignal::new()).unwrap();
    for frame in &frames {
        poster.send(frame.clone());
    }
    assert_eq!(poster.finish().posted, frames.len() as u64);

    let seen = server.seen();
    let mut sent_by_drain: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for frame in &frames {
        sent_by_drain.entry(&frame.drain_token).or_default().push(&frame.frame_id);
    }
    let mut connections = BTreeMap::new();
    let mut seen_by_drain: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for request in &seen {
        let drain = request.headers["logplex-drain-token"].as_str();
        seen_by_drain.entry(drain).or_default().push(request.frame_id());
        assert_eq!(*connections.entry(drain).or_insert(request.connection), request.connection);
    }
    assert_eq!(seen_by_drain, sent_by_drain);
    let used: std::collections::BTreeSet<_> = connections.values().collect();
    assert_eq!(used.len(), 3, "connections are kept alive, and all are used");
}

#[test]
fn kinds_are_counted() {
    let server = Server::start(Box::new(|_, _| 204));
    let poster = DrainPoster::start(&server.url, None, 1, StopSignal::new()).unwrap();
    for (id, kind) in
        (0..).zip([FrameKind::Fresh, FrameKind::Broken, FrameKind::Redelivery, FrameKind::Broken])
    {
        poster.send(DrainFrame { kind, ..frame("d.1", id) });
    }
    let expected = PosterCounts { posted: 4, posted_again: 1, posted_broken: 2, ..PosterCounts::default() };
    assert_eq!(poster.finish(), expected);
}

#[test]
fn a_full_queue_makes_senders_wait_and_is_counted() {
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let server = Server::start(Box::new(move |_, _| {
        // Answers nothing before the sender's end of the gate is gone.
        let _ = gate.lock().unwrap().recv();
        204
    }));
    let poster = DrainPoster::start_with_queue(&server.url, None, 1, 1, StopSignal::new()).unwrap();
    thread::scope(|scope| {
        // One may be on its way and one may wait: the third has no room.
        scope.spawn(|| (0..3).for_each(|id| poster.send(frame("d.1", id))));
        while poster.counts().queue_full == 0 {
            thread::yield_now();
        }
        drop(release);
    });
    let counts = poster.finish();
    assert_eq!(counts.posted, 3);
    assert!(counts.queue_full > 0);
}

#[test]
fn a_stop_abandons_the_rest() {
    let abandon = StopSignal::new();
    let poster = DrainPoster::start("http://127.0.0.1:1/drain", None, 2, abandon.clone()).unwrap();
    abandon.stop();
    for id in 0..20 {
        poster.send(frame(&format!("d.{id}"), id));
    }
    assert_eq!(poster.finish(), PosterCounts { abandoned: 20, ..PosterCounts::default() });
}

#[test]
fn without_a_listener_frames_are_given_up() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let poster = DrainPoster::start(&format!("http://{free}/drain"), None, 1, StopSignal::new()).unwrap();
    poster.send(frame("d.1", 1));
    let expected = PosterCounts { failed: 1, retried: 2, ..PosterCounts::default() };
    assert_eq!(poster.finish(), expected);
}
