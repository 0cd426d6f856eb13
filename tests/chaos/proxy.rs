//! A wire with faults: stands between clients and one server, delays answers, and cuts connections, also in the
//! middle of a commit, or of a message.
//!
//! A broker names its own address in its answers, and clients go there. The proxy puts its own port in place of the
//! broker's, which changes no length. Wire format: the Kafka protocol guide; each message is a 32-bit length and as
//! many bytes, and a request begins with its 16-bit API key. For PostgreSQL see [`postgres`].

mod postgres;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

/// API key of `EndTxn`: the commit or abort of a transaction.
const END_TXN: [u8; 2] = 26_i16.to_be_bytes();
const HOST: &[u8] = b"127.0.0.1";
/// Greater than any message here; what claims more is not Kafka.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A proxy at work. Ends with its connections when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    wire: Arc<Wire>,
    acceptor: Option<JoinHandle<()>>,
}

/// What is spoken on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Kafka,
    Postgres,
}

/// What both directions of all connections share.
struct Wire {
    protocol: Protocol,
    server: SocketAddr,
    port: u16,
    delay_ms: AtomicU64,
    cuts_commits: AtomicBool,
    commits: AtomicU64,
    postgres: postgres::Faults,
    is_over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Listens on a port of its own for the server at `address`.
    pub(crate) fn start(address: &str, protocol: Protocol) -> Result<Self> {
        let server = address.parse().with_context(|| format!("{address} is not one address"))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let wire = Arc::new(Wire {
            protocol,
            server,
            port: address.port(),
            delay_ms: AtomicU64::new(0),
            cuts_commits: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            postgres: postgres::Faults::default(),
            is_over: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let shared = Arc::clone(&wire);
        let acceptor =
            thread::Builder::new().name("proxy".to_owned()).spawn(move || accept(&listener, &shared))?;
        Ok(Self { address, wire, acceptor: Some(acceptor) })
    }

    /// Where clients connect to.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Every answer takes this much longer from now on.
    pub(crate) fn delay(&self, by: Duration) {
        self.wire.delay_ms.store(by.as_millis() as u64, Ordering::Relaxed);
    }

    /// Whether every third commit loses its connection, in turn before and after the broker has got it.
    pub(crate) fn cut_commits(&self, is_on: bool) {
        self.wire.cuts_commits.store(is_on, Ordering::Relaxed);
    }

    /// Whether every so many messages to PostgreSQL lose their connection, in turn before, in the middle and after.
    pub(crate) fn cut_messages(&self, is_on: bool) {
        self.wire.postgres.cuts.store(is_on, Ordering::Relaxed);
    }

    /// Messages with rows of a COPY in which the connection was cut.
    pub(crate) fn copies_cut(&self) -> u64 {
        self.wire.postgres.copies_cut.load(Ordering::Relaxed)
    }

    /// Cuts all connections, whatever is on them.
    pub(crate) fn cut(&self) {
        let mut open = self.wire.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.drain(..).for_each(|stream| hang_up(&stream));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.wire.is_over.store(true, Ordering::Relaxed);
        // Wakes the acceptor, which then looks at the flag.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            // It has nothing to say: connections that fail are what it is for.
            let _ = acceptor.join();
        }
        self.cut();
    }
}

fn accept(listener: &TcpListener, wire: &Arc<Wire>) {
    for client in listener.incoming() {
        if wire.is_over.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = client.and_then(|client| connect(client, wire)) {
            eprintln!("chaos: a connection through the proxy failed: {error}");
        }
    }
}

/// One thread for requests and one for answers; when one ends, the connection does.
fn connect(client: TcpStream, wire: &Arc<Wire>) -> io::Result<()> {
    let server = TcpStream::connect(wire.server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    {
        let mut open = wire.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.extend([client.try_clone()?, server.try_clone()?]);
    }
    let (from, to, shared) = (client.try_clone()?, server.try_clone()?, Arc::clone(wire));
    thread::spawn(move || match shared.protocol {
        Protocol::Kafka => carry(&from, &to, |message, to| shared.request(message, to)),
        Protocol::Postgres => {
            // That it fails is the purpose, so it is not reported.
            let _ = postgres::carry_requests(&from, &to, &shared.postgres);
            hang_up(&from);
            hang_up(&to);
        }
    });
    let shared = Arc::clone(wire);
    thread::spawn(move || match shared.protocol {
        Protocol::Kafka => carry(&server, &client, |message, to| shared.answer(message, to)),
        Protocol::Postgres => {
            // As above.
            let _ = io::copy(&mut &server, &mut &client);
            hang_up(&server);
            hang_up(&client);
        }
    });
    Ok(())
}

/// Carries messages until something fails. That it fails is the purpose, so it is not reported.
fn carry(from: &TcpStream, to: &TcpStream, pass: impl Fn(Vec<u8>, &TcpStream) -> io::Result<()>) {
    while read_message(from).and_then(|message| pass(message, to)).is_ok() {}
    hang_up(from);
    hang_up(to);
}

fn hang_up(stream: &TcpStream) {
    // It may be closed already.
    let _ = stream.shutdown(Shutdown::Both);
}

impl Wire {
    fn request(&self, message: Vec<u8>, to: &TcpStream) -> io::Result<()> {
        let is_commit = message.starts_with(&END_TXN) && self.cuts_commits.load(Ordering::Relaxed);
        let turn = if is_commit { self.commits.fetch_add(1, Ordering::Relaxed) % 6 } else { 1 };
        let lost = || Err(io::ErrorKind::ConnectionReset.into());
        match turn {
            0 => lost(),
            3 => write_message(to, &message).and_then(|()| lost()),
            _ => write_message(to, &message),
        }
    }

    fn answer(&self, mut message: Vec<u8>, to: &TcpStream) -> io::Result<()> {
        replace_port(&mut message, self.server.port(), self.port);
        thread::sleep(Duration::from_millis(self.delay_ms.load(Ordering::Relaxed)));
        write_message(to, &message)
    }
}

fn read_message(mut from: &TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    from.read_exact(&mut message)?;
    Ok(message)
}

fn write_message(mut to: &TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    to.write_all(&[&length.to_be_bytes()[..], message].concat())
}

/// Replaces the port in every `host, port` of a message.
fn replace_port(message: &mut [u8], from: u16, to: u16) {
    let address = |port: u16| [HOST, &u32::from(port).to_be_bytes()].concat();
    let (from, to) = (address(from), address(to));
    let places: Vec<usize> =
        (0..message.len()).filter(|&place| message[place..].starts_with(&from)).collect();
    places.into_iter().for_each(|place| message[place..place + to.len()].copy_from_slice(&to));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_behind_the_host_is_replaced_and_nothing_else() {
        let check = |message: &[u8], expected: &[u8]| {
            let mut message = message.to_vec();
            replace_port(&mut message, 0x1234, 0x5678);
            assert_eq!(message, expected);
        };
        check(b"a\0\x09127.0.0.1\0\0\x12\x34b", b"a\0\x09127.0.0.1\0\0\x56\x78b");
        check(b"127.0.0.1\0\0\x12\x35", b"127.0.0.1\0\0\x12\x35");
        check(b"\0\0\x12\x34", b"\0\0\x12\x34");
    }

    #[test]
    fn messages_go_through_until_the_wire_is_cut() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::start(&listener.local_addr().unwrap().to_string(), Protocol::Kafka).unwrap();
        let client = TcpStream::connect(proxy.address()).unwrap();
        let (broker, _) = listener.accept().unwrap();
        write_message(&client, b"question").unwrap();
        assert_eq!(read_message(&broker).unwrap(), b"question");
        write_message(&broker, b"answer").unwrap();
        assert_eq!(read_message(&client).unwrap(), b"answer");
        proxy.cut();
        assert!(read_message(&client).is_err());
    }
}
