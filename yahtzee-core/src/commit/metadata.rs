//! The text stored with a committed offset.
//!
//! base64url without padding of, in order (integers little endian, varints LEB128, `zigzag` as in protobuf):
//!
//! | field                | form                                                                  |
//! |----------------------|-----------------------------------------------------------------------|
//! | format version       | u8, 4; 3 has no losses, 2 no tail, 1 no acceptance either             |
//! | generation           | u32                                                                   |
//! | topic id             | 16 bytes                                                              |
//! | partition count      | u32                                                                   |
//! | window length        | u32, ms                                                               |
//! | acceptance           | u8 0 for none, or 1 and varints: lateness, future, both caps, slots; CRC u32 |
//! | worker, workers      | u16, u16                                                              |
//! | incarnation          | u32                                                                   |
//! | position `h`         | varint                                                                |
//! | replay offset `c`    | varint `h - c`                                                        |
//! | watermark `M`             | u8 0 for none, or 1 and zigzag varint, ms                             |
//! | open windows         | varint count; each: zigzag varint window, less the one before; varint `h - first offset` |
//! | reach of incompleteness| u8 0 for none, or 1 and zigzag varint window                          |
//! | incomplete windows  | varint count; each: zigzag varint window, less the one before         |
//! | tail                 | u8 0 for unknown, 1 for empty, or 2, varint `h` less its offset, CRC u32 |
//! | losses               | varint count; each: varint offset, watermark as above, u8 0 or 1 and two zigzag varint windows |
//! | checksum             | u32, CRC-32C of all before                                            |
//!
//! A commit without losses is written in format 3, which programs of before read too.
//!
//! A handful of open windows gives about 90 characters; the broker's limit is 4,096.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::crc32c::crc32c;

use super::{AcceptanceSettings, Commit, Identity, OwnerTag};
use crate::byte_reader::{ByteReader, DecodeError, put_varint, unzigzag, zigzag};
use crate::incomplete::IncompleteWindows;
use crate::log_tail::{LogTail, RecordPrint};
use crate::lost_tail::LostTail;
use crate::record::Offset;
use crate::window::Window;

const FORMAT_VERSION: u8 = 4;
/// The format of commits that do not say what the log had lost.
const WITHOUT_LOSSES: u8 = 3;
/// The format of commits that do not say how the log ended.
const WITHOUT_TAIL: u8 = 2;
/// The format of commits that do not say what decided acceptance.
const WITHOUT_ACCEPTANCE: u8 = 1;
/// More windows than any policy keeps open; bounds what a decoder believes.
const WINDOWS_MAX: u64 = 1_024;

/// Why a commit's metadata cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Empty, foreign or damaged. The offset may have been set by another tool.
    Foreign,
    /// Written by a newer Yahtzee.
    NewerFormat(u8),
    /// The text describes another offset than it is stored with.
    OtherOffset {
        /// Offset it is stored with.
        stored: Offset,
        /// Offset it was written for.
        described: Offset,
    },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => formatter.write_str("the commit metadata was not written by Yahtzee"),
            Self::NewerFormat(version) => write!(
                formatter,
                "the commit metadata has format {version}, this Yahtzee reads up to {FORMAT_VERSION}; run the newer one"
            ),
            Self::OtherOffset { stored, described } => write!(
                formatter,
                "the committed offset {stored} was set by another tool: its metadata describes {described}"
            ),
        }
    }
}

