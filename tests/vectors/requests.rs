//! Requests, over a real socket against the service; only the log behind it is a stub.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use yahtzee_ingress::token_table::TokenTable;
use yahtzee_ingress::{Ingress, PackedRecord, Settings, serve};
use yahtzee_pipeline_proto::raw::{LangMetric, LogLoss, PlatformError, RouterRequest};
use yahtzee_pipeline_proto::{RawMeasurement, RecordOf};

use crate::sample::{self, Sample};
use crate::stub_log::{Delivery, stub_log};

/// Requests that are redeliveries of those before them: each run goes to one service, in order.
const SEQUENCES: &[&[&str]] = &[
    &["http_requests-001", "http_requests-002", "http_requests-003", "http_requests-004"],
    &["http_requests-027", "http_requests-028"],
    &["language_metrics-001", "language_metrics-002", "language_metrics-003"],
];

/// The log takes nothing.
const NOT_STORED: &str = "http_requests-023";

/// The owner has used up what it may send.
const OVER_RATE: &str = "http_requests-024";

/// The service is told to stop while the request is open.
const SHUTTING_DOWN: &str = "http_requests-025";

/// No service answers later than this, however slow the machine: the tests fail instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// Checks every sample of a request.
pub(crate) fn check_all() {
    let samples = sample::all();
    let requests: Vec<&Sample> = samples.iter().filter(|sample| sample.form() == "http_request").collect();
    assert!(!requests.is_empty());
    let is_in_sequence = |id: &str| SEQUENCES.iter().any(|sequence| sequence.contains(&id));
    for sequence in SEQUENCES {
        let samples =
            sequence.iter().map(|id| requests.iter().find(|sample| sample.id() == *id).expect("known id"));
        check_sequence(samples.copied());
    }
    for sample in requests.into_iter().filter(|sample| !is_in_sequence(sample.id())) {
        match sample.id() {
            NOT_STORED => check_not_stored(sample),
            OVER_RATE => check_over_rate(sample),
            SHUTTING_DOWN => check_shutting_down(sample),
            _ => check_sequence([sample].into_iter()),
        }
    }
}

/// What one service stores of all these requests.
pub(crate) fn stored<'a>(samples: impl Iterator<Item = &'a Sample>) -> Vec<PackedRecord> {
    let mut service = Service::start(settings());
    for sample in samples {
        service.send(sample, acknowledge_all);
    }
    service.take_stored()
}

fn check_sequence<'a>(samples: impl Iterator<Item = &'a Sample>) {
    let mut service = Service::start(settings());
    for sample in samples {
        let response = service.send(sample, acknowledge_all);
        check(sample, &response, &service.take_stored());
    }
}

fn check_not_stored(sample: &Sample) {
    let withheld = Settings { ack_budget: Duration::from_millis(20), ..settings() };
    let mut service = Service::start(withheld);
    let mut held = Vec::new();
    let response = service.send(sample, |delivery| {
        held.push(delivery);
        None
    });
    check(sample, &response, &[]);
    let mut service = Service::start(settings());
    let response = service.send(sample, |delivery| {
        drop(delivery);
        None
    });
    check(sample, &response, &[]);
}

fn check_over_rate(sample: &Sample) {
    let mut service = Service::start(Settings { owner_bytes_per_second: Some(1), ..settings() });
    assert_eq!(service.send(sample, acknowledge_all).status, 204);
    service.take_stored();
    let response = service.send(sample, acknowledge_all);
    check(sample, &response, &service.take_stored());
}

fn check_shutting_down(sample: &Sample) {
    let mut service = Service::start(settings());
    let shutdown = service.shutdown.take();
    let ingress = Arc::clone(&service.ingress);
    let mut shutdown = shutdown;
    let response = service.send(sample, |delivery| {
        if let Some(shutdown) = shutdown.take() {
            shutdown.send(()).expect("the service is running");
        }
        while !ingress.is_closing() {
            std::thread::yield_now();
        }
        acknowledge_all(delivery)
    });
    check(sample, &response, &service.take_stored());
    assert_eq!(response.header("connection"), Some("close"));
}

