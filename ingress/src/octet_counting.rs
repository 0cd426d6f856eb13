//! Octet-counted drain bodies: where one message ends and the next begins.
//!
//! A body is `<octets> SP <message>` repeated. Counting wins wherever it fits, and the text inside a message
//! that was counted right is never searched: an application may print what looks like a message of the
//! platform. Where a count does not fit, the border is found by repair.

/// Most white space between two messages that is looked through in a repair: without a limit, a body could be
/// made that takes a time quadratic in its size.
const MAX_BLANK_BYTES: usize = 16;

/// Most digits of a count: more than any body has bytes.
const MAX_COUNT_DIGITS: usize = 9;

/// One message of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedMessage<'a> {
    /// The message without its count.
    pub message: &'a [u8],
    /// Whether its count did not fit, so that its end was found by search.
    pub repaired: bool,
}

/// The messages of a body, in order. Borrows the body and allocates nothing.
#[derive(Clone, Debug)]
pub struct CountedMessages<'a> {
    body: &'a [u8],
    position: usize,
    skipped_bytes: usize,
    repair: bool,
}

impl<'a> CountedMessages<'a> {
    /// Reads `body`. Without `repair`, reading ends at the first count that does not fit.
    #[must_use]
    pub fn new(body: &'a [u8], repair: bool) -> Self {
        Self { body, position: 0, skipped_bytes: 0, repair }
    }

    /// Returns the bytes read so far, messages and all between them.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Returns the bytes read so far that belong to no message, no count and no white space between messages.
    #[must_use]
    pub fn skipped_bytes(&self) -> usize {
        self.skipped_bytes
    }

    /// Returns where the next message ends by its count, from the start of the body, whether or not the body is as long;
    /// `None` if no count comes next.
    #[must_use]
    pub fn claimed_end(&self) -> Option<usize> {
        let mut ahead = self.clone();
        ahead.skip_white_space();
        let count = Count::read(&ahead.body[ahead.position..])?;
        Some(ahead.position + count.digits + 1 + count.octets)
    }

    fn skip_white_space(&mut self) {
        let rest = &self.body[self.position..];
        self.position += rest.len() - rest.trim_ascii_start().len();
    }

    /// Reads the message that begins with a count at the position; `None` if there is none to be believed.
    fn read(&mut self) -> Option<CountedMessage<'a>> {
        let count = Count::read(&self.body[self.position..])?;
        let start = self.position + count.digits + 1;
        let counted_end = start.checked_add(count.octets)?;
        let fits = count.octets > 0 && is_border(self.body, counted_end);
        let is_repairable = self.repair && self.body.get(start) == Some(&b'<');
        if !fits && !is_repairable {
            return None;
        }
        let end = if fits { counted_end } else { next_start(self.body, start).unwrap_or(self.body.len()) };
        self.position = end;
        Some(CountedMessage { message: &self.body[start..end], repaired: !fits })
    }

    /// Skips to the next start of a message, or to the end. Digits at the position are no count: the next
    /// start does not begin among them.
    fn resume(&mut self) {
        let from = self.position + leading_digits(&self.body[self.position..]).max(1);
        let found = if self.repair { next_start(self.body, from) } else { None };
        let next = found.unwrap_or(self.body.len());
        self.skipped_bytes += next - self.position;
        self.position = next;
    }
}

impl<'a> Iterator for CountedMessages<'a> {
    type Item = CountedMessage<'a>;

    fn next(&mut self) -> Option<CountedMessage<'a>> {
        loop {
            self.skip_white_space();
            if self.position == self.body.len() {
                return None;
            }
            if let Some(frame) = self.read() {
                return Some(frame);
            }
            self.resume();
        }
    }
}

/// `<octets> SP` at the start of some bytes.
#[derive(Clone, Copy, Debug)]
struct Count {
    octets: usize,
    digits: usize,
}

impl Count {
    /// Reads one to nine digits, no sign, leading zeros allowed, then one blank.
    fn read(bytes: &[u8]) -> Option<Self> {
        let digits = leading_digits(&bytes[..bytes.len().min(MAX_COUNT_DIGITS + 1)]);
        if digits == 0 || digits > MAX_COUNT_DIGITS || bytes.get(digits) != Some(&b' ') {
            return None;
        }
        let octets = bytes[..digits].iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        Some(Self { octets, digits })
    }
}

