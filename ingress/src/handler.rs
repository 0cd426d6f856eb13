//! One request, from its head to its reply.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Response, header};
use axum::routing::post;
use yahtzee_core::owner::Owner;

use crate::auth::Identity;
use crate::body::{BodyError, gunzip, receive};
use crate::collect::Counts;
use crate::dedupe::{Claim, Outcome, Ticket};
use crate::delivery::{NotStored, deliver};
use crate::drain::DrainPost;
use crate::language::{LanguagePost, Poster};
use crate::pack::PackedRecord;
use crate::post::{Contents, Post};
use crate::reply::Reply;
use crate::sender::Sender;
use crate::service::Ingress;
use crate::stats::FrameOutcome;

/// The service's routes.
///
/// * `POST /drain`, and `POST /drain/<owner's UUID>` for senders without a drain token;
/// * `POST /lang/<owner's UUID>/<dyno or process type>`, where the dyno's UUID may follow.
pub fn router(ingress: Arc<Ingress>) -> Router {
    let method_not_allowed =
        |State(ingress): State<Arc<Ingress>>| async move { respond(&ingress, Reply::MethodNotAllowed) };
    let not_found = |State(ingress): State<Arc<Ingress>>| async move { respond(&ingress, Reply::NotFound) };
    Router::new()
        .route("/drain", post(drain).fallback(method_not_allowed))
        .route("/drain/{owner}", post(drain_of_owner).fallback(method_not_allowed))
        .route("/lang/{owner}/{process}", post(metrics_of_process).fallback(method_not_allowed))
        .route("/lang/{owner}/{process}/{dyno}", post(metrics_of_dyno).fallback(method_not_allowed))
        .fallback(not_found)
        .with_state(ingress)
}

type Shared = State<Arc<Ingress>>;

async fn drain(State(ingress): Shared, request: Request) -> Response<Body> {
    take_drain(&ingress, None, request).await
}

async fn drain_of_owner(
    State(ingress): Shared,
    Path(owner): Path<String>,
    request: Request,
) -> Response<Body> {
    match Owner::parse(&owner) {
        Some(owner) => take_drain(&ingress, Some(owner), request).await,
        None => respond(&ingress, Reply::NotFound),
    }
}

async fn take_drain(ingress: &Arc<Ingress>, path_owner: Option<Owner>, request: Request) -> Response<Body> {
    let open = |headers: &HeaderMap, identity: &Identity| {
        DrainPost::new(Sender::of(headers, path_owner, identity, &ingress.tokens), headers)
    };
    let reply = handle(ingress, open, request).await;
    respond(ingress, reply)
}

async fn metrics_of_process(
    State(ingress): Shared,
    Path((owner, process)): Path<(String, String)>,
    request: Request,
) -> Response<Body> {
    take_metrics(&ingress, Poster::parse(&owner, &process, None), request).await
}

async fn metrics_of_dyno(
    State(ingress): Shared,
    Path((owner, process, dyno)): Path<(String, String, String)>,
    request: Request,
) -> Response<Body> {
    take_metrics(&ingress, Poster::parse(&owner, &process, Some(&dyno)), request).await
}

async fn take_metrics(ingress: &Arc<Ingress>, poster: Option<Poster>, request: Request) -> Response<Body> {
    let Some(poster) = poster else { return respond(ingress, Reply::NotFound) };
    let open = |headers: &HeaderMap, _: &Identity| LanguagePost::new(poster, headers);
    let reply = handle(ingress, open, request).await;
    respond(ingress, reply)
}

fn respond(ingress: &Ingress, reply: Reply) -> Response<Body> {
    ingress.stats.reply(reply.status().as_str());
    reply.into_response(ingress.is_closing())
}

async fn handle<P: Post>(
    ingress: &Arc<Ingress>,
    open: impl FnOnce(&HeaderMap, &Identity) -> P,
    request: Request,
) -> Reply {
    let (head, body) = request.into_parts();
    let Some(identity) = ingress.credentials.check(head.headers.get(header::AUTHORIZATION)) else {
        return Reply::Unauthorized;
    };
    let max_bytes = ingress.settings.max_body_bytes.min(P::MAX_BODY_BYTES);
    let encoding = match check_head(&head.headers, P::CONTENT_TYPES, max_bytes) {
        Ok(encoding) => encoding,
        Err(reply) => return reply,
    };
    let body = match receive(body, max_bytes, ingress.settings.body_timeout).await {
        Ok(body) => body,
        Err(BodyError::TooLarge) => return Reply::TooLarge,
        Err(BodyError::Incomplete | BodyError::Unreadable) => return Reply::Unavailable,
    };
    let received = Instant::now();
    let post = open(&head.headers, &identity);
    if ingress.rate_limit.as_ref().is_some_and(|limit| !limit.admit(post.owner(), body.len(), received)) {
        return Reply::TooManyRequests;
    }
    let reply = match decode(body, encoding, max_bytes) {
        Ok(body) => store(ingress, &post, &body).await,
        Err(BodyError::TooLarge) => Reply::TooLarge,
        Err(BodyError::Unreadable | BodyError::Incomplete) => {
            ingress.stats.frame(FrameOutcome::Unreadable);
            P::TAKEN
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

fn decode(body: Bytes, encoding: Encoding, max_bytes: usize) -> Result<Bytes, BodyError> {
    match encoding {
        Encoding::Plain => Ok(body),
        Encoding::Gzip => gunzip(&body, max_bytes).map(Bytes::from),
    }
}

/// Stores a body once, however often it is delivered.
async fn store<P: Post>(ingress: &Arc<Ingress>, post: &P, body: &[u8]) -> Reply {
    let ticket = match post.frame_id(body).map(|id| ingress.dedupe.claim(id, Instant::now())) {
        Some(Claim::Done) => {
            ingress.stats.frame(FrameOutcome::Duplicate);
            return P::TAKEN;
        }
        Some(Claim::InFlight(first)) => {
            ingress.stats.frame(FrameOutcome::Duplicate);
            return within_budget::<P>(ingress, first.outcome()).await;
        }
        Some(Claim::New(ticket)) => Some(ticket),
        None => None,
    };
    ingress.stats.body(body.len());
    let Contents { records, counts, differs_from_head, if_stored } =
        post.read(body, &ingress.tokens, ingress.recv_us());
    if differs_from_head {
        ingress.stats.count_mismatch();
    }
    let production = Production { ingress: Arc::clone(ingress), ticket, counts, if_stored };
    if records.is_empty() {
        production.end(&Ok(()));
        return P::TAKEN;
    }
    // A task of its own: the outcome is noted even if this sender has gone or was told to try again.
    let task = tokio::spawn(production.run(records));
    let outcome = async { task.await.unwrap_or_else(|error| Err(NotStored { reason: error.to_string() })) };
    within_budget::<P>(ingress, outcome).await
}

async fn within_budget<P: Post>(ingress: &Ingress, outcome: impl Future<Output = Outcome>) -> Reply {
    match tokio::time::timeout(ingress.settings.ack_budget, outcome).await {
        Ok(Ok(())) => P::TAKEN,
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
    async fn run(self, records: Vec<PackedRecord>) -> Outcome {
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
