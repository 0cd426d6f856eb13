//! Octet-counted bodies: messages, repair.

use serde_json::Value;
use yahtzee_ingress::line::LogLine;
use yahtzee_ingress::octet_counting::{CountedMessage, CountedMessages};

use crate::lines::{self, expected_types, measured_types, same};
use crate::sample::Sample;

/// Bodies in which we find more than a reader that stops at the first byte that is no count.
const FINDS_MORE: &[(&str, &str)] = &[
    ("frames-013", "the message behind a count of zero"),
    ("frames-016", "the message behind a plus sign"),
    ("x-014", "messages whose header is malformed are still messages"),
];

type Check = Result<(), String>;

pub(crate) fn check(sample: &Sample) -> Check {
    let body = sample.bytes();
    let mut frames = CountedMessages::new(&body, true);
    let messages: Vec<CountedMessage<'_>> = frames.by_ref().collect();
    same("bytes read", frames.position(), body.len())?;
    let expected = sample.expect()["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    never_fewer(
        &messages,
        expected.iter().flat_map(|message| expected_types(&message["measurements"])).collect(),
    )?;
    if sample.expect()["error"].is_null() {
        let count = sample.expect()["frames_before_error"].as_u64();
        same("messages", u64::try_from(messages.len()).ok(), count)?;
        check_counted(&messages, frames.skipped_bytes(), expected)
    } else {
        check_repaired(sample, &messages, frames.skipped_bytes())
    }
}

/// A body whose counts hold: nothing is repaired. Of a long body, only the first messages are listed.
fn check_counted(messages: &[CountedMessage<'_>], skipped_bytes: usize, expected: &[Value]) -> Check {
    same("skipped bytes", skipped_bytes, 0)?;
    same("repaired messages", messages.iter().filter(|frame| frame.repaired).count(), 0)?;
    for (frame, expected) in messages.iter().zip(expected) {
        lines::check_message(frame.message, expected)?;
    }
    Ok(())
}

/// A body whose counts do not hold: as much as `expect_repair` says, or more where that is known.
fn check_repaired(sample: &Sample, messages: &[CountedMessage<'_>], skipped_bytes: usize) -> Check {
    let expect = &sample.0["expect_repair"];
    never_fewer(messages, expected_types(&expect["measurements"]))?;
    let number = |key: &str| expect[key].as_u64().and_then(|number| usize::try_from(number).ok());
    let classes: Vec<&str> = messages.iter().map(|frame| class_name(frame.message)).collect();
    let expected_classes: Vec<&str> =
        expect["classes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let repaired = messages.iter().filter(|frame| frame.repaired).count();
    let equal = Some(messages.len()) == number("frames")
        && Some(repaired) == number("repaired")
        && Some(skipped_bytes) == number("skipped_bytes")
        && classes == expected_classes;
    let finds_more = FINDS_MORE.iter().any(|(id, _)| *id == sample.id());
    let found = format!("{classes:?}, {repaired} repaired, {skipped_bytes} bytes skipped");
    match (equal, finds_more) {
        (true, true) => Err(format!("finds no more than expected: {found}")),
        (false, false) => Err(format!("found {found}; expected {expect}")),
        _ => Ok(()),
    }
}

fn class_name(message: &[u8]) -> &'static str {
    LogLine::parse(message).map_or("malformed", |line| lines::read(&line, true).class.name())
}

/// Whether every measurement in `expected` was found, each as often.
fn never_fewer(messages: &[CountedMessage<'_>], expected: Vec<&'static str>) -> Check {
    let lines = messages.iter().filter_map(|frame| LogLine::parse(frame.message));
    let mut found: Vec<_> = lines.flat_map(|line| measured_types(&lines::read(&line, false))).collect();
    for expected in expected {
        let at = found.iter().position(|found| *found == expected);
        found.swap_remove(at.ok_or_else(|| format!("a measurement of {expected} is missing"))?);
    }
    Ok(())
}
