//! Requests of log drains: octet-counted log lines.

use axum::http::HeaderMap;
use yahtzee_core::owner::Owner;

use crate::auth::WriteScope;
use crate::collector::{Collector, collect_body};
use crate::dedupe::DeliveryId;
use crate::line::LineClass;
use crate::packer::BodyOrigin;
use crate::parsed_body::ParsedBody;
use crate::sender::Sender;
use crate::stats::FrameOutcome;
use crate::token_table::TokenTable;

/// Header with the number of messages in a body.
const MESSAGE_COUNT: &str = "logplex-msg-count";

/// A request of a drain.
#[derive(Debug)]
pub(crate) struct DrainRequest {
    sender: Sender,
    scope: WriteScope,
    announced_count: Option<u64>,
}

impl DrainRequest {
    pub(crate) fn new(sender: Sender, scope: WriteScope, headers: &HeaderMap) -> Self {
        Self { sender, scope, announced_count: announced_count(headers, MESSAGE_COUNT) }
    }

    pub(crate) fn owner(&self) -> Owner {
        self.sender.owner
    }

    pub(crate) fn delivery_id(&self) -> Option<DeliveryId> {
        self.sender.frame_id.map(|frame_id| self.scope.delivery_id(frame_id))
    }

    pub(crate) fn read(&self, body: &[u8], tokens: &TokenTable, recv_us: i64) -> ParsedBody {
        let Sender { owner, frame_id, source_kind, drain, .. } = self.sender;
        let origin = BodyOrigin { recv_us, frame_id, source_kind, drain };
        let mut collector = Collector::new(tokens, owner, origin).within(self.scope.clone());
        collect_body(&mut collector, body, self.sender.repair);
        // Without a name no two deliveries are known to be the same, so that their times may differ.
        let (records, mut counts) = collector.finish(frame_id.is_none().then_some(recv_us));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;
    use yahtzee_pipeline_proto::raw::RawRecord;

    use super::*;

    const RECV_US: i64 = 1_772_600_767_000_000;

    /// Frame ids and measurements of a delivery that is received at `recv_us`.
    fn read(body: &str, recv_us: i64) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
        let headers = [("logplex-drain-token", "d.1"), ("logplex-frame-id", "F")];
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let (headers, tokens) = (HeaderMap::from_iter(headers), TokenTable::default());
        let sender = Sender::of(&headers, None, &crate::auth::SenderIdentity::default(), &tokens);
        let parsed =
            DrainRequest::new(sender, WriteScope::Any, &headers).read(body.as_bytes(), &tokens, recv_us);
        let records =
            parsed.records.iter().map(|record| RawRecord::decode(record.payload.as_slice()).unwrap());
        records.map(|record| (record.frame_id, record.measurements)).collect()
    }

    fn message(source: &str, time: &str, text: &str) -> String {
        let message = format!("<1>1 {time} host {source} - {text}");
        format!("{} {message}", message.len())
    }

    /// The second delivery comes later, and with a notice of loss of its own.
    fn check(times: &[String], notices: [&str; 2], delay_us: i64) {
        let lines: String = times
            .iter()
            .map(|time| message("heroku router", time, "at=info path=\"/\" fwd=x dyno=web.1 status=200"))
            .collect();
        let text = "Error L10 (output buffer overflow): 3 messages dropped since 2026-03-04T05:06:07Z.";
        let [first, second] = notices.map(|time| format!("{}{lines}", message("heroku logplex", time, text)));
        let second = read(&second, RECV_US + delay_us);
        assert_eq!(read(&first, RECV_US), second, "{times:?}");
    }

    proptest! {
        /// A frame counts once: its measurements are of the same minutes whenever and wherever it is delivered.
        #[test]
        fn every_delivery_of_a_frame_gives_the_same_measurements(
            times in proptest::collection::vec("(2026-03-04T05:0[0-9]:07Z|2099-01-01T00:00:00Z|-|2026-13-04T05:06:07Z)", 1..6),
            delay_us in 0_i64..1_000_000_000,
        ) {
            let is_timed = times.iter().any(|time| crate::line::timestamp::parse_us(time.as_bytes()).is_some());
            let again = if is_timed { "2026-03-04T05:09:07Z" } else { "2026-03-04T05:06:07Z" };
            check(&times, ["2026-03-04T05:06:07Z", again], delay_us);
        }
    }
}