fn check(sample: &Sample, response: &Response, stored: &[PackedRecord]) {
    let expect = sample.expect();
    assert_eq!(
        Some(u64::from(response.status)),
        expect["status"].as_u64(),
        "{}: {}",
        sample.id(),
        response.head
    );
    // Drains get no body; what an operator must mend, and no drain sends, is answered with how.
    let has_body = response.header("content-length") != Some("0");
    let tells_operators = [401, 403, 404, 415].contains(&response.status);
    assert_eq!(has_body, tells_operators, "{}: {}", sample.id(), response.head);
    assert_eq!(
        u64::try_from(stored.iter().flat_map(places).collect::<BTreeSet<_>>().len()).ok(),
        expect["messages"].as_u64(),
        "{}: messages of which something was stored",
        sample.id()
    );
}

fn settings() -> Settings {
    Settings { credentials: vec!["user:pass".into()], ack_budget: PATIENCE, ..Settings::default() }
}

/// A running service and the stub of the log behind it.
struct Service {
    runtime: Runtime,
    address: SocketAddr,
    ingress: Arc<Ingress>,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    stored: Vec<PackedRecord>,
    shutdown: Option<oneshot::Sender<()>>,
}

/// The stub's decision: a delivery that counts as stored, or nothing.
type Decision = Option<Delivery>;

fn acknowledge_all(delivery: Delivery) -> Decision {
    Some(delivery)
}

impl Service {
    fn start(settings: Settings) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (topics, deliveries) = stub_log();
        let clock = Box::new(|| 4_102_444_800_000_000);
        let ingress = Ingress::new(settings, TokenTable::default(), topics, clock);
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (shutdown, stopped) = oneshot::channel::<()>();
        runtime.spawn(serve(listener, Arc::clone(&ingress), async move {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        Self { runtime, address, ingress, deliveries, stored: Vec::new(), shutdown: Some(shutdown) }
    }

    /// Sends a request and waits for its response; `decide` plays the log meanwhile.
    fn send(&mut self, sample: &Sample, mut decide: impl FnMut(Delivery) -> Decision) -> Response {
        let request = request_bytes(sample);
        let address = self.address;
        let Self { runtime, deliveries, stored, .. } = self;
        let client = runtime.spawn_blocking(move || exchange(address, &request));
        runtime.block_on(async {
            let mut client = client;
            loop {
                tokio::select! {
                    response = &mut client => return response.expect("the client does not panic"),
                    Some(delivery) = deliveries.recv() => if let Some(delivery) = decide(delivery) {
                        stored.extend(delivery.records.iter().cloned());
                        delivery.answer(Ok(()));
                    },
                }
            }
        })
    }

    fn take_stored(&mut self) -> Vec<PackedRecord> {
        std::mem::take(&mut self.stored)
    }
}

/// Places in the body, of the lines or metrics that the record has something of.
fn places(record: &PackedRecord) -> Vec<u32> {
    fn of<M: RawMeasurement>(record: &PackedRecord) -> Vec<M> {
        RecordOf::decode(record.payload.as_slice()).expect("its message").measurements
    }
    match record.measurement_type {
        RouterRequest::TYPE => of::<RouterRequest>(record).iter().map(|each| each.frame_index).collect(),
        PlatformError::TYPE => of::<PlatformError>(record).iter().map(|each| each.frame_index).collect(),
        LogLoss::TYPE => of::<LogLoss>(record).iter().map(|each| each.frame_index).collect(),
        LangMetric::TYPE => of::<LangMetric>(record).iter().map(|each| each.frame_index).collect(),
        other => panic!("unexpected {other}"),
    }
}

fn request_bytes(sample: &Sample) -> Vec<u8> {
    let text = |key: &str| sample.0[key].as_str().expect("text").to_owned();
    let body = sample.bytes();
    let mut head = format!("{} {} HTTP/1.1\r\nHost: drain.example.com\r\n", text("method"), text("path"));
    let headers = sample.0["headers"].as_object().expect("headers");
    for (name, value) in headers {
        head += &format!("{name}: {}\r\n", value.as_str().expect("text"));
    }
    if !headers.contains_key("Content-Length") {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", &body].concat()
}

/// The head of a response; the service's responses have no body.
struct Response {
    status: u16,
    head: String,
}

impl Response {
    fn parse(head: String) -> Self {
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self { status: status.unwrap_or_else(|| panic!("no status in {head:?}")), head }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// Sends the request and reads responses until one is final.
fn exchange(address: SocketAddr, request: &[u8]) -> Response {
    let mut stream = TcpStream::connect(address).expect("the service listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a valid timeout");
    stream.write_all(request).expect("the request is taken");
    loop {
        let response = Response::parse(read_head(&mut stream));
        if response.status >= 200 {
            return response;
        }
    }
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a whole response");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("ASCII")
}
