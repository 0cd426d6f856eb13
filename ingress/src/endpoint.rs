//! The kinds of requests that the service takes, and where they differ.

use yahtzee_core::owner::Owner;

use crate::dedupe::DeliveryId;
use crate::drain::DrainRequest;
use crate::language::LanguageRequest;
use crate::parsed_body::ParsedBody;
use crate::reply::Reply;
use crate::token_table::TokenTable;

/// A request by the endpoint it came to, with its head read.
#[derive(Debug)]
pub(crate) enum Endpoint {
    /// Log lines, octet-counted.
    Drain(DrainRequest),
    /// Metrics of a language runtime, as JSON.
    Language(LanguageRequest),
}

impl Endpoint {
    /// Returns the media types of its bodies: Logplex's drains have two, of which the second is Logplex's own input.
    pub(crate) fn content_types(&self) -> &'static [&'static str] {
        match self {
            Self::Drain(_) => &["application/logplex-1", "application/x-logplex-1"],
            Self::Language(_) => &["application/json"],
        }
    }

    /// Returns the size of its greatest body, in bytes, where the settings demand no smaller one.
    pub(crate) fn max_body_bytes(&self) -> usize {
        match self {
            Self::Drain(_) => usize::MAX,
            // The longest distribution in so many bytes fits into one record.
            Self::Language(_) => 512 << 10,
        }
    }

    /// Returns the reply to what has been stored, or is not worth sending again.
    pub(crate) fn accepted(&self) -> Reply {
        match self {
            Self::Drain(_) => Reply::Accepted,
            Self::Language(_) => Reply::AcceptedOk,
        }
    }

    /// Returns the owner that it counts against in the rate limit.
    pub(crate) fn owner(&self) -> Owner {
        match self {
            Self::Drain(request) => request.owner(),
            Self::Language(request) => request.owner(),
        }
    }

    /// Returns the name of the delivery of `body`, the same for every attempt; `None` if its attempts look like different deliveries.
    pub(crate) fn delivery_id(&self, body: &[u8]) -> Option<DeliveryId> {
        match self {
            Self::Drain(request) => request.delivery_id(),
            Self::Language(request) => request.delivery_id(body),
        }
    }

    /// Reads `body`, received at `recv_us`, microseconds since 1970.
    pub(crate) fn read(&self, body: &[u8], tokens: &TokenTable, recv_us: i64) -> ParsedBody {
        match self {
            Self::Drain(request) => request.read(body, tokens, recv_us),
            Self::Language(request) => request.read(body, recv_us),
        }
    }
}