pub(super) fn encode(commit: &Commit, identity: &Identity) -> String {
    let mut out = vec![if commit.losses.is_empty() { WITHOUT_LOSSES } else { FORMAT_VERSION }];
    out.extend(identity.generation.to_le_bytes());
    out.extend(identity.topic_id);
    out.extend(identity.partition_count.to_le_bytes());
    out.extend(identity.window_length_ms.to_le_bytes());
    put_acceptance(&mut out, identity.acceptance);
    out.extend(identity.owner_tag.worker.to_le_bytes());
    out.extend(identity.owner_tag.workers.to_le_bytes());
    out.extend(identity.owner_tag.incarnation.to_le_bytes());
    put_varint(&mut out, commit.position.0);
    put_varint(&mut out, commit.position.0.wrapping_sub(commit.replay_offset.0));
    put_optional(&mut out, commit.watermark_ms);
    put_varint(&mut out, commit.open.len() as u64);
    let mut before = 0;
    for &(window, first) in &commit.open {
        put_varint(&mut out, zigzag(window.0.wrapping_sub(before)));
        put_varint(&mut out, commit.position.0.wrapping_sub(first.0));
        before = window.0;
    }
    put_optional(&mut out, commit.incomplete.reach_through().map(|window| window.0));
    put_varint(&mut out, commit.incomplete.windows().len() as u64);
    let mut before = 0;
    for window in commit.incomplete.windows() {
        put_varint(&mut out, zigzag(window.0.wrapping_sub(before)));
        before = window.0;
    }
    put_tail(&mut out, commit);
    if !commit.losses.is_empty() {
        put_losses(&mut out, &commit.losses);
    }
    out.extend(crc32c(&out).to_le_bytes());
    URL_SAFE_NO_PAD.encode(out)
}

pub(super) fn decode(text: &str) -> Result<(Commit, Identity), Unreadable> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Unreadable::Foreign)?;
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(Unreadable::Foreign)?;
    if crc32c(body) != u32::from_le_bytes(*checksum) {
        return Err(Unreadable::Foreign);
    }
    let mut reader = ByteReader::new(body);
    match reader.byte() {
        Ok(version @ WITHOUT_ACCEPTANCE..=FORMAT_VERSION) => {
            read_body(version, reader).map_err(|_| Unreadable::Foreign)
        }
        Ok(version) => Err(Unreadable::NewerFormat(version)),
        Err(_) => Err(Unreadable::Foreign),
    }
}

fn read_body(version: u8, mut reader: ByteReader<'_>) -> Result<(Commit, Identity), DecodeError> {
    let identity = read_identity(version, &mut reader)?;
    let mut commit = read_commit(&mut reader)?;
    if version > WITHOUT_TAIL {
        commit.tail = read_tail(commit.position, &mut reader)?;
    }
    if version > WITHOUT_LOSSES {
        commit.losses = read_losses(&mut reader)?;
    }
    reader.finish()?;
    Ok((commit, identity))
}

fn read_identity(version: u8, reader: &mut ByteReader<'_>) -> Result<Identity, DecodeError> {
    Ok(Identity {
        generation: u32::from_le_bytes(reader.array()?),
        topic_id: reader.array()?,
        partition_count: u32::from_le_bytes(reader.array()?),
        window_length_ms: u32::from_le_bytes(reader.array()?),
        acceptance: if version == WITHOUT_ACCEPTANCE { None } else { read_acceptance(reader)? },
        owner_tag: OwnerTag {
            worker: u16::from_le_bytes(reader.array()?),
            workers: u16::from_le_bytes(reader.array()?),
            incarnation: u32::from_le_bytes(reader.array()?),
        },
    })
}

fn read_acceptance(reader: &mut ByteReader<'_>) -> Result<Option<AcceptanceSettings>, DecodeError> {
    match reader.byte()? {
        0 => return Ok(None),
        1 => {}
        _ => return Err(reader.invalid("neither there nor absent")),
    }
    Ok(Some(AcceptanceSettings {
        lateness_windows: read_u32(reader)?,
        future_windows: read_u32(reader)?,
        series_max: reader.varint()?,
        series_per_owner_max: reader.varint()?,
        slots: read_u32(reader)?,
        dimensions: u32::from_le_bytes(reader.array()?),
    }))
}

fn read_u32(reader: &mut ByteReader<'_>) -> Result<u32, DecodeError> {
    let number = reader.varint()?;
    u32::try_from(number).map_err(|_| reader.invalid("a greater number than there is"))
}

