//! Turns the lines of one delivery into raw records, and counts lines and measurements.

use yahtzee_core::owner::Owner;
use yahtzee_pipeline_proto::Measurement;
use yahtzee_pipeline_proto::raw::LogLoss;

use crate::auth::WriteScope;
use crate::line::LineClass;
use crate::line::LogLine;
use crate::line::timestamp;
use crate::line::values::token_uuid;
use crate::line::{LineContext, ParsedLine, measure};
use crate::octet_counting::CountedMessages;
use crate::packer::{BodyOrigin, PREPENDED_INDEX, PackedRecord, Packer};
use crate::token_table::{TokenTable, derived_owner};

/// Counts of lines and measurements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyCounts {
    lines: [u64; LineClass::ALL.len()],
    measurements: [u64; Measurement::TYPES.len()],
    /// Messages with a border that was found by repair.
    pub repaired: u64,
    /// Bytes that belong to no readable message.
    pub skipped_bytes: u64,
    /// Platform lines that were cut where their figures are.
    pub truncated: u64,
    /// Measurements at another time than that of their line, because that is unreadable.
    pub time_replaced: u64,
    /// Measurements dropped, because neither their line nor another one of its body has a readable time.
    pub untimed: u64,
    /// Measurements dropped, because one alone is larger than a record may be.
    pub oversized: u64,
    /// Measurements dropped, because the log token of their line names an owner that the sender may not write for.
    pub foreign: u64,
    /// Deliveries with a token that no table knows.
    pub unknown_tokens: u64,
    /// Values of language metrics that are no number in range, or have no usable name.
    pub rejected_values: u64,
}

impl BodyCounts {
    /// Returns the number of lines of this class.
    #[must_use]
    pub fn lines(&self, class: LineClass) -> u64 {
        self.lines[class as usize]
    }

    /// Returns the number of lines of all classes.
    #[must_use]
    pub fn all_lines(&self) -> u64 {
        self.lines.iter().sum()
    }

    /// Returns the number of measurements of each type.
    pub fn measurements(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Measurement::TYPES.iter().copied().zip(self.measurements)
    }

    /// Adds the counts of other lines.
    pub fn add(&mut self, other: &Self) {
        let pairs = self.lines.iter_mut().zip(&other.lines);
        pairs
            .chain(self.measurements.iter_mut().zip(&other.measurements))
            .for_each(|(sum, count)| *sum += count);
        self.repaired += other.repaired;
        self.skipped_bytes += other.skipped_bytes;
        self.truncated += other.truncated;
        self.time_replaced += other.time_replaced;
        self.untimed += other.untimed;
        self.oversized += other.oversized;
        self.foreign += other.foreign;
        self.unknown_tokens += other.unknown_tokens;
        self.rejected_values += other.rejected_values;
    }

    fn line(&mut self, reading: &ParsedLine) {
        self.lines[reading.class as usize] += 1;
        self.truncated += u64::from(reading.truncated);
    }

    /// Adds a measurement of `owner` to `packer`, and counts whether it was taken.
    pub(crate) fn pack(&mut self, packer: &mut Packer, owner: Owner, measurement: &Measurement) {
        let is_packed = packer.add(owner, measurement);
        self.measurements[measurement.index()] += u64::from(is_packed);
        self.oversized += u64::from(!is_packed);
    }
}

/// Collects the lines of one delivery.
#[derive(Debug)]
pub struct Collector<'a> {
    tokens: &'a TokenTable,
    owner: Owner,
    scope: WriteScope,
    packer: Packer,
    counts: BodyCounts,
    has_unknown_token: bool,
    /// Times of the oldest and of the latest line, microseconds since 1970.
    oldest_us: Option<i64>,
    latest_us: Option<i64>,
    /// Lines that are measured at the latest time, once it is known.
    waiting: Vec<(LogLine<'a>, LineContext)>,
    /// Kept until the oldest line is known.
    losses: Vec<(Owner, LogLoss)>,
}

impl<'a> Collector<'a> {
    /// Starts a delivery of `owner`. Lines that carry a log token belong to that token's owner instead.
    #[must_use]
    pub fn new(tokens: &'a TokenTable, owner: Owner, origin: BodyOrigin) -> Self {
        Self {
            tokens,
            owner,
            scope: WriteScope::Any,
            packer: Packer::new(origin),
            counts: BodyCounts::default(),
            has_unknown_token: false,
            oldest_us: None,
            latest_us: None,
            waiting: Vec::new(),
            losses: Vec::new(),
        }
    }

