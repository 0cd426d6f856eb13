//! Recorded input: drain bodies, syslog lines or the text of `heroku logs`, read as if it arrived when its lines were written.
//!
//! An input is read whole and its lines are sorted by their own time: it gives the minutes that a drain would have given,
//! whatever the gaps between its lines, and in whatever order its parts were put together. It is held in memory: its size
//! after decompression, and 32 bytes for each line.

mod clocks;
mod form;
mod text;
mod zstd;

use std::collections::HashMap;
use std::io::{self, Read};
use std::ops::Range;

use yahtzee_core::owner::Owner;
use yahtzee_pipeline_proto::raw::SourceKind;

use crate::collector::{BodyCounts, Collector};
use crate::line::LogLine;
use crate::line::class::LineWriter;
use crate::line::heroku_logs;
use crate::line::timestamp;
use crate::packer::{BodyOrigin, PackedRecord, frame_digest};
use crate::token_table::TokenTable;

use self::clocks::LineTime;
use self::form::FoundLine;

/// Most lines of a chunk: about what one drain request carries.
pub const MAX_CHUNK_LINES: usize = 300;

/// Time that the lines of a chunk span at most, in microseconds: a drain sends once a second.
const CHUNK_US: i64 = 1_000_000;

/// A readable line, and when it counts as received.
#[derive(Clone, Debug)]
struct RecordedLine {
    /// Microseconds since 1970.
    recv_us: i64,
    /// Its place in the text.
    span: Range<usize>,
    /// Whether its end is known: it has a newline, or the length that was announced.
    is_whole: bool,
}

/// A recording, its lines in the order of their times.
#[derive(Debug)]
pub struct Recording {
    text: Vec<u8>,
    lines: Vec<RecordedLine>,
    bad_lines: u64,
}

impl Recording {
    /// Reads `input` whole: text in UTF-8 or UTF-16, as it is or compressed with gzip, zstd, bzip2 or xz.
    ///
    /// # Errors
    /// If the input fails, is compressed in another way, or is compressed and damaged or cut.
    pub fn read(input: impl Read) -> io::Result<Self> {
        Ok(Self::of(text::read(input)?))
    }

    fn of(mut text: Vec<u8>) -> Self {
        let mut found = form::lines(&mut text);
        let found_lines = found.len();
        let mut times = Vec::with_capacity(found_lines);
        found.retain(|line| {
            let line = parse_line(&text[line.span.clone()]);
            times.extend(line.map(|line| LineTime {
                // No log is older than 1970, and none takes such a stamp: that is a clock that was never set.
                time_us: timestamp::parse_us(line.time).filter(|&time_us| time_us >= 0),
                is_platform: LineWriter::of(&line).is_platform(),
            }));
            line.is_some()
        });
        let mut lines: Vec<RecordedLine> = Vec::with_capacity(found.len());
        for (FoundLine { span, is_whole }, recv_us) in found.into_iter().zip(clocks::received_us(&times)) {
            lines.extend(recv_us.map(|recv_us| RecordedLine { recv_us, span, is_whole }));
        }
        lines.sort_by_key(|line| line.recv_us);
        let bad_lines = (found_lines - lines.len()) as u64;
        Self { text, lines, bad_lines }
    }

    /// Returns the number of lines skipped: no readable header, or no time anywhere around.
    #[must_use]
    pub fn bad_lines(&self) -> u64 {
        self.bad_lines
    }

    /// Returns the number of readable lines.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    /// Returns the lines from number `first` on that count as received at one time; `None` behind the last.
    #[must_use]
    pub fn chunk(&self, first: usize) -> Option<RecordingChunk<'_>> {
        let rest = self.lines.get(first..).filter(|rest| !rest.is_empty())?;
        let begin_us = rest[0].recv_us;
        let length =
            rest.iter().take(MAX_CHUNK_LINES).take_while(|line| line.recv_us - begin_us < CHUNK_US).count();
        Some(RecordingChunk { text: &self.text, lines: &rest[..length] })
    }
}

/// Numbers equal lines of one owner in one file, so that each has a name of its own that does not depend on where it was
/// found, nor on what else is read.
#[derive(Debug, Default)]
pub struct LineNames(HashMap<[u8; 16], u64>);

impl LineNames {
    /// Returns the name of a line of an owner: the same when a file has grown, was rotated or is read again.
    fn name(&mut self, owner: Owner, line: &[u8]) -> [u8; 16] {
        let content = frame_digest(&owner.0, line.trim_ascii_end());
        let number = self.0.entry(content).or_default();
        *number += 1;
        frame_digest(&content, &number.to_be_bytes())
    }
}

/// Lines that count as received at one time, at most [`MAX_CHUNK_LINES`].
#[derive(Clone, Copy, Debug)]
pub struct RecordingChunk<'a> {
    text: &'a [u8],
    lines: &'a [RecordedLine],
}

impl RecordingChunk<'_> {
    /// Returns the number of lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Returns false: a chunk has lines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns when the first line counts as received, in microseconds since 1970.
    #[must_use]
    pub fn recv_us(&self) -> i64 {
        self.lines[0].recv_us
    }

    /// Returns the raw records of the chunk, which belong to `owner` unless a line carries a log token, with counts.
    #[must_use]
    pub fn records(
        &self,
        owner: Owner,
        tokens: &TokenTable,
        names: &mut LineNames,
    ) -> (Vec<PackedRecord>, BodyCounts) {
        let (mut records, mut counts) = (Vec::new(), BodyCounts::default());
        for RecordedLine { recv_us, span, is_whole } in self.lines {
            let text = &self.text[span.clone()];
            let origin = BodyOrigin {
                recv_us: *recv_us,
                frame_id: Some(names.name(owner, text)),
                source_kind: SourceKind::Recording,
                drain: None,
            };
            let mut collector = Collector::new(tokens, owner, origin);
            let mut line = parse_line(text);
            // A line is received when it was written: a later time is that of a wrong clock.
            if let Some(line) = &mut line
                && timestamp::parse_us(line.time).is_some_and(|time_us| time_us > *recv_us)
            {
                line.time = b"-";
            }
            collector.add(line, 0, !is_whole);
            let (of_line, count) = collector.finish(Some(*recv_us));
            records.extend(of_line);
            counts.add(&count);
        }
        (records, counts)
    }
}

fn parse_line(text: &[u8]) -> Option<LogLine<'_>> {
    LogLine::parse(text).or_else(|| heroku_logs::parse(text.trim_ascii_end()))
}

#[cfg(test)]
mod tests;
