//! One request, from its head to its reply.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Response, header};
use axum::routing::post;
use futures_util::FutureExt as _;
use yahtzee_core::owner::Owner;

use crate::auth::SenderIdentity;
use crate::body_memory::BodyShare;
use crate::collector::BodyCounts;
use crate::dedupe::{Claim, DeliveryOutcome, DeliveryTicket, NotStored, Waiter};
use crate::drain::DrainRequest;
use crate::endpoint::Endpoint;
use crate::language::{LanguageClient, LanguageRequest};
use crate::packer::PackedRecord;
use crate::parsed_body::ParsedBody;
use crate::reply::Reply;
use crate::request_body::{BodyError, RequestBody, gunzip};
use crate::sender::Sender;
use crate::service::Ingress;
use crate::stats::FrameOutcome;

/// Creates the service's routes.
///
/// * `POST /drain`, and `POST /drain/<owner's UUID>` for senders without a drain token;
/// * `POST /lang/<owner's UUID>/<dyno or process type>`, where the dyno's UUID may follow.
pub fn router(ingress: Arc<Ingress>) -> Router {
    let method_not_allowed = |State(ingress): Shared, request: Request| async move {
        refuse(&ingress, Reply::MethodNotAllowed, request).await
    };
    let not_found = |State(ingress): Shared, request: Request| async move {
        refuse(&ingress, Reply::NotFound, request).await
    };
    Router::new()
        .route("/drain", post(drain).fallback(method_not_allowed))
        .route("/drain/{owner}", post(drain_of_owner).fallback(method_not_allowed))
        .route("/lang/{owner}/{process}", post(metrics_of_process).fallback(method_not_allowed))
        .route("/lang/{owner}/{process}/{dyno}", post(metrics_of_dyno).fallback(method_not_allowed))
        .fallback(not_found)
        .with_state(ingress)
}

type Shared = State<Arc<Ingress>>;

/// Parts of a path. Those that are no UTF-8 name nothing; the framework would answer them itself, uncounted and with the body unread.
type PathParts<T> = Result<Path<T>, PathRejection>;

async fn drain(State(ingress): Shared, request: Request) -> Response<Body> {
    take_drain(&ingress, None, request).await
}

async fn drain_of_owner(
    State(ingress): Shared,
    owner: PathParts<String>,
    request: Request,
) -> Response<Body> {
    match owner.ok().and_then(|Path(owner)| Owner::parse(&owner)) {
        Some(owner) => take_drain(&ingress, Some(owner), request).await,
        None => refuse(&ingress, Reply::NotFound, request).await,
    }
}

async fn take_drain(ingress: &Arc<Ingress>, path_owner: Option<Owner>, request: Request) -> Response<Body> {
    let open = |headers: &HeaderMap, identity: &SenderIdentity| {
        let sender = Sender::of(headers, path_owner, identity, &ingress.tokens);
        Endpoint::Drain(DrainRequest::new(sender, identity.scope.clone(), headers))
    };
    handle(ingress, open, request).await
}

async fn metrics_of_process(
    State(ingress): Shared,
    path: PathParts<(String, String)>,
    request: Request,
) -> Response<Body> {
    let client = path.ok().and_then(|Path((owner, process))| LanguageClient::parse(&owner, &process, None));
    take_metrics(&ingress, client, request).await
}

async fn metrics_of_dyno(
    State(ingress): Shared,
    path: PathParts<(String, String, String)>,
    request: Request,
) -> Response<Body> {
    let client = path
        .ok()
        .and_then(|Path((owner, process, dyno))| LanguageClient::parse(&owner, &process, Some(&dyno)));
    take_metrics(&ingress, client, request).await
}

async fn take_metrics(
    ingress: &Arc<Ingress>,
    client: Option<LanguageClient>,
    request: Request,
) -> Response<Body> {
    let Some(client) = client else { return refuse(ingress, Reply::NotFound, request).await };
    let open =
        |headers: &HeaderMap, _: &SenderIdentity| Endpoint::Language(LanguageRequest::new(client, headers));
    handle(ingress, open, request).await
}

