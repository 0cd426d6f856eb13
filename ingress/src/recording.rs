//! Recorded input: drain bodies, syslog lines or the text of `heroku logs`, read as if it arrived now.
//!
//! A recording keeps its own time: each chunk is stamped with the latest time that a line has carried so
//! far, so a log of 2016 gives the minutes of 2016, in the order in which they passed.

use std::io::{self, BufRead};
use std::ops::Range;

use yahtzee_core::owner::Owner;
use yahtzee_pipeline_proto::raw::SourceKind;

use crate::collector::{BodyCounts, Collector};
use crate::line::LogLine;
use crate::line::ReceiveContext;
use crate::line::heroku_logs;
use crate::line::timestamp;
use crate::octet_counting::CountedMessages;
use crate::packer::{BodyOrigin, PackedRecord};
use crate::token_table::TokenTable;

/// Most lines of a chunk: about what one drain request carries.
pub const MAX_CHUNK_LINES: usize = 300;

/// Bytes of drain bodies that are held at a time.
const WINDOW_BYTES: usize = 1 << 20;

/// Bytes behind a message that must be in the window while more input follows: the count of the next one, which confirms
/// its end.
const MARGIN_BYTES: usize = 64;

/// Longest message for which the window grows. A longer one with a count that fits is taken for one whose count does not.
const GROWN_WINDOW_BYTES: usize = 64 << 20;

/// The way in which the lines of a recording are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One or more octet-counted bodies.
    Counted,
    /// A line each, either syslog or the text of `heroku logs`.
    Lines,
}

/// Reads a recording in chunks. An iterator; it ends at the first error of its input.
#[derive(Debug)]
pub struct Recording<R> {
    input: R,
    form: Option<Form>,
    /// Input that was read and not yet handed out.
    window: Vec<u8>,
    input_ended: bool,
    latest_us: Option<i64>,
    bad_lines: u64,
}

impl<R: BufRead> Recording<R> {
    /// Starts to read `input`; its form is found from its first bytes.
    pub fn new(input: R) -> Self {
        Self { input, form: None, window: Vec::new(), input_ended: false, latest_us: None, bad_lines: 0 }
    }

    /// Returns the number of lines skipped so far: no readable header, or no time before any line that has one.
    #[must_use]
    pub fn bad_lines(&self) -> u64 {
        self.bad_lines
    }

    fn next_chunk(&mut self) -> io::Result<Option<RecordingChunk>> {
        let form = match self.form {
            Some(form) => form,
            None => {
                self.fill(WINDOW_BYTES)?;
                *self.form.insert(form_of(&self.window))
            }
        };
        loop {
            self.fill(WINDOW_BYTES)?;
            if form == Form::Counted {
                let claimed = CountedMessages::new(&self.window, true).claimed_end().unwrap_or(0);
                self.fill(claimed.saturating_add(MARGIN_BYTES).min(GROWN_WINDOW_BYTES))?;
            }
            let (spans, consumed) = match form {
                Form::Counted => counted_spans(&self.window, self.input_ended),
                Form::Lines => line_spans(&self.window, self.input_ended),
            };
            if consumed == 0 {
                return Ok(None);
            }
            let bytes = self.window.drain(..consumed).collect();
            if let Some(chunk) = self.chunk(bytes, spans) {
                return Ok(Some(chunk));
            }
        }
    }

    /// Reads on until the window holds `wanted` bytes or the input ends.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        while self.window.len() < wanted && !self.input_ended {
            let read = self.input.fill_buf()?;
            self.input_ended = read.is_empty();
            let length = read.len();
            self.window.extend_from_slice(read);
            self.input.consume(length);
        }
        Ok(())
    }

    /// Keeps the readable lines of `spans` and stamps them; `None` if there are none.
    fn chunk(&mut self, bytes: Vec<u8>, mut spans: Vec<Range<usize>>) -> Option<RecordingChunk> {
        let found = spans.len();
        let mut latest_us = self.latest_us;
        spans.retain(|span| {
            let Some(line) = parse_line(&bytes[span.clone()]) else { return false };
            latest_us = latest_us.max(timestamp::parse_us(line.time));
            latest_us.is_some()
        });
        self.latest_us = latest_us;
        self.bad_lines += u64::try_from(found - spans.len()).expect("fits");
        let recv_us = latest_us?;
        (!spans.is_empty()).then_some(RecordingChunk { recv_us, bytes, spans })
    }
}

