//! Does a server take queries? Asked over TCP with one hand-written message, so that xtask needs no client.
//!
//! An open port is not enough: a server that recovers from a crash accepts connections and refuses them. Wire
//! format: the PostgreSQL manual, "Message Formats".

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PROTOCOL_3_0: i32 = 3 << 16;
const PARAMETERS: &[u8] = b"user\0postgres\0database\0postgres\0application_name\0xtask\0\0";
/// A message without content: its type, and the length of the length.
const TERMINATE: &[u8] = b"X\0\0\0\x04";
const READY_FOR_QUERY: u8 = b'Z';
const ERROR: u8 = b'E';
const LENGTH_BYTES: i32 = 4;
/// What a server says of itself takes some hundred bytes; a peer that sends more is another kind of server.
const GREETING_LIMIT_BYTES: u64 = 1 << 16;
const TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the server at `address` lets the user `postgres` in and waits for a query.
pub(in crate::services) fn is_ready(address: SocketAddr) -> bool {
    says_ready(address).unwrap_or(false)
}

fn says_ready(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(&startup_message())?;
    let is_ready = greeting_ends_ready(&mut (&stream).take(GREETING_LIMIT_BYTES))?;
    stream.write_all(TERMINATE)?;
    Ok(is_ready)
}

fn startup_message() -> Vec<u8> {
    let length_bytes = (2 * LENGTH_BYTES + PARAMETERS.len() as i32).to_be_bytes();
    [&length_bytes, &PROTOCOL_3_0.to_be_bytes(), PARAMETERS].concat()
}

/// Skips what the server reports of itself.
fn greeting_ends_ready(input: &mut impl Read) -> io::Result<bool> {
    loop {
        let (mut kind, mut length_bytes) = ([0], [0; 4]);
        input.read_exact(&mut kind)?;
        input.read_exact(&mut length_bytes)?;
        match kind[0] {
            READY_FOR_QUERY => return Ok(true),
            ERROR => return Ok(false),
            _ => {}
        }
        let rest = u64::try_from(i32::from_be_bytes(length_bytes) - LENGTH_BYTES).unwrap_or(0);
        io::copy(&mut input.take(rest), &mut io::sink())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `messages` are type and content.
    #[track_caller]
    fn check(messages: &[(u8, &[u8])], expected: Option<bool>) {
        let message = |(kind, content): &(u8, &[u8])| {
            let length_bytes = (content.len() as i32 + LENGTH_BYTES).to_be_bytes();
            [&[*kind], &length_bytes[..], content].concat()
        };
        let greeting: Vec<u8> = messages.iter().flat_map(message).collect();
        assert_eq!(greeting_ends_ready(&mut &*greeting).ok(), expected, "{messages:?}");
    }

    #[test]
    fn ready_means_that_a_query_may_follow() {
        let admitted: (u8, &[u8]) = (b'R', &[0; 4]);
        check(&[admitted, (b'S', b"TimeZone\0UTC\0"), (b'K', &[1; 8]), (b'Z', b"I")], Some(true));
        check(&[(b'E', b"SFATAL\0C57P03\0")], Some(false));
        check(&[admitted, (b'E', b"SFATAL\0C53300\0")], Some(false));
        check(&[admitted, (b'S', b"Z")], None);
        check(&[], None);
    }

    #[test]
    fn the_startup_message_tells_its_own_length() {
        let message = startup_message();
        assert_eq!(message[..4], (message.len() as i32).to_be_bytes());
        assert_eq!(message[4..8], [0, 3, 0, 0]);
    }

    #[test]
    fn nobody_listening_is_not_ready() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(!is_ready(address));
    }
}
