//! One drain request, from its head to its reply.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Response, header};
use axum::routing::post;
use yahtzee_core::owner::Owner;

use crate::body::{BodyError, gunzip, receive};
use crate::class::Class;
use crate::collect::{Collector, Counts, collect_body};
use crate::dedupe::{Claim, Outcome, Ticket};
use crate::delivery::{NotStored, deliver};
use crate::pack::{Provenance, RawRecord};
use crate::reply::Reply;
use crate::sender::Sender;
use crate::service::Ingress;
use crate::stats::FrameOutcome;

/// Header with the number of messages in a body.
const MESSAGE_COUNT: &str = "logplex-msg-count";

/// The content types of drain bodies: of Logplex's drains, and of its own input.
const CONTENT_TYPES: [&str; 2] = ["application/logplex-1", "application/x-logplex-1"];

/// The service's routes: `POST /drain`, and `POST /drain/<owner's UUID>` for senders without a drain token.
pub fn router(ingress: Arc<Ingress>) -> Router {
    let method_not_allowed =
        |State(ingress): State<Arc<Ingress>>| async move { respond(&ingress, Reply::MethodNotAllowed) };
    let not_found = |State(ingress): State<Arc<Ingress>>| async move { respond(&ingress, Reply::NotFound) };
    Router::new()
        .route("/drain", post(drain).fallback(method_not_allowed))
        .route("/drain/{owner}", post(drain_of_owner).fallback(method_not_allowed))
        .fallback(not_found)
        .with_state(ingress)
}

async fn drain(State(ingress): State<Arc<Ingress>>, request: Request) -> Response<Body> {
    let reply = handle(&ingress, None, request).await;
    respond(&ingress, reply)
}

async fn drain_of_owner(
    State(ingress): State<Arc<Ingress>>,
    Path(owner): Path<String>,
    request: Request,
) -> Response<Body> {
    let reply = match Owner::parse(&owner) {
        Some(owner) => handle(&ingress, Some(owner), request).await,
        None => Reply::NotFound,
    };
    respond(&ingress, reply)
}

fn respond(ingress: &Ingress, reply: Reply) -> Response<Body> {
    ingress.stats.reply(reply.status().as_str());
    reply.into_response(ingress.is_closing())
}

async fn handle(ingress: &Arc<Ingress>, path_owner: Option<Owner>, request: Request) -> Reply {
    let (head, body) = request.into_parts();
    let Some(identity) = ingress.credentials.check(head.headers.get(header::AUTHORIZATION)) else {
        return Reply::Unauthorized;
    };
    let max_bytes = ingress.settings.max_body_bytes;
    let encoding = match check_head(&head.headers, max_bytes) {
        Ok(encoding) => encoding,
        Err(reply) => return reply,
    };
    let body = match receive(body, max_bytes, ingress.settings.body_timeout).await {
        Ok(body) => body,
        Err(BodyError::TooLarge) => return Reply::TooLarge,
        Err(BodyError::Incomplete | BodyError::Unreadable) => return Reply::Unavailable,
    };
    let received = Instant::now();
    let sender = Sender::of(&head.headers, path_owner, &identity, &ingress.tokens);
    if ingress.rate_limit.as_ref().is_some_and(|limit| !limit.admit(sender.owner, body.len(), received)) {
        return Reply::TooManyRequests;
    }
    let reply = match decode(body, encoding, max_bytes) {
        Ok(body) => store(ingress, &sender, &body, announced_count(&head.headers)).await,
        Err(BodyError::TooLarge) => Reply::TooLarge,
        Err(BodyError::Unreadable | BodyError::Incomplete) => {
            ingress.stats.frame(FrameOutcome::Unreadable);
            Reply::Taken
        }
    };
    ingress.stats.ack(received.elapsed());
    reply
}

/// How a body is compressed.
#[derive(Clone, Copy)]
enum Encoding {
    Plain,
    Gzip,
}