impl<R: BufRead> Iterator for Recording<R> {
    type Item = io::Result<RecordingChunk>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.next_chunk();
        if chunk.is_err() {
            self.window.clear();
            self.input_ended = true;
        }
        chunk.transpose()
    }
}

/// Lines that count as received at one time, at most [`MAX_CHUNK_LINES`].
#[derive(Clone, Debug)]
pub struct RecordingChunk {
    /// The receive stamp, microseconds since 1970: no line of this or an earlier chunk is younger.
    pub recv_us: i64,
    bytes: Vec<u8>,
    spans: Vec<Range<usize>>,
}

impl RecordingChunk {
    /// Returns the receive stamp in milliseconds since 1970.
    #[must_use]
    pub fn recv_ms(&self) -> i64 {
        self.recv_us.div_euclid(1_000)
    }

    /// Returns the lines, all with a readable header.
    pub fn lines(&self) -> impl Iterator<Item = LogLine<'_>> {
        self.spans.iter().filter_map(|span| parse_line(&self.bytes[span.clone()]))
    }

    /// Returns the raw records of the chunk, which belong to `owner` unless a line carries a log token, with counts.
    ///
    /// `frame_id` names the chunk, so that a repeated reading of the recording is recognised.
    #[must_use]
    pub fn records(
        &self,
        owner: Owner,
        tokens: &TokenTable,
        frame_id: [u8; 16],
    ) -> (Vec<PackedRecord>, BodyCounts) {
        let recv_us = self.recv_us;
        let provenance =
            BodyOrigin { recv_us, frame_id: Some(frame_id), source_kind: SourceKind::Recording, drain: None };
        let mut collector = Collector::new(tokens, owner, provenance);
        for (line, frame_index) in self.lines().zip(0..) {
            collector.add(Some(&line), ReceiveContext { recv_us, frame_index, repaired: false });
        }
        collector.finish()
    }
}

fn parse_line(text: &[u8]) -> Option<LogLine<'_>> {
    LogLine::parse(text).or_else(|| heroku_logs::parse(text.trim_ascii_end()))
}

fn form_of(start: &[u8]) -> Form {
    match CountedMessages::new(start, true).next() {
        Some(frame) if frame.message.starts_with(b"<") => Form::Counted,
        _ => Form::Lines,
    }
}

/// Returns the positions of the next messages of counted bodies, and the bytes they take.
fn counted_spans(window: &[u8], is_last: bool) -> (Vec<Range<usize>>, usize) {
    let limit = if is_last { window.len() } else { window.len().saturating_sub(MARGIN_BYTES) };
    let mut frames = CountedMessages::new(window, true);
    let mut spans = Vec::new();
    let mut consumed = 0;
    while spans.len() < MAX_CHUNK_LINES && consumed < limit {
        let is_cut = !is_last && frames.claimed_end().is_some_and(|end| end > limit);
        if is_cut && consumed > 0 {
            break;
        }
        let frame = frames.next();
        consumed = frames.position();
        let Some(frame) = frame else { break };
        spans.push(consumed - frame.message.len()..consumed);
    }
    (spans, consumed)
}

