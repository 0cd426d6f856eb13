//! Requests of log drains: octet-counted log lines.

use axum::http::HeaderMap;
use yahtzee_core::owner::Owner;

use crate::class::Class;
use crate::collect::{Collector, collect_body};
use crate::dedupe::FrameId;
use crate::owner::TokenTable;
use crate::pack::BodyOrigin;
use crate::post::{Contents, Post};
use crate::reply::Reply;
use crate::sender::Sender;
use crate::stats::FrameOutcome;

/// Header with the number of messages in a body.
const MESSAGE_COUNT: &str = "logplex-msg-count";

/// A request of a drain.
#[derive(Debug)]
pub(crate) struct DrainPost {
    sender: Sender,
    announced_count: Option<u64>,
}

impl DrainPost {
    pub(crate) fn new(sender: Sender, headers: &HeaderMap) -> Self {
        Self { sender, announced_count: announced_count(headers, MESSAGE_COUNT) }
    }
}

/// The decimal number in the header `name`.
pub(crate) fn announced_count(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

impl Post for DrainPost {
    /// Of Logplex's drains, and of its own input.
    const CONTENT_TYPES: &'static [&'static str] = &["application/logplex-1", "application/x-logplex-1"];

    /// No limit of its own.
    const MAX_BODY_BYTES: usize = usize::MAX;

    const TAKEN: Reply = Reply::Taken;

    fn owner(&self) -> Owner {
        self.sender.owner
    }

    fn frame_id(&self, _body: &[u8]) -> Option<FrameId> {
        self.sender.frame_id
    }

    fn read(&self, body: &[u8], tokens: &TokenTable, recv_us: i64) -> Contents {
        let Sender { owner, frame_id, source_kind, drain, .. } = self.sender;
        let provenance = BodyOrigin { recv_us, frame_id, source_kind, drain };
        let mut collector = Collector::new(tokens, owner, provenance);
        collect_body(&mut collector, body, self.sender.repair, recv_us);
        let (records, mut counts) = collector.finish();
        counts.unknown_tokens += u64::from(!self.sender.is_known);
        let is_unreadable = counts.all_lines() == counts.lines(Class::Malformed);
        let if_stored = match body.trim_ascii() {
            [] => None,
            _ if is_unreadable => Some(FrameOutcome::Unreadable),
            _ => Some(FrameOutcome::Stored),
        };
        let differs_from_head = self.announced_count.is_some_and(|announced| announced != counts.all_lines());
        Contents { records, counts, differs_from_head, if_stored }
    }
}
