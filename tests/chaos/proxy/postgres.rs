//! The faults of a wire to PostgreSQL. Wire format: the chapter "Frontend/Backend Protocol" of its documentation; a
//! message is a byte that tells its kind, a 32-bit length that counts itself, and the rest. The first message of a
//! connection has no kind.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::MESSAGE_BYTES_MAX;

/// Kind of a message with rows of a COPY.
const COPY_DATA: u8 = b'd';
/// Of so many messages one loses its connection. A prime, so that it is not the same one of each batch.
const CUT_PERIOD: u64 = 23;
const LENGTH_BYTES: usize = 4;

/// What is done to messages on their way to the server.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) cuts: AtomicBool,
    pub(super) copies_cut: AtomicU64,
    messages: AtomicU64,
}

/// How much of a message comes through, and whether it is the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Through,
    Cut { bytes: usize },
}

/// Carries what a client sends until the connection ends or is cut.
pub(super) fn carry_requests(mut from: &TcpStream, mut to: &TcpStream, faults: &Faults) -> io::Result<()> {
    to.write_all(&read_rest(from, Vec::new())?)?;
    loop {
        let mut kind = [0];
        from.read_exact(&mut kind)?;
        let message = read_rest(from, kind.to_vec())?;
        match faults.fate_of(&message) {
            Fate::Through => to.write_all(&message)?,
            Fate::Cut { bytes } => {
                to.write_all(&message[..bytes])?;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
    }
}

/// Length and body, after what comes before them.
fn read_rest(mut from: impl Read, mut message: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut length = [0; LENGTH_BYTES];
    from.read_exact(&mut length)?;
    let body = (u32::from_be_bytes(length) as usize).checked_sub(LENGTH_BYTES);
    let body = body.filter(|&bytes| bytes <= MESSAGE_BYTES_MAX).ok_or(io::ErrorKind::InvalidData)?;
    message.extend(length);
    let start = message.len();
    message.resize(start + body, 0);
    from.read_exact(&mut message[start..])?;
    Ok(message)
}

impl Faults {
    fn fate_of(&self, message: &[u8]) -> Fate {
        if !self.cuts.load(Ordering::Relaxed) {
            return Fate::Through;
        }
        let number = self.messages.fetch_add(1, Ordering::Relaxed);
        if number % CUT_PERIOD != CUT_PERIOD - 1 {
            return Fate::Through;
        }
        if message.first() == Some(&COPY_DATA) {
            self.copies_cut.fetch_add(1, Ordering::Relaxed);
        }
        let bytes = match number / CUT_PERIOD % 3 {
            0 => message.len() / 2,
            1 => message.len(),
            _ => 0,
        };
        Fate::Cut { bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_to_its_end_and_no_further() {
        let check = |bytes: &[u8], expected: Option<&[u8]>| {
            assert_eq!(read_rest(bytes, b"Q".to_vec()).ok().as_deref(), expected, "{bytes:?}");
        };
        check(b"\0\0\0\x06ab-", Some(b"Q\0\0\0\x06ab"));
        check(b"\0\0\0\x04", Some(b"Q\0\0\0\x04"));
        check(b"\0\0\0\x06a", None);
        check(b"\0\0\0\x03", None);
    }

    #[test]
    fn one_message_of_a_period_is_cut_in_turn_in_the_middle_after_and_before() {
        let faults = Faults::default();
        assert_eq!(faults.fate_of(b"dabc"), Fate::Through);
        faults.cuts.store(true, Ordering::Relaxed);
        let fates: Vec<Fate> = (0..3 * CUT_PERIOD).map(|_| faults.fate_of(b"dabc")).collect();
        let cuts: Vec<&Fate> = fates.iter().filter(|fate| **fate != Fate::Through).collect();
        assert_eq!(cuts, [&Fate::Cut { bytes: 2 }, &Fate::Cut { bytes: 4 }, &Fate::Cut { bytes: 0 }]);
        assert_eq!(faults.copies_cut.load(Ordering::Relaxed), 3);
    }
}
