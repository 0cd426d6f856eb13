//! Requests of log drains: octet-counted log lines.

use axum::http::HeaderMap;
use yahtzee_core::owner::Owner;

use crate::collector::{Collector, collect_body};
use crate::dedupe::DeliveryId;
use crate::endpoint::ParsedBody;
use crate::line::LineClass;
use crate::packer::BodyOrigin;
use crate::sender::Sender;
use crate::stats::FrameOutcome;
use crate::token_table::TokenTable;

/// Header with the number of messages in a body.
const MESSAGE_COUNT: &str = "logplex-msg-count";

/// A request of a drain.
#[derive(Debug)]
pub(crate) struct DrainRequest {
    sender: Sender,
    announced_count: Option<u64>,
}

impl DrainRequest {
    pub(crate) fn new(sender: Sender, headers: &HeaderMap) -> Self {
        Self { sender, announced_count: announced_count(headers, MESSAGE_COUNT) }
    }

    pub(crate) fn owner(&self) -> Owner {
        self.sender.owner
    }

    pub(crate) fn delivery_id(&self) -> Option<DeliveryId> {
        self.sender.frame_id
    }

    pub(crate) fn read(&self, body: &[u8], tokens: &TokenTable, recv_us: i64) -> ParsedBody {
        let Sender { owner, frame_id, source_kind, drain, .. } = self.sender;
        let origin = BodyOrigin { recv_us, frame_id, source_kind, drain };
        let mut collector = Collector::new(tokens, owner, origin);
        collect_body(&mut collector, body, self.sender.repair, recv_us);
        let (records, mut counts) = collector.finish();
        counts.unknown_tokens += u64::from(!self.sender.is_known);
        let is_unreadable = counts.all_lines() == counts.lines(LineClass::Malformed);
        let outcome_if_stored = match body.trim_ascii() {
            [] => None,
            _ if is_unreadable => Some(FrameOutcome::Unreadable),
            _ => Some(FrameOutcome::Stored),
        };
        let differs_from_head = self.announced_count.is_some_and(|announced| announced != counts.all_lines());
        ParsedBody { records, counts, differs_from_head, outcome_if_stored }
    }
}

/// Returns the decimal number in the header `name`.
pub(crate) fn announced_count(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}