    /// Drops lines of owners that are not in `scope`.
    #[must_use]
    pub(crate) fn within(self, scope: WriteScope) -> Self {
        Self { scope, ..self }
    }

    /// Adds one line; `None` is a message without a readable header.
    ///
    /// Every delivery of a body must give the same times, or it counts twice, in two windows. So a line without a readable time
    /// has that of the latest line, and so has a prepended one, which is written anew for every attempt.
    pub fn add(&mut self, line: Option<LogLine<'a>>, frame_index: u32, repaired: bool) {
        let Some(line) = line else {
            return self.counts.line(&ParsedLine::of_class(LineClass::Malformed));
        };
        let own_time_us = timestamp::parse_us(line.time);
        let context = LineContext {
            time_us: own_time_us.unwrap_or_default(),
            time_replaced: own_time_us.is_none(),
            frame_index,
            repaired,
        };
        if own_time_us.is_none() || frame_index == PREPENDED_INDEX {
            return self.waiting.push((line, context));
        }
        self.oldest_us = [self.oldest_us, own_time_us].into_iter().flatten().min();
        self.latest_us = self.latest_us.max(own_time_us);
        self.measure(&line, context);
    }

    fn measure(&mut self, line: &LogLine<'_>, context: LineContext) {
        let reading = measure(line, context);
        self.counts.line(&reading);
        for measurement in reading.measurements.into_iter().flatten() {
            let owner = self.owner_of(line);
            if !self.scope.allows(owner) {
                self.counts.foreign += 1;
                continue;
            }
            self.counts.time_replaced += u64::from(context.time_replaced);
            match measurement {
                Measurement::LogLoss(loss) => self.losses.push((owner, loss)),
                other => self.counts.pack(&mut self.packer, owner, &other),
            }
        }
    }

    /// Measures the lines that wait for a time: that of the latest line, else their own, else `untimed_us`.
    fn measure_waiting(&mut self, untimed_us: Option<i64>) {
        for (line, context) in std::mem::take(&mut self.waiting) {
            let own_time_us = (!context.time_replaced).then_some(context.time_us);
            if let Some(time_us) = self.latest_us.or(own_time_us).or(untimed_us) {
                self.measure(&line, LineContext { time_us, ..context });
            } else {
                let reading = measure(&line, context);
                self.counts.line(&reading);
                self.counts.untimed += reading.measurements.iter().flatten().count() as u64;
            }
        }
    }

    /// Returns the owner of a line: a log token names that of its own line only, never of those that follow.
    fn owner_of(&mut self, line: &LogLine<'_>) -> Owner {
        if token_uuid(line.app_name, b"t.").is_none() {
            return self.owner;
        }
        let known = self.tokens.get(line.app_name);
        self.has_unknown_token |= known.is_none();
        known.map_or_else(|| derived_owner(line.app_name), |entry| entry.owner)
    }

    /// Returns the records and the counts. A body without any readable time is measured at `untimed_us`, which must be the same
    /// for every delivery of a body that has a name.
    #[must_use]
    pub fn finish(mut self, untimed_us: Option<i64>) -> (Vec<PackedRecord>, BodyCounts) {
        self.measure_waiting(untimed_us);
        self.counts.unknown_tokens += u64::from(self.has_unknown_token);
        for (owner, mut loss) in self.losses {
            // A full buffer drops its oldest lines, so the loss lies before the oldest that is left, whatever the
            // notice says: where only the buffer overflowed, it says the time of sending.
            loss.since_us = self.oldest_us.map_or(loss.since_us, |oldest_us| loss.since_us.min(oldest_us));
            self.counts.pack(&mut self.packer, owner, &loss.into());
        }
        (self.packer.finish(), self.counts)
    }
}

/// Reads a whole octet-counted body into `collector`.
pub fn collect_body<'a>(collector: &mut Collector<'a>, body: &'a [u8], repair: bool) {
    let mut frames = CountedMessages::new(body, repair);
    let mut next_index = 0;
    let mut is_first = true;
    for frame in frames.by_ref() {
        let line = LogLine::parse(frame.message);
        let is_prepended = is_first && line.as_ref().is_some_and(announces_overflow);
        let frame_index = if is_prepended { PREPENDED_INDEX } else { next_index };
        next_index += u32::from(!is_prepended);
        is_first = false;
        collector.counts.repaired += u64::from(frame.repaired);
        collector.add(line, frame_index, frame.repaired);
    }
    collector.counts.skipped_bytes += u64::try_from(frames.skipped_bytes()).expect("fits");
}

