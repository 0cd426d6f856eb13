//! The way in which the lines of a recording are separated: by octet counts, or by newlines.

use std::ops::Range;

use super::parse_line;
use crate::octet_counting::CountedMessages;

/// Bytes of the beginning by which the form is decided.
const BEGINNING_BYTES: usize = 1 << 20;

/// Returns the places of the lines. Text in lines loses its colours first.
pub(super) fn spans(text: &mut Vec<u8>) -> Vec<Range<usize>> {
    let beginning = &text[..text.len().min(BEGINNING_BYTES)];
    let lines = line_bytes(beginning);
    // A frame that an app has printed may claim to reach to the end, but the text does not begin with it.
    let begins_counted = CountedMessages::new(beginning, true).claimed_end().is_some();
    if (begins_counted || lines == 0) && counted_bytes(beginning) > lines {
        return counted_spans(text);
    }
    strip_colours(text);
    line_spans(text)
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

fn counted_spans(text: &[u8]) -> Vec<Range<usize>> {
    let mut messages = CountedMessages::new(text, true);
    let mut spans = Vec::new();
    while let Some(message) = messages.next() {
        let end = messages.position();
        spans.push(end - message.message.len()..end);
    }
    if messages.skipped_bytes() > 0 {
        // What belongs to no message counts as one line that cannot be read.
        spans.push(text.len()..text.len());
    }
    spans
}

fn line_spans(text: &[u8]) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut begin = 0;
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        if !line.trim_ascii().is_empty() {
            spans.push(begin..begin + line.len());
        }
        begin += line.len();
    }
    spans
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
