//! The way in which the lines of a recording are separated: by octet counts, or by newlines.

use std::ops::Range;

use super::parse_line;
use crate::octet_counting::CountedMessages;

/// Bytes of the beginning by which the form is decided.
const BEGINNING_BYTES: usize = 1 << 20;

/// A line that was found.
#[derive(Clone, Debug)]
pub(super) struct FoundLine {
    /// Its place in the text.
    pub(super) span: Range<usize>,
    /// Whether its end is known: it has a newline, or the length that was announced.
    pub(super) is_whole: bool,
}

/// Returns the lines. Text in lines loses its colours first.
pub(super) fn lines(text: &mut Vec<u8>) -> Vec<FoundLine> {
    let beginning = &text[..text.len().min(BEGINNING_BYTES)];
    let lines = line_bytes(beginning);
    // A frame that an app has printed may claim to reach to the end, but the text does not begin with it.
    let begins_counted = CountedMessages::new(beginning, true).claimed_end().is_some();
    if (begins_counted || lines == 0) && counted_bytes(beginning) > lines {
        return counted_lines(text);
    }
    strip_colours(text);
    lines_by_newlines(text)
}

/// Returns how many bytes belong to messages whose octet counts fit.
fn counted_bytes(beginning: &[u8]) -> usize {
    let messages = CountedMessages::new(beginning, true).filter(|message| !message.repaired);
    messages
        .filter(|message| parse_line(message.message).is_some())
        .map(|message| message.message.len())
        .sum()
}

/// Returns how many bytes belong to lines that can be read; those that an app prints within a counted message cannot outweigh
/// the message.
fn line_bytes(beginning: &[u8]) -> usize {
    let lines = beginning.split(|&byte| byte == b'\n').map(without_colours);
    lines.filter(|line| parse_line(line).is_some()).map(|line| line.len() + 1).sum()
}

fn counted_lines(text: &[u8]) -> Vec<FoundLine> {
    let mut messages = CountedMessages::new(text, true);
    let mut lines = Vec::new();
    while let Some(message) = messages.next() {
        let end = messages.position();
        let span = end - message.message.len()..end;
        lines.push(FoundLine { span, is_whole: !message.repaired });
    }
    if messages.skipped_bytes() > 0 {
        // What belongs to no message counts as one line that cannot be read.
        lines.push(FoundLine { span: text.len()..text.len(), is_whole: false });
    }
    lines
}

fn lines_by_newlines(text: &[u8]) -> Vec<FoundLine> {
    let mut lines = Vec::new();
    let mut begin = 0;
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        if !line.trim_ascii().is_empty() {
            lines.push(FoundLine { span: begin..begin + line.len(), is_whole: line.ends_with(b"\n") });
        }
        begin += line.len();
    }
    lines
}

/// Removes the escape sequences with which terminals colour text: `ESC [ parameters letter`.
fn strip_colours(text: &mut Vec<u8>) {
    if text.contains(&ESCAPE) {
        *text = without_colours(text);
    }
}

const ESCAPE: u8 = 0x1b;

fn without_colours(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte == ESCAPE) {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(sequence) = rest.strip_prefix(b"[") {
            let parameters = sequence.iter().take_while(|byte| matches!(byte, 0x20..=0x3f)).count();
            rest = &sequence[(parameters + 1).min(sequence.len())..];
        }
    }
    plain.extend_from_slice(rest);
    plain
}