/// Refuses what can be refused before the body arrives.
fn check_head(headers: &HeaderMap, max_bytes: usize) -> Result<Encoding, Reply> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !CONTENT_TYPES.iter().any(|known| media_type.eq_ignore_ascii_case(known)) {
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

fn decode(body: Bytes, encoding: Encoding, max_bytes: usize) -> Result<Bytes, BodyError> {
    match encoding {
        Encoding::Plain => Ok(body),
        Encoding::Gzip => gunzip(&body, max_bytes).map(Bytes::from),
    }
}

fn announced_count(headers: &HeaderMap) -> Option<u64> {
    headers.get(MESSAGE_COUNT)?.to_str().ok()?.trim().parse().ok()
}

/// Stores a body once, however often it is delivered.
async fn store(ingress: &Arc<Ingress>, sender: &Sender, body: &[u8], announced_count: Option<u64>) -> Reply {
    let ticket = match sender.frame_id.map(|id| ingress.dedupe.claim(id, Instant::now())) {
        Some(Claim::Done) => {
            ingress.stats.frame(FrameOutcome::Duplicate);
            return Reply::Taken;
        }
        Some(Claim::InFlight(first)) => {
            ingress.stats.frame(FrameOutcome::Duplicate);
            return within_budget(ingress, first.outcome()).await;
        }
        Some(Claim::New(ticket)) => Some(ticket),
        None => None,
    };
    ingress.stats.body(body.len());
    let (records, counts) = read(ingress, sender, body);
    if announced_count.is_some_and(|announced| announced != counts.all_lines()) {
        ingress.stats.count_mismatch();
    }
    let is_unreadable = counts.all_lines() == counts.lines(Class::Malformed);
    let if_stored = match body.trim_ascii() {
        [] => None,
        _ if is_unreadable => Some(FrameOutcome::Unreadable),
        _ => Some(FrameOutcome::Stored),
    };
    let production = Production { ingress: Arc::clone(ingress), ticket, counts, if_stored };
    if records.is_empty() {
        production.end(&Ok(()));
        return Reply::Taken;
    }
    // A task of its own: the outcome is noted even if this sender has gone or was told to try again.
    let task = tokio::spawn(production.run(records));
    let outcome = async { task.await.unwrap_or_else(|error| Err(NotStored { reason: error.to_string() })) };
    within_budget(ingress, outcome).await
}

fn read(ingress: &Ingress, sender: &Sender, body: &[u8]) -> (Vec<RawRecord>, Counts) {
    let recv_us = ingress.recv_us();
    let Sender { owner, frame_id, source_kind, drain, .. } = *sender;
    let provenance = Provenance { recv_us, frame_id, source_kind, drain };
    let mut collector = Collector::new(&ingress.tokens, owner, provenance);
    collect_body(&mut collector, body, sender.repair, recv_us);
    let (records, mut counts) = collector.finish();
    counts.unknown_tokens += u64::from(!sender.is_known);
    (records, counts)
}

async fn within_budget(ingress: &Ingress, outcome: impl Future<Output = Outcome>) -> Reply {
    match tokio::time::timeout(ingress.settings.ack_budget, outcome).await {
        Ok(Ok(())) => Reply::Taken,
        Ok(Err(_)) | Err(_) => Reply::Unavailable,
    }
}

/// The production of one delivery.
struct Production {
    ingress: Arc<Ingress>,
    ticket: Option<Ticket>,
    counts: Counts,
    /// What to count once nothing of it is left to store; `None` for a body without content.
    if_stored: Option<FrameOutcome>,
}

impl Production {
    async fn run(self, records: Vec<RawRecord>) -> Outcome {
        let outcome = deliver(&self.ingress.queue, records).await;
        self.end(&outcome);
        outcome
    }

    /// Notes the outcome. Lines of what was not stored are not counted: they come again.
    fn end(self, outcome: &Outcome) {
        let stats = &self.ingress.stats;
        match outcome {
            Ok(()) => {
                if let Some(outcome) = self.if_stored {
                    stats.frame(outcome);
                }
                stats.lines(&self.counts);
            }
            Err(error) => {
                stats.frame(FrameOutcome::NotStored);
                tracing::debug!(target: "yahtzee::ingress", %error, "told the sender to try again");
            }
        }
        if let Some(ticket) = self.ticket {
            ticket.settle(outcome);
        }
    }
}