/// Returns whether this is the L10 line that Logplex puts in front of a body, written anew for every attempt.
fn announces_overflow(line: &LogLine<'_>) -> bool {
    line.proc_id == b"logplex" && line.text_after_structured_data().starts_with(b"Error L10 ")
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use yahtzee_pipeline_proto::raw::{PlatformError, RouterRequest, SourceKind};
    use yahtzee_pipeline_proto::{RawMeasurement, RecordOf};

    use super::*;

    const OWNER: Owner = Owner([7; 16]);
    const TIME_US: i64 = 1_772_600_767_000_000;

    fn origin() -> BodyOrigin {
        BodyOrigin { recv_us: TIME_US, frame_id: None, source_kind: SourceKind::Logplex, drain: None }
    }

    fn message(app_name: &str, proc_id: &str, text: &str) -> String {
        let message = format!("<1>1 2026-03-04T05:06:07Z host {app_name} {proc_id} - {text}");
        format!("{} {message}", message.len())
    }

    fn router(app_name: &str) -> String {
        message(app_name, "router", "at=info path=\"/\" fwd=x dyno=web.1 status=200")
    }

    fn read(tokens: &TokenTable, body: &str) -> (Vec<PackedRecord>, BodyCounts) {
        let mut collector = Collector::new(tokens, OWNER, origin());
        collect_body(&mut collector, body.as_bytes(), true);
        collector.finish(None)
    }

    fn measurements<M: RawMeasurement>(record: &PackedRecord) -> Vec<M> {
        assert_eq!(record.measurement_type, M::TYPE);
        RecordOf::decode(record.payload.as_slice()).unwrap().measurements
    }

    fn request_indices(record: &PackedRecord) -> Vec<u32> {
        measurements::<RouterRequest>(record).iter().map(|request| request.frame_index).collect()
    }

    #[test]
    fn a_prepended_notice_of_loss_moves_no_index() {
        fn check(front: &str, expected_requests: &[u32], expected_errors: &[u32]) {
            let body = format!("{front}{}{}", router("heroku"), router("heroku"));
            let (records, _) = read(&TokenTable::default(), &body);
            let of_type = |name| records.iter().find(|record| record.measurement_type == name);
            assert_eq!(
                of_type(RouterRequest::TYPE).map(request_indices).unwrap_or_default(),
                expected_requests,
                "{front}"
            );
            let errors = of_type(PlatformError::TYPE).map(measurements::<PlatformError>);
            let indices: Vec<_> = errors.unwrap_or_default().iter().map(|error| error.frame_index).collect();
            assert_eq!(indices, expected_errors, "{front}");
        }
        check("", &[0, 1], &[]);
        check(
            &message("heroku", "logplex", "Error L10 (output buffer overflow): 3 messages"),
            &[0, 1],
            &[PREPENDED_INDEX],
        );
        check(&message("heroku", "web.1", "Error R14 (Memory quota exceeded)"), &[1, 2], &[0]);
        check(&message("app", "web.1", "hello"), &[1, 2], &[]);
    }

    #[test]
    fn a_loss_lies_before_the_oldest_line_of_its_body() {
        fn check(since: &str, oldest: &str, expected_s_before: i64) {
            let notice = format!("Error L10 (output buffer overflow): 3 messages dropped since {since}.");
            let line = router("heroku").replace("2026-03-04T05:06:07Z", oldest);
            let body = format!("{}{line}{}", message("heroku", "logplex", &notice), router("heroku"));
            let (records, _) = read(&TokenTable::default(), &body);
            let record = records.iter().find(|record| record.measurement_type == LogLoss::TYPE).unwrap();
            let losses = measurements::<LogLoss>(record);
            let [loss] = &losses[..] else { panic!("{losses:?}") };
            assert_eq!((loss.count, loss.frame_index, loss.time_us), (3, PREPENDED_INDEX, TIME_US));
            assert_eq!(loss.since_us, TIME_US - expected_s_before * 1_000_000, "{since} {oldest}");
        }
        let now = "2026-03-04T05:06:07Z";
        check(now, now, 0);
        check(now, "2026-03-04T05:05:07Z", 60);
        check("2026-03-04T05:05:57Z", now, 10);
        check("2026-03-04T05:05:57Z", "2026-03-04T05:05:07Z", 60);
        check("then", "2026-03-04T05:05:07Z", 60);
        check("2026-03-04T05:05:57Z", "01234567890123456789", 10);
    }

    /// Event times of the requests and errors of a body, and how many measurements were replaced and dropped.
    fn check_times(lines: &[String], untimed_us: Option<i64>, expected: &[i64], expected_counts: (u64, u64)) {
        let (tokens, body) = (TokenTable::default(), lines.concat());
        let mut collector = Collector::new(&tokens, OWNER, origin());
        collect_body(&mut collector, body.as_bytes(), true);
        let (records, counts) = collector.finish(untimed_us);
        let times = records.iter().flat_map(|record| match record.measurement_type {
            RouterRequest::TYPE => measurements(record).iter().map(|it: &RouterRequest| it.time_us).collect(),
            PlatformError::TYPE => measurements(record).iter().map(|it: &PlatformError| it.time_us).collect(),
            _ => Vec::new(),
        });
        let mut times: Vec<i64> = times.collect();
        times.sort_unstable();
        assert_eq!(times, expected, "{body}");
        assert_eq!((counts.time_replaced, counts.untimed), expected_counts, "{body}");
        assert_eq!(counts.all_lines(), lines.len() as u64, "{body}");
    }

    #[test]
    fn lines_without_a_time_have_that_of_the_latest_line_of_their_body() {
        let at = |time: &str| router("heroku").replace("2026-03-04T05:06:07Z", time);
        let (bad, other_bad) = (|| at("01234567890123456789"), at("2026-13-04T05:06:07Z"));
        let (early, late, far_ahead) =
            (at("2026-03-04T05:06:06Z"), at("2026-03-04T05:06:08Z"), at("2099-03-04T05:06:07Z"));
        let [early_us, late_us] = [TIME_US - 1_000_000, TIME_US + 1_000_000];
        let far_us = timestamp::parse_us(b"2099-03-04T05:06:07Z").unwrap();
        check_times(&[early.clone(), bad(), late.clone()], None, &[early_us, late_us, late_us], (1, 0));
        check_times(
            &[bad(), late, early.clone(), other_bad],
            Some(5),
            &[early_us, late_us, late_us, late_us],
            (2, 0),
        );
        check_times(&[early, far_ahead], None, &[early_us, far_us], (0, 0));
        check_times(&[bad(), bad()], None, &[], (0, 2));
        check_times(&[bad(), bad()], Some(5), &[5, 5], (2, 0));
        let app = message("app", "web.1", "hello").replace("2026-03-04T05:06:07Z", "01234567890123456789");
        check_times(&[app], None, &[], (0, 0));
    }

    /// It is written anew for every attempt, with the time of sending.
    #[test]
    fn a_prepended_notice_has_the_time_of_the_lines_behind_it() {
        let notice = |time| {
            message("heroku", "logplex", "Error L10 (output buffer overflow): 3 messages")
                .replace("2026-03-04T05:06:07Z", time)
        };
        let now = "2026-03-04T05:07:07Z";
        check_times(&[notice(now), router("heroku")], None, &[TIME_US, TIME_US], (0, 0));
        check_times(&[notice(now)], None, &[TIME_US + 60_000_000], (0, 0));
        check_times(&[router("heroku"), notice(now)], None, &[TIME_US, TIME_US + 60_000_000], (0, 0));
    }

    #[test]
    fn a_log_token_names_the_owner_of_its_line_only() {
        let known = "t.0a1b2c3d-0000-4000-8000-00000000abcd";
        let unknown = "t.0a1b2c3d-0000-4000-8000-00000000ffff";
        let tokens: TokenTable = [(known, Owner([9; 16]))].into_iter().collect();
        let body = [router(known), router(unknown), router("heroku")].concat();
        let (records, counts) = read(&tokens, &body);
        let by_owner: Vec<_> = records.iter().map(|record| (record.owner, request_indices(record))).collect();
        assert!(by_owner.contains(&(Owner([9; 16]), vec![0])));
        assert!(by_owner.contains(&(derived_owner(unknown.as_bytes()), vec![1])));
        assert!(by_owner.contains(&(OWNER, vec![2])));
        assert_eq!(counts.unknown_tokens, 1);
    }

    #[test]
    fn what_was_seen_is_counted() {
        let body = format!("{}{}garbage", router("heroku"), message("app", "web.1", "x\n"));
        let (_, mut counts) = read(&TokenTable::default(), &format!("{body}{}", message("", "", "")));
        assert_eq!((counts.lines(LineClass::Router), counts.lines(LineClass::App)), (1, 1));
        assert_eq!(counts.repaired, 1);
        assert_eq!(counts.measurements().collect::<Vec<_>>()[0], (RouterRequest::TYPE, 1));
        let one = counts.clone();
        counts.add(&one);
        assert_eq!(counts.all_lines(), 2 * one.all_lines());
        assert_eq!(counts.repaired, 2);
    }
}