/// Answers a request for the sake of its path or method alone.
async fn refuse(ingress: &Ingress, reply: Reply, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    respond(ingress, reply, RequestBody::new(&head.headers, body)).await
}

/// Answers a request whose body need not have been read.
async fn respond(ingress: &Ingress, reply: Reply, body: RequestBody) -> Response<Body> {
    ingress.stats.reply(reply.status().as_str());
    let is_read = body.discard(ingress.settings.body_timeout).await;
    reply.into_response(ingress.is_closing() || !is_read)
}

async fn handle(
    ingress: &Arc<Ingress>,
    open: impl FnOnce(&HeaderMap, &SenderIdentity) -> Endpoint,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut body = RequestBody::new(&head.headers, body);
    // What a panic leaves behind is whole: a ticket that is dropped counts as not stored, and nothing else is half done.
    let replying = AssertUnwindSafe(reply_to(ingress, open, &head.headers, &mut body)).catch_unwind();
    let reply = replying.await.unwrap_or_else(|_| {
        let path = head.uri.path();
        tracing::error!(target: "yahtzee::ingress", path, "a request has panicked: a mistake of the program; the message is in the log of the process");
        Reply::Panicked
    });
    respond(ingress, reply, body).await
}

async fn reply_to(
    ingress: &Arc<Ingress>,
    open: impl FnOnce(&HeaderMap, &SenderIdentity) -> Endpoint,
    headers: &HeaderMap,
    body: &mut RequestBody,
) -> Reply {
    let Some(identity) = ingress.credentials.check(headers.get(header::AUTHORIZATION)) else {
        return Reply::Unauthorized;
    };
    let endpoint = open(headers, &identity);
    if !identity.scope.allows(endpoint.owner()) {
        return Reply::Forbidden;
    }
    let max_bytes = ingress.settings.max_body_bytes.min(endpoint.max_body_bytes());
    let encoding = match check_head(headers, endpoint.content_types(), max_bytes) {
        Ok(encoding) => encoding,
        Err(reply) => return reply,
    };
    let mut share = ingress.body_memory.share();
    let body = match body.receive(max_bytes, ingress.settings.body_timeout, &mut share).await {
        Ok(body) => body,
        Err(BodyError::TooLarge) => return Reply::TooLarge,
        Err(BodyError::NoMemory) => return without_memory(ingress),
        Err(BodyError::Incomplete | BodyError::Unreadable) => return Reply::Unavailable,
    };
    let received = Instant::now();
    if ingress.rate_limit.as_ref().is_some_and(|limit| !limit.admit(endpoint.owner(), body.len(), received)) {
        return Reply::TooManyRequests;
    }
    let reply = match decode(body, encoding, max_bytes, &mut share) {
        Ok(body) => store(ingress, &endpoint, &body).await,
        Err(BodyError::TooLarge) => Reply::TooLarge,
        Err(BodyError::NoMemory) => without_memory(ingress),
        Err(BodyError::Unreadable | BodyError::Incomplete) => {
            ingress.stats.frame(FrameOutcome::Unreadable);
            endpoint.accepted()
        }
    };
    ingress.stats.ack(received.elapsed());
    reply
}

/// Refuses a body for the sake of those of other requests; its sender tries again.
fn without_memory(ingress: &Ingress) -> Reply {
    ingress.stats.body_without_memory();
    Reply::Unavailable
}

/// The compression of a body.
#[derive(Clone, Copy)]
enum Encoding {
    Plain,
    Gzip,
}

/// Refuses what can be refused before the body arrives.
fn check_head(headers: &HeaderMap, content_types: &[&str], max_bytes: usize) -> Result<Encoding, Reply> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !content_types.iter().any(|known| media_type.eq_ignore_ascii_case(known)) {
        return Err(Reply::UnsupportedType);
    }
    let announced_bytes = text(header::CONTENT_LENGTH).and_then(|value| value.parse::<u64>().ok());
    if announced_bytes.is_some_and(|bytes| usize::try_from(bytes).map_or(true, |bytes| bytes > max_bytes)) {
        return Err(Reply::TooLarge);
    }
    match text(header::CONTENT_ENCODING).map(|value| value.trim().to_ascii_lowercase()).as_deref() {
        None | Some("" | "identity") => Ok(Encoding::Plain),
        Some("gzip" | "x-gzip") => Ok(Encoding::Gzip),
        Some(_) => Err(Reply::UnsupportedType),
    }
}