fn leading_digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Returns whether a message may end at `end`: before the end, white space, or `digits SP <`.
fn is_border(body: &[u8], end: usize) -> bool {
    let Some(after) = body.get(end..) else { return false };
    match after.first() {
        None => true,
        Some(byte) if byte.is_ascii_whitespace() => true,
        Some(_) => begins_message(after),
    }
}

/// Returns whether `digits SP <` comes first.
fn begins_message(bytes: &[u8]) -> bool {
    Count::read(bytes).is_some_and(|count| bytes.get(count.digits + 1) == Some(&b'<'))
}

/// Returns whether `end` is a border that white space alone does not make: a message begins or the body ends after it.
fn is_clear_border(body: &[u8], end: usize) -> bool {
    let Some(after) = body.get(end..) else { return false };
    let blank = after.iter().take(MAX_BLANK_BYTES).take_while(|byte| byte.is_ascii_whitespace()).count();
    let next = body.len() - after.len() + blank;
    next == body.len() || begins_message(&body[next..])
}

/// Returns the position of the next `digits SP < digits > digits SP` at or after `from`.
fn next_start(body: &[u8], from: usize) -> Option<usize> {
    let mut search = from;
    while let Some(found) = body.get(search..)?.iter().position(|&byte| byte == b'<') {
        let bracket = search + found;
        if is_header_start(&body[bracket..])
            && let Some(start) = count_before(body, from, bracket)
        {
            return Some(start);
        }
        search = bracket + 1;
    }
    None
}

/// Returns whether `< digits > digits SP` comes first, as every message begins.
fn is_header_start(bytes: &[u8]) -> bool {
    let mut rest = &bytes[1..];
    for end in [b'>', b' '] {
        let digits = leading_digits(rest);
        if digits == 0 || rest.get(digits) != Some(&end) {
            return false;
        }
        rest = &rest[digits + 1..];
    }
    true
}