/// Returns the positions of the next lines, and the bytes they take. A line longer than the window is taken in pieces.
fn line_spans(window: &[u8], is_last: bool) -> (Vec<Range<usize>>, usize) {
    let mut spans = Vec::new();
    let mut consumed = 0;
    while spans.len() < MAX_CHUNK_LINES && consumed < window.len() {
        let newline = window[consumed..].iter().position(|&byte| byte == b'\n');
        let end = match newline {
            Some(newline) => consumed + newline + 1,
            None if is_last || consumed == 0 => window.len(),
            None => break,
        };
        if !window[consumed..end].trim_ascii().is_empty() {
            spans.push(consumed..end);
        }
        consumed = end;
    }
    (spans, consumed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::line::LineClass;

    const OWNER: Owner = Owner([7; 16]);

    fn time(second: usize) -> String {
        format!("2016-03-04T05:{:02}:{:02}Z", second / 60 % 60, second % 60)
    }

    fn time_us(second: usize) -> i64 {
        timestamp::parse_us(time(second).as_bytes()).unwrap()
    }

    const TEXT: &str =
        "at=info method=GET path=\"/\" fwd=x dyno=web.1 connect=1ms service=2ms status=200 bytes=1";

    fn syslog(second: usize) -> String {
        format!("<158>1 {} host heroku router - {TEXT}\n", time(second))
    }

    fn counted(second: usize) -> String {
        let message = syslog(second);
        format!("{} {message}", message.len())
    }

    fn cli(second: usize) -> String {
        format!("{} heroku[router]: {TEXT}\n", time(second))
    }

    fn read(input: &[u8]) -> (Vec<(i64, usize)>, u64) {
        let mut recording = Recording::new(io::BufReader::with_capacity(7, input));
        let chunks = recording.by_ref().map(Result::unwrap);
        let chunks = chunks.map(|chunk| (chunk.recv_us, chunk.lines().count())).collect();
        (chunks, recording.bad_lines())
    }

    #[test]
    fn every_form_gives_the_same_lines() {
        for form in [syslog, counted, cli] {
            let input: String = (0..700).map(form).collect();
            let (chunks, bad_lines) = read(input.as_bytes());
            assert_eq!(chunks, [(time_us(299), 300), (time_us(599), 300), (time_us(699), 100)]);
            assert_eq!(bad_lines, 0);
        }
    }

    #[test]
    fn receive_stamps_never_go_back() {
        let input: String =
            [500, 3, 900, 4].into_iter().flat_map(|second| vec![syslog(second); 300]).collect();
        let stamps: Vec<_> = read(input.as_bytes()).0.into_iter().map(|(stamp, _)| stamp).collect();
        assert_eq!(stamps, [500, 500, 900, 900].map(time_us));
    }

    #[test]
    fn bad_lines_are_counted_and_skipped() {
        fn check(input: &str, expected_lines: usize, expected_bad: u64) {
            let (chunks, bad_lines) = read(input.as_bytes());
            let lines: usize = chunks.iter().map(|(_, lines)| lines).sum();
            assert_eq!((lines, bad_lines), (expected_lines, expected_bad), "{input:?}");
        }
        check("", 0, 0);
        check("\n\n", 0, 0);
        check("no log at all\n", 0, 1);
        check(&format!("{}oops\n\n{}", cli(1), cli(2)), 2, 1);
        check("<158>1 - host heroku router - x\n", 0, 1);
        check(&format!("{}<158>1 - host heroku router - x\n", syslog(1)), 2, 0);
        check(&syslog(1).replace('\n', ""), 1, 0);
        check(&format!("{}{}", counted(1), counted(2).replace("\n", "")), 2, 0);
    }

    #[test]
    fn inputs_larger_than_the_window_are_read_whole() {
        for form in [syslog, counted, cli] {
            let line = form(1);
            let lines = 3 * WINDOW_BYTES / line.len();
            let (chunks, bad_lines) = read(line.repeat(lines).as_bytes());
            assert_eq!(chunks.iter().map(|(_, lines)| lines).sum::<usize>(), lines);
            assert_eq!(bad_lines, 0);
        }
    }

    /// A message of several windows is one line; what its app printed in it is text.
    #[test]
    fn a_message_larger_than_the_window_is_one_line() {
        let printed = counted(2).repeat(3 * WINDOW_BYTES / counted(2).len());
        let long = format!("<190>1 {} host app web.1 - {printed}", time(1));
        let input = format!("{}{} {long}{}", counted(1), long.len(), counted(3));
        let (chunks, bad_lines) = read(input.as_bytes());
        assert_eq!(chunks.iter().map(|(_, lines)| lines).sum::<usize>(), 3);
        assert_eq!(bad_lines, 0);
    }

    #[test]
    fn records_carry_the_recording_s_own_time() {
        let input: String = (0..3).map(cli).collect();
        let chunk = Recording::new(input.as_bytes()).next().unwrap().unwrap();
        let (records, counts) = chunk.records(OWNER, &TokenTable::default(), [7; 16]);
        assert_eq!(counts.lines(LineClass::Router), 3);
        assert_eq!(counts.time_replaced, 0);
        let stamps: Vec<_> = records.iter().map(|record| (record.owner, record.recv_ms)).collect();
        assert_eq!(stamps, [(OWNER, time_us(2) / 1_000)]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_the_end(input in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let mut recording = Recording::new(input.as_slice());
            let mut latest_us = i64::MIN;
            for chunk in recording.by_ref() {
                let recv_us = chunk.unwrap().recv_us;
                prop_assert!(recv_us >= latest_us);
                latest_us = recv_us;
            }
            prop_assert!(recording.input_ended && recording.window.is_empty());
        }
    }
}