fn decode(
    body: Bytes,
    encoding: Encoding,
    max_bytes: usize,
    share: &mut BodyShare,
) -> Result<Bytes, BodyError> {
    match encoding {
        Encoding::Plain => Ok(body),
        Encoding::Gzip => Ok(gunzip(&body, max_bytes, share)?.into()),
    }
}

/// Stores a body once, however often it is delivered.
async fn store(ingress: &Arc<Ingress>, endpoint: &Endpoint, body: &[u8]) -> Reply {
    let claim = endpoint.delivery_id(body).map(|id| ingress.dedupe.claim(id, Instant::now()));
    let ticket = match claim {
        Some(Claim::Done) => {
            ingress.stats.frame(FrameOutcome::Duplicate);
            return endpoint.accepted();
        }
        Some(Claim::InFlight(first)) => {
            ingress.stats.frame(FrameOutcome::Duplicate);
            return reply_within_budget(ingress, endpoint, first).await;
        }
        Some(Claim::New(ticket)) => ticket,
        None => ingress.dedupe.ticket_without_name(),
    };
    let outcome = ticket.waiter();
    ingress.stats.body(body.len());
    let ParsedBody { records, counts, differs_from_head, outcome_if_stored } =
        endpoint.read(body, &ingress.tokens, ingress.recv_us());
    if differs_from_head {
        ingress.stats.count_mismatch();
    }
    let delivery = PendingDelivery { ingress: Arc::clone(ingress), ticket, counts, outcome_if_stored };
    if !ingress.unknown_owners.admit(records.iter().map(|record| record.owner), Instant::now()) {
        ingress.stats.unknown_owner_refused();
        delivery
            .end(&Err(NotStored::because("there are `ingress.unknown_owners_max` unknown owners already")));
        return Reply::TooManyRequests;
    }
    delivery.append(records);
    reply_within_budget(ingress, endpoint, outcome).await
}

async fn reply_within_budget(ingress: &Ingress, endpoint: &Endpoint, outcome: Waiter) -> Reply {
    match tokio::time::timeout(ingress.settings.ack_budget, outcome.outcome()).await {
        Ok(Ok(())) => endpoint.accepted(),
        Ok(Err(_)) | Err(_) => Reply::Unavailable,
    }
}

/// A delivery on its way to the log. It ends when the log has answered, even if its sender has gone or was answered that
/// it should try again.
struct PendingDelivery {
    ingress: Arc<Ingress>,
    ticket: DeliveryTicket,
    counts: BodyCounts,
    /// See [`ParsedBody::outcome_if_stored`].
    outcome_if_stored: Option<FrameOutcome>,
}

impl PendingDelivery {
    fn append(self, records: Vec<PackedRecord>) {
        if records.is_empty() {
            return self.end(&Ok(()));
        }
        let Ok(permit) = Arc::clone(&self.ingress.in_flight).try_acquire_owned() else {
            return self.end(&Err(NotStored::because("too many deliveries wait for the log")));
        };
        let topics = Arc::clone(&self.ingress.topics);
        topics.append(records, move |written| {
            drop(permit);
            self.end(&written.map_err(NotStored::because));
        });
    }

    /// Notes the outcome. Lines of what was not stored are not counted: they come again.
    fn end(self, outcome: &DeliveryOutcome) {
        let stats = &self.ingress.stats;
        match outcome {
            Ok(()) => {
                if let Some(outcome) = self.outcome_if_stored {
                    stats.frame(outcome);
                }
                stats.lines(&self.counts);
            }
            Err(error) => {
                stats.frame(FrameOutcome::NotStored);
                tracing::debug!(target: "yahtzee::ingress", %error, "answered that the sender should try again");
            }
        }
        self.ticket.settle(outcome);
    }
}