/// Returns the position of the count in front of the message at `bracket`, not before `from`.
///
/// A message without newline may end in digits that touch the count: then the longest count that fits is
/// taken, and the whole run of digits only if none does.
fn count_before(body: &[u8], from: usize, bracket: usize) -> Option<usize> {
    let blank = bracket.checked_sub(1).filter(|&blank| blank > from && body[blank] == b' ')?;
    let run = body[from..blank].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let is_alone = blank - run == from || body[blank - run - 1].is_ascii_whitespace();
    let fits = |digits: &usize| {
        let count = Count::read(&body[blank - digits..]);
        count.is_some_and(|count| is_clear_border(body, bracket + count.octets))
    };
    let fitting = || (1..=run.min(MAX_COUNT_DIGITS)).rev().find(fits);
    let part_of_run = if is_alone { None } else { fitting() };
    let whole_run = (1..=MAX_COUNT_DIGITS).contains(&run).then_some(run);
    part_of_run.or(whole_run).map(|digits| blank - digits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = "<190>1 2026-03-04T05:06:07+00:00 host app web.1 - ";

    fn message(text: &str) -> String {
        format!("{HEADER}{text}")
    }

    fn counted(message: &str) -> String {
        format!("{} {message}", message.len())
    }

    fn read(body: &[u8]) -> (Vec<(Vec<u8>, bool)>, usize) {
        let mut frames = CountedMessages::new(body, true);
        let read = frames.by_ref().map(|frame| (frame.message.to_vec(), frame.repaired)).collect();
        assert_eq!(frames.position(), body.len());
        (read, frames.skipped_bytes())
    }

    fn check(body: &str, expected: &[(&str, bool)], expected_skipped_bytes: usize) {
        let (frames, skipped_bytes) = read(body.as_bytes());
        let expected: Vec<_> =
            expected.iter().map(|(text, repaired)| (text.as_bytes().to_vec(), *repaired)).collect();
        assert_eq!(frames, expected, "{body:?}");
        assert_eq!(skipped_bytes, expected_skipped_bytes, "{body:?}");
    }

    #[test]
    fn counts_that_fit_win() {
        let (one, two) = (message("one\n"), message("two 7 <1>1 x"));
        check("", &[], 0);
        check(" \r\n", &[], 0);
        check(&counted(&one), &[(&one, false)], 0);
        check(&format!("{}{}", counted(&two), counted(&one)), &[(&two, false), (&one, false)], 0);
        check(&format!(" {}\r\n{}\n", counted(&one), counted(&two)), &[(&one, false), (&two, false)], 0);
        check(&format!("00{}", counted(&one)), &[(&one, false)], 0);
    }

    /// Whatever its length: an app may print megabytes, and in them what looks like the platform's.
    #[test]
    fn a_count_that_fits_is_believed_at_any_length() {
        let (router, two) = (counted(&message("forged")), message("two\n"));
        for padding in [0, 60_000, 70_000, 2_000_000] {
            let long = message(&format!("{}{router}", "y".repeat(padding)));
            let body = format!("{}{}", counted(&long), counted(&two));
            let (frames, skipped_bytes) = read(body.as_bytes());
            let expected = [(long.into_bytes(), false), (two.clone().into_bytes(), false)];
            assert!(frames == expected && skipped_bytes == 0, "{padding}");
        }
    }

    #[test]
    fn forged_messages_inside_a_counted_one_stay_text() {
        let forged = message("a\n83 <40>1 2012-11-30T06:45:29+00:00 host heroku web.3 - Error R14 (x)\nb\n");
        check(&counted(&forged), &[(&forged, false)], 0);
    }

    #[test]
    fn wrong_counts_are_repaired() {
        let (one, two) = (message("one\n"), message("two\n"));
        for wrong in [0, 1, one.len() - 3, one.len() + 5, 999, 99_999, 9_999_999] {
            let body = format!("{wrong} {one}{}", counted(&two));
            check(&body, &[(&one, true), (&two, false)], 0);
        }
        check(&format!("999 {one}"), &[(&one, true)], 0);
        let without_newline = message("bytes=13");
        let body = format!("999 {without_newline}{}", counted(&two));
        check(&body, &[(&without_newline, true), (&two, false)], 0);
    }

    /// The digits of `...=1` and of the count behind it touch.
    #[test]
    fn the_longest_count_that_fits_is_taken_where_a_message_ends_in_digits() {
        let cut = message("bytes=1");
        let sized = |octets: usize| {
            let message = message(&format!("{}\n", "y".repeat(octets - HEADER.len() - 1)));
            format!("{octets} {message}")
        };
        let behind = |counted: &str| counted.split_once(' ').unwrap().1.to_owned();
        // 60 octets of a message, or 160 of it and of the 97 with their count behind it.
        let (short, next) = (sized(60), sized(97));
        check(&format!("999 {cut}{short}"), &[(&cut, true), (&behind(&short), false)], 0);
        let both = behind(&format!("{short}{next}"));
        check(
            &format!("999 {cut}{short}{next}"),
            &[(cut.strip_suffix('1').unwrap(), true), (&both, false)],
            0,
        );
        // White space between messages does not hide where the next one begins.
        let body = format!("999 {cut}{short}\r\n\n{next}");
        check(&body, &[(&cut, true), (&behind(&short), false), (&behind(&next), false)], 0);
    }

    #[test]
    fn a_repaired_message_ends_where_the_next_one_begins_and_nowhere_else() {
        let whole = message("one");
        for missing in 1..=3 {
            check(&format!("{} {whole}", whole.len() - missing), &[(&whole, true)], 0);
        }
        check(&format!("999999999 {whole}"), &[(&whole, true)], 0);
        for no_header in ["7 <1>x b\n", "7 <>1 x\n", "7 <1 1 x\n", "7<1>1 x\n", "x <1>1 x\n"] {
            let text = message(&format!("a {no_header}"));
            check(&format!("999 {text}"), &[(&text, true)], 0);
        }
    }

    #[test]
    fn what_is_no_message_is_skipped() {
        let one = message("one\n");
        check("trolllllll", &[], 10);
        check("-5 abcde", &[], 8);
        check("99999999999999999999 <158>1 x", &[], 29);
        check("4294967296 <158>1 x", &[], 19);
        check(&format!("garbage {}", counted(&one)), &[(&one, false)], 8);
        check(&format!("0 {}", counted(&one)), &[(&one, false)], 2);
        check(&format!("99 99 <158>1 \n{}", counted(&one)), &[("<158>1 \n", true), (&one, false)], 3);
    }

    #[test]
    fn without_repair_reading_ends_at_the_first_misfit() {
        let one = message("one\n");
        let body = format!("{}999 {one}{}", counted(&one), counted(&one));
        let frames: Vec<_> = CountedMessages::new(body.as_bytes(), false).collect();
        assert_eq!(frames, [CountedMessage { message: one.as_bytes(), repaired: false }]);
    }

    /// The plainest reader of well-counted bodies: bytes one by one, no borders, no repair.
    fn reference(body: &[u8]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let mut bytes = body.iter().copied();
        loop {
            let count: String = bytes.by_ref().take_while(|&byte| byte != b' ').map(char::from).collect();
            let Ok(octets) = count.parse() else { return messages };
            messages.push(bytes.by_ref().take(octets).collect());
        }
    }

    /// Bytes that are surely in no message and no count: all digits in front of each message taken off.
    fn bytes_between(body: &[u8], frames: &[CountedMessage<'_>]) -> Vec<u8> {
        let mut between = Vec::new();
        let mut end = 0;
        for frame in frames {
            let start = frame.message.as_ptr() as usize - body.as_ptr() as usize;
            let gap = &body[end..start];
            assert_eq!(gap.last(), Some(&b' '));
            let digits = gap[..gap.len() - 1].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
            assert!(digits > 0);
            between.extend_from_slice(&gap[..gap.len() - 1 - digits]);
            end = start + frame.message.len();
        }
        between.extend_from_slice(&body[end..]);
        between
    }

    fn any_body() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(counted(&message("text\n")).into_bytes()),
            Just(b"12 <1>1 ".to_vec()),
            Just(b"99 ".to_vec()),
            Just(b"<158>1 ".to_vec()),
            Just(b"\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..12),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn well_counted_bodies_round_trip(texts in proptest::collection::vec("[ -~\n]{0,40}", 0..20)) {
            let messages: Vec<String> = texts.iter().map(|text| message(text)).collect();
            let body: String = messages.iter().map(|message| counted(message)).collect();
            let (frames, skipped_bytes) = read(body.as_bytes());
            let expected: Vec<_> = reference(body.as_bytes()).into_iter().map(|message| (message, false)).collect();
            prop_assert_eq!(&frames, &expected);
            prop_assert_eq!(frames.len(), messages.len());
            prop_assert_eq!(skipped_bytes, 0);
        }

        #[test]
        fn every_byte_is_accounted_for(body in any_body(), repair: bool) {
            let mut frames = CountedMessages::new(&body, repair);
            let read: Vec<_> = frames.by_ref().collect();
            prop_assert_eq!(frames.position(), body.len());
            let between = bytes_between(&body, &read);
            let blank = between.iter().filter(|byte| byte.is_ascii_whitespace()).count();
            let outside = body.len() - read.iter().map(|frame| frame.message.len()).sum::<usize>();
            prop_assert!(frames.skipped_bytes() <= outside);
            prop_assert!(frames.skipped_bytes() >= between.len() - blank);
        }

        #[test]
        fn any_wrong_count_still_gives_every_message(wrong in 0_usize..500, victim in 0_usize..3) {
            let messages: Vec<String> = (0..3).map(|index| message(&format!("text {index}\n"))).collect();
            let body: String = messages.iter().enumerate().map(|(index, message)| {
                if index == victim { format!("{wrong} {message}") } else { counted(message) }
            }).collect();
            let strict = reference(body.as_bytes()).len();
            let (frames, _) = read(body.as_bytes());
            prop_assert!(frames.len() >= strict.min(3), "{} of {}", frames.len(), strict);
        }
    }
}