fn put_acceptance(out: &mut Vec<u8>, acceptance: Option<AcceptanceSettings>) {
    out.push(acceptance.is_some().into());
    if let Some(acceptance) = acceptance {
        put_varint(out, acceptance.lateness_windows.into());
        put_varint(out, acceptance.future_windows.into());
        put_varint(out, acceptance.series_max);
        put_varint(out, acceptance.series_per_owner_max);
        put_varint(out, acceptance.slots.into());
        out.extend(acceptance.dimensions.to_le_bytes());
    }
}

fn read_commit(reader: &mut ByteReader<'_>) -> Result<Commit, DecodeError> {
    let position = Offset(reader.varint()?);
    let replay_offset = Offset(position.0.wrapping_sub(reader.varint()?));
    let watermark_ms = read_optional(reader)?;
    let mut open = Vec::new();
    let mut before = 0_i64;
    for _ in 0..read_count(reader)? {
        before = before.wrapping_add(unzigzag(reader.varint()?));
        open.push((Window(before), Offset(position.0.wrapping_sub(reader.varint()?))));
    }
    let reach = read_optional(reader)?;
    let mut incomplete = Vec::new();
    before = 0;
    for _ in 0..read_count(reader)? {
        before = before.wrapping_add(unzigzag(reader.varint()?));
        incomplete.push(Window(before));
    }
    let reach =
        reach.map_or_else(IncompleteWindows::none, |window| IncompleteWindows::through(Window(window)));
    let incomplete = reach.and(incomplete);
    let (tail, losses) = (LogTail::Unknown, Vec::new());
    Ok(Commit { replay_offset, position, watermark_ms, open, incomplete, tail, losses })
}

fn put_tail(out: &mut Vec<u8>, commit: &Commit) {
    match commit.tail {
        LogTail::Unknown => out.push(0),
        LogTail::Empty => out.push(1),
        LogTail::EndsWith(RecordPrint { offset, crc }) => {
            out.push(2);
            put_varint(out, commit.position.0.wrapping_sub(offset.0));
            out.extend(crc.to_le_bytes());
        }
    }
}

fn read_tail(position: Offset, reader: &mut ByteReader<'_>) -> Result<LogTail, DecodeError> {
    match reader.byte()? {
        0 => Ok(LogTail::Unknown),
        1 => Ok(LogTail::Empty),
        2 => Ok(LogTail::EndsWith(RecordPrint {
            offset: Offset(position.0.wrapping_sub(reader.varint()?)),
            crc: u32::from_le_bytes(reader.array()?),
        })),
        _ => Err(reader.invalid("no kind of tail")),
    }
}

fn put_losses(out: &mut Vec<u8>, losses: &[LostTail]) {
    put_varint(out, losses.len() as u64);
    for LostTail { watermark_ms, kept_before, windows } in losses {
        put_varint(out, kept_before.0);
        put_optional(out, *watermark_ms);
        out.push(windows.is_some().into());
        if let Some((first, last)) = windows {
            for window in [first, last] {
                put_varint(out, zigzag(window.0));
            }
        }
    }
}

fn read_losses(reader: &mut ByteReader<'_>) -> Result<Vec<LostTail>, DecodeError> {
    let mut losses = Vec::new();
    for _ in 0..read_count(reader)? {
        let kept_before = Offset(reader.varint()?);
        let watermark_ms = read_optional(reader)?;
        let first = read_optional(reader)?;
        let windows = match first {
            Some(first) => Some((Window(first), Window(unzigzag(reader.varint()?)))),
            None => None,
        };
        losses.push(LostTail { watermark_ms, kept_before, windows });
    }
    Ok(losses)
}

fn read_optional(reader: &mut ByteReader<'_>) -> Result<Option<i64>, DecodeError> {
    match reader.byte()? {
        0 => Ok(None),
        1 => Ok(Some(unzigzag(reader.varint()?))),
        _ => Err(reader.invalid("neither there nor absent")),
    }
}

