//! Delivery of lines by Logplex: packed into frames, sometimes long delayed, twice, with a leading notice of loss, or
//! broken.

use std::collections::BTreeMap;

use super::line::{Line, LineSource, with_fraction};
use super::{DrainFrame, FrameKind};
use crate::rng::Rng;

/// Target size of one drain request (Logplex's `target_bytes`).
const MAX_BODY_BYTES: usize = 102_400;

const BROKEN_CHANCE: f64 = 0.003;
const REDELIVERY_CHANCE: f64 = 0.005;
const NOTICE_CHANCE: f64 = 0.002;
const NOTICE_CHANCE_IF_DELAYED: f64 = 0.3;
const SECOND_US: i64 = 1_000_000;

/// Delays of a frame's lines in seconds, with their weights: mostly none, sometimes too long for any open minute.
const DELAYS_S: &[(f64, (f64, f64))] =
    &[(970.0, (0.0, 0.0)), (26.0, (10.0, 100.0)), (3.0, (100.0, 290.0)), (1.0, (360.0, 900.0))];

/// Way in which a frame is broken.
const FAULTS: &[Fault] = &[Fault::CountTooLow, Fault::CountTooHigh, Fault::Garbage, Fault::Truncated];

#[derive(Clone, Copy, Debug)]
enum Fault {
    CountTooLow,
    CountTooHigh,
    Garbage,
    Truncated,
}

/// Loss that an L10 line announces.
#[derive(Clone, Debug)]
struct Loss {
    count: u64,
    since_us: i64,
}

/// A frame before it is encoded; its notice of loss is created for each attempt.
#[derive(Clone, Debug)]
struct Draft {
    drain_token: String,
    frame_id: String,
    loss: Option<Loss>,
    message_count: u32,
    messages: Vec<u8>,
}

impl Draft {
    fn write(&self, sent_us: i64, kind: FrameKind) -> DrainFrame {
        let mut body = Vec::with_capacity(self.messages.len() + 160);
        if let Some(loss) = &self.loss {
            self.notice(loss, sent_us).append_to(&mut body);
        }
        body.extend_from_slice(&self.messages);
        DrainFrame {
            drain_token: self.drain_token.clone(),
            frame_id: self.frame_id.clone(),
            message_count: self.message_count + u32::from(self.loss.is_some()),
            body,
            kind,
        }
    }

    /// The L10 line, which ends without a newline.
    fn notice(&self, loss: &Loss, sent_us: i64) -> Line {
        let (token, since) = (&self.drain_token, with_fraction(loss.since_us));
        let text = format!(
            "Error L10 (output buffer overflow): drain '{token}' dropped {} messages since {since}.",
            loss.count
        );
        Line { time_us: sent_us, source: LineSource::logplex(), text: text.into_bytes() }
    }
}

/// All drain processes of the fleet.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    rng: Rng,
    /// Frames to send later, by time of sending and a sequence number.
    redeliveries: BTreeMap<(i64, u64), Draft>,
    redelivery_count: u64,
}

impl Delivery {
    pub(super) fn new(rng: Rng) -> Self {
        Self { rng, redeliveries: BTreeMap::new(), redelivery_count: 0 }
    }

    /// Sends `lines` of one drain at `sent_us`.
    pub(super) fn send(
        &mut self,
        token: &str,
        mut lines: Vec<Line>,
        sent_us: i64,
        frames: &mut Vec<DrainFrame>,
    ) {
        let (shortest_s, longest_s) = self.rng.weighted(DELAYS_S);
        let delay_us = (self.rng.between(shortest_s, longest_s) * SECOND_US as f64) as i64;
        for line in &mut lines {
            line.time_us -= delay_us;
        }
        for (message_count, messages) in pack(&lines) {
            let draft = self.draft(token, message_count, messages, sent_us, delay_us);
            let frame = draft.write(sent_us, FrameKind::Fresh);
            if self.rng.chance(BROKEN_CHANCE) {
                frames.push(self.break_frame(frame));
                continue;
            }
            frames.push(frame);
            if self.rng.chance(REDELIVERY_CHANCE) {
                let pause_s = self.rng.weighted(&[(5.0, (0.1, 2.0)), (1.0, (2.0, 40.0))]);
                let due_us = sent_us + (self.rng.between(pause_s.0, pause_s.1) * SECOND_US as f64) as i64;
                self.redelivery_count += 1;
                self.redeliveries.insert((due_us, self.redelivery_count), draft);
            }
        }
    }

    /// Repeats the frames that are due by `sent_us`.
    pub(super) fn send_again(&mut self, sent_us: i64, frames: &mut Vec<DrainFrame>) {
        let later = self.redeliveries.split_off(&(sent_us + 1, 0));
        let due = std::mem::replace(&mut self.redeliveries, later);
        frames.extend(due.into_values().map(|draft| draft.write(sent_us, FrameKind::Redelivery)));
    }

    fn draft(
        &mut self,
        token: &str,
        message_count: u32,
        messages: Vec<u8>,
        sent_us: i64,
        delay_us: i64,
    ) -> Draft {
        let notice_chance = if delay_us > 0 { NOTICE_CHANCE_IF_DELAYED } else { NOTICE_CHANCE };
        let loss = self.rng.chance(notice_chance).then(|| Loss {
            count: 1 + self.rng.lognormal(20.0, 1.5) as u64,
            since_us: sent_us - delay_us - SECOND_US,
        });
        let frame_id = format!("{:016X}{:016X}", self.rng.bits(), self.rng.bits());
        Draft { drain_token: token.to_owned(), frame_id, loss, message_count, messages }
    }

    fn break_frame(&mut self, mut frame: DrainFrame) -> DrainFrame {
        let body = &mut frame.body;
        match self.rng.pick(FAULTS) {
            Fault::CountTooLow => change_first_count(body, |octets| octets - 1),
            Fault::CountTooHigh => change_first_count(body, |octets| octets + 1),
            Fault::Garbage => *body = (0..64).map(|_| self.rng.below(256) as u8).collect(),
            Fault::Truncated => {
                let lost = 1 + self.rng.below(40) as usize;
                body.truncate(body.len().saturating_sub(lost));
            }
        }
        frame.kind = FrameKind::Broken;
        frame
    }
}

/// Packs messages into bodies: returns the number of messages and the bytes of each body.
fn pack(lines: &[Line]) -> Vec<(u32, Vec<u8>)> {
    let mut bodies: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut message = Vec::new();
    for line in lines {
        message.clear();
        line.append_to(&mut message);
        match bodies.last_mut() {
            Some((count, body)) if body.len() + message.len() <= MAX_BODY_BYTES => {
                *count += 1;
                body.extend_from_slice(&message);
            }
            _ => bodies.push((1, message.clone())),
        }
    }
    bodies
}

/// Changes the octet count of the first message.
fn change_first_count(body: &mut Vec<u8>, change: impl FnOnce(usize) -> usize) {
    let digits = body.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let octets = str::from_utf8(&body[..digits]).ok().and_then(|digits| digits.parse().ok());
    let octets: usize = octets.expect("a body begins with a count");
    body.splice(..digits, change(octets).to_string().into_bytes());
}
