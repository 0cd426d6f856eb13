//! Is the broker ready? Asked over TCP with one hand-written request, so that xtask needs no Kafka client.
//!
//! An open port is not enough: a broker answers metadata requests only once it knows itself to be part of
//! the cluster. Wire format: the Kafka protocol guide, request header v1, Metadata v1.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const METADATA: i16 = 3;
const VERSION: i16 = 1;
const CORRELATION_ID: i32 = 0x5961_687A;
const CLIENT_ID: &str = "xtask";
const NO_TOPICS: i32 = 0;
const TIMEOUT: Duration = Duration::from_secs(2);

/// Whether a broker at `address` answers and lists at least one broker.
pub(super) fn is_ready(address: SocketAddr) -> bool {
    broker_count(address).is_ok_and(|count| count > 0)
}

/// How many brokers the one at `address` knows to be alive, itself included.
fn broker_count(address: SocketAddr) -> io::Result<i32> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(&metadata_request())?;
    let _length_bytes = read_i32(&mut stream)?;
    if read_i32(&mut stream)? != CORRELATION_ID {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer to another request"));
    }
    // The rest of the answer is of no interest and goes with the connection.
    read_i32(&mut stream)
}

fn metadata_request() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(METADATA.to_be_bytes());
    body.extend(VERSION.to_be_bytes());
    body.extend(CORRELATION_ID.to_be_bytes());
    body.extend((CLIENT_ID.len() as i16).to_be_bytes());
    body.extend(CLIENT_ID.as_bytes());
    body.extend(NO_TOPICS.to_be_bytes());
    let length_bytes = (body.len() as i32).to_be_bytes();
    [&length_bytes, body.as_slice()].concat()
}

fn read_i32(stream: &mut TcpStream) -> io::Result<i32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(i32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use super::*;

    /// A peer that reads one request of the announced length, answers with `words` and hangs up.
    fn check(words: &'static [i32], expected: bool) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let peer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let length_bytes = usize::try_from(read_i32(&mut stream).unwrap()).unwrap();
            stream.read_exact(&mut vec![0; length_bytes]).unwrap();
            let answer: Vec<_> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            stream.write_all(&answer).unwrap();
        });
        assert_eq!(is_ready(address), expected, "{words:?}");
        peer.join().unwrap();
    }

    #[test]
    fn ready_means_an_answer_that_lists_a_broker() {
        check(&[8, CORRELATION_ID, 1], true);
        check(&[8, CORRELATION_ID, 0], false);
        check(&[8, CORRELATION_ID + 1, 1], false);
        check(&[8, CORRELATION_ID], false);
        check(&[], false);
    }

    #[test]
    fn nobody_listening_is_not_ready() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(!is_ready(address));
    }
}