fn read_count(reader: &mut ByteReader<'_>) -> Result<u64, DecodeError> {
    let count = reader.varint()?;
    reader.ensure(count <= WINDOWS_MAX, "more windows than any policy keeps")?;
    Ok(count)
}

fn put_optional(out: &mut Vec<u8>, value: Option<i64>) {
    out.push(value.is_some().into());
    if let Some(value) = value {
        put_varint(out, zigzag(value));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::Production;
    use crate::window::OPEN_WINDOWS_MAX;

    fn identity() -> Identity {
        Identity {
            generation: 3,
            topic_id: [9; 16],
            partition_count: 32,
            window_length_ms: 60_000,
            acceptance: Some(AcceptanceSettings {
                lateness_windows: 5,
                future_windows: 1,
                series_max: 20_000,
                series_per_owner_max: 1_000,
                slots: 8,
                dimensions: 0x0102_0304,
            }),
            owner_tag: OwnerTag { worker: 3, workers: 8, incarnation: 77 },
        }
    }

    prop_compose! {
        fn any_commit()(
            position in 0..u64::MAX / 2,
            watermark_ms: Option<i64>,
            open in prop::collection::btree_map(any::<i64>(), any::<u64>(), 0..12),
            through: Option<i64>,
            incomplete in prop::collection::vec(any::<i64>(), 0..12),
            tail in prop::option::of(prop::option::of((any::<u64>(), any::<u32>()))),
            losses in prop::collection::vec((any::<Option<i64>>(), any::<u64>(), any::<Option<(i64, i64)>>()), 0..4),
        ) -> Commit {
            let reach = through.map_or_else(IncompleteWindows::none, |window| IncompleteWindows::through(Window(window)));
            let open = open.into_iter().map(|(window, first)| (Window(window), Offset(first % (position + 1))));
            let incomplete = reach.and(incomplete.into_iter().map(Window));
            let tail = match tail {
                None => LogTail::Unknown,
                Some(None) => LogTail::Empty,
                Some(Some((offset, crc))) => LogTail::EndsWith(RecordPrint { offset: Offset(offset % (position + 1)), crc }),
            };
            let loss = |(watermark_ms, kept_before, windows): (_, _, Option<(i64, i64)>)| LostTail {
                watermark_ms,
                kept_before: Offset(kept_before),
                windows: windows.map(|(first, last)| (Window(first), Window(last))),
            };
            Commit::at::<Production>(Offset(position), watermark_ms, open.collect(), incomplete)
                .with_tail(tail)
                .with_losses(losses.into_iter().map(loss).collect())
        }
    }

    proptest! {
        #[test]
        fn commits_round_trip_as_short_ascii(commit in any_commit()) {
            let text = commit.metadata(&identity());
            prop_assert!(text.is_ascii() && text.len() < 1_024, "{} characters", text.len());
            prop_assert_eq!(Commit::read(commit.replay_offset(), &text), Ok((commit, identity())));
        }

        #[test]
        fn damage_is_noticed(commit in any_commit(), place: prop::sample::Index, digit in "[A-Za-z0-9_-]") {
            let mut text = commit.metadata(&identity()).into_bytes();
            let place = place.index(text.len());
            prop_assume!(text[place] != digit.as_bytes()[0]);
            text[place] = digit.as_bytes()[0];
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(Commit::read(commit.replay_offset(), &text), Err(Unreadable::Foreign));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            prop_assert!(Commit::read(Offset(0), &text).is_err());
        }
    }

    #[test]
    fn an_offset_that_another_tool_has_set_is_noticed() {
        let open = vec![(Window(1), Offset(4))];
        let commit = Commit::at::<Production>(Offset(10), Some(5), open, IncompleteWindows::none());
        let read = Commit::read(Offset(7), &commit.metadata(&identity()));
        assert_eq!(read, Err(Unreadable::OtherOffset { stored: Offset(7), described: Offset(4) }));
    }

    /// The longest text of any policy that is accepted: all windows open, all incomplete, offsets as far apart as can be.
    #[test]
    fn the_longest_text_is_below_the_brokers_limit() {
        let windows = || (0..i64::from(OPEN_WINDOWS_MAX)).map(|number| Window(i64::MAX - 2 * number)).rev();
        let open = windows().map(|window| (window, Offset(0))).collect();
        let incomplete = IncompleteWindows::through(Window(i64::MIN)).and(windows());
        let loss = LostTail {
            watermark_ms: Some(i64::MIN),
            kept_before: Offset(u64::MAX),
            windows: Some((Window(i64::MIN), Window(i64::MAX))),
        };
        let commit = Commit::at::<Production>(Offset(u64::MAX), Some(i64::MAX), open, incomplete)
            .with_tail(LogTail::EndsWith(RecordPrint { offset: Offset(0), crc: u32::MAX }))
            .with_losses(vec![loss; 8]);
        let huge = AcceptanceSettings {
            lateness_windows: u32::MAX,
            future_windows: u32::MAX,
            series_max: u64::MAX,
            series_per_owner_max: u64::MAX,
            slots: u32::MAX,
            dimensions: u32::MAX,
        };
        let text = commit.metadata(&Identity { acceptance: Some(huge), ..identity() });
        assert!(text.len() < 4_096, "{} characters", text.len());
        assert!(Commit::read(commit.replay_offset(), &text).is_ok());
    }

    /// What is stored in consumer groups is read by the next version too.
    #[test]
    fn the_text_of_a_commit_is_pinned() {
        let pinned = "AwMAAAAJCQkJCQkJCQkJCQkJCQkJIAAAAGDqAAABBQGgnAHoBwgEAwIBAwAIAE0AAACwCdIBAfah1e3uZgKAt4scyAEE0gEB_LaLHAGCt4scAgEIBwYF69poqg";
        let open = vec![(Window(29_453_760), Offset(1_000)), (Window(29_453_762), Offset(990))];
        let incomplete = IncompleteWindows::through(Window(29_453_758)).and([Window(29_453_761)]);
        let commit = Commit::at::<Production>(Offset(1_200), Some(1_767_225_600_123), open, incomplete);
        let tail = LogTail::EndsWith(RecordPrint { offset: Offset(1_199), crc: 0x0506_0708 });
        assert_eq!(commit.clone().with_tail(tail).metadata(&identity()), pinned);
        // A log that had lost something is told of in the newest format only.
        let losses = vec![
            LostTail { watermark_ms: Some(1_767_225_600_123), kept_before: Offset(700), windows: None },
            LostTail { watermark_ms: None, kept_before: Offset(0), windows: Some((Window(5), Window(9))) },
        ];
        let lost = commit.clone().with_tail(tail).with_losses(losses);
        let fourth = "BAMAAAAJCQkJCQkJCQkJCQkJCQkJIAAAAGDqAAABBQGgnAHoBwgEAwIBAwAIAE0AAACwCdIBAfah1e3uZgKAt4scyAEE0gEB_LaLHAGCt4scAgEIBwYFArwFAfah1e3uZgAAAAEKEgSqEog";
        assert_eq!(lost.metadata(&identity()), fourth);
        // As it was written before the tail was part of it.
        let second = "AgMAAAAJCQkJCQkJCQkJCQkJCQkJIAAAAGDqAAABBQGgnAHoBwgEAwIBAwAIAE0AAACwCdIBAfah1e3uZgKAt4scyAEE0gEB_LaLHAGCt4scfi67xw";
        assert_eq!(Commit::read(Offset(990), second), Ok((commit.clone(), identity())));
        // As it was written before acceptance was part of it.
        let first = "AQMAAAAJCQkJCQkJCQkJCQkJCQkJIAAAAGDqAAADAAgATQAAALAJ0gEB9qHV7e5mAoC3ixzIAQTSAQH8toscAYK3ixxPxaE4";
        let without = Identity { acceptance: None, ..identity() };
        assert_eq!(Commit::read(Offset(990), first), Ok((commit, without)));
    }
}
