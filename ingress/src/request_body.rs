//! Bodies of requests: arrival in time, size, compression.

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;

use crate::body_memory::{BodyShare, NoMemory};

/// Bytes of a refused body that are read before the connection is closed with the rest on its way.
const DISCARD_BYTES_MAX: u64 = 64 << 20;

/// The reason why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Larger than allowed, before or after decompression.
    TooLarge,
    /// It announces a compression and is not of that form.
    Unreadable,
    /// It did not arrive whole, or not in time.
    Incomplete,
    /// The bodies of other requests take the memory.
    NoMemory,
}

impl From<NoMemory> for BodyError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// How much of a body has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyProgress {
    /// Something may follow.
    Open,
    /// Everything.
    Whole,
    /// As much as ever will be: it broke off, came too slowly, or its sender waits for a `100 Continue`.
    Stopped,
}

/// The body of one request.
#[derive(Debug)]
pub struct RequestBody {
    body: Body,
    progress: BodyProgress,
}

impl RequestBody {
    /// Creates the body of a request with these headers.
    #[must_use]
    pub fn new(headers: &HeaderMap, body: Body) -> Self {
        let progress = match body.is_end_stream() {
            true => BodyProgress::Whole,
            false if headers.contains_key(header::EXPECT) => BodyProgress::Stopped,
            false => BodyProgress::Open,
        };
        Self { body, progress }
    }

    /// Reads the body as it arrives, up to `max_bytes`, which are taken from `share`.
    ///
    /// # Errors
    /// If it is larger, breaks off, takes longer than `timeout`, or there is no memory for it.
    pub async fn receive(
        &mut self,
        max_bytes: usize,
        timeout: Duration,
        share: &mut BodyShare,
    ) -> Result<Bytes, BodyError> {
        let whole = self.read_whole(max_bytes, share);
        let received = tokio::time::timeout(timeout, whole).await.unwrap_or(Err(BodyError::Incomplete));
        self.progress = match received {
            Ok(_) => BodyProgress::Whole,
            Err(BodyError::TooLarge | BodyError::NoMemory) => BodyProgress::Open,
            Err(_) => BodyProgress::Stopped,
        };
        received
    }

    async fn read_whole(&mut self, max_bytes: usize, share: &mut BodyShare) -> Result<Bytes, BodyError> {
        // No part is kept beside the whole: the smallest one holds a buffer of the connection.
        let (mut only, mut whole, mut bytes) = (Bytes::new(), Vec::new(), 0);
        while let Some(frame) = self.body.frame().await {
            let Ok(part) = frame.map_err(|_| BodyError::Incomplete)?.into_data() else { continue };
            bytes += part.len();
            if bytes > max_bytes {
                return Err(BodyError::TooLarge);
            }
            share.take(part.len())?;
            if bytes == part.len() {
                only = part;
            } else {
                whole.extend_from_slice(&std::mem::take(&mut only));
                whole.extend_from_slice(&part);
            }
        }
        Ok(if whole.is_empty() { only } else { whole.into() })
    }

    /// Reads and drops what is left, for at most `timeout`; returns whether that was all. A connection that is closed
    /// while its client still sends takes the reply with it.
    pub async fn discard(mut self, timeout: Duration) -> bool {
        match self.progress {
            BodyProgress::Whole => true,
            BodyProgress::Stopped => false,
            BodyProgress::Open => tokio::time::timeout(timeout, self.read_rest()).await.unwrap_or(false),
        }
    }

    async fn read_rest(&mut self) -> bool {
        let mut bytes = 0;
        while let Some(frame) = self.body.frame().await {
            let Ok(frame) = frame else { return false };
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            if bytes > DISCARD_BYTES_MAX {
                return false;
            }
        }
        true
    }
}

/// Bytes that are decompressed at once.
const GUNZIP_STEP_BYTES: usize = 16 << 10;

/// Decompresses gzip into memory of `share`, which is taken before it is used. The limit holds for what comes out, whatever the input
/// claims: logs that repeat themselves shrink to a hundredth and less, so that a ratio would tell nothing.
///
/// # Errors
/// If the result is larger than `max_bytes`; if it is not gzip; if other bodies take the memory.
pub fn gunzip(compressed: &[u8], max_bytes: usize, share: &mut BodyShare) -> Result<Vec<u8>, BodyError> {
    let (mut plain, mut step) = (Vec::new(), vec![0; GUNZIP_STEP_BYTES]);
    let mut decoder = MultiGzDecoder::new(compressed);
    loop {
        let read = decoder.read(&mut step).map_err(|_| BodyError::Unreadable)?;
        if read == 0 {
            return Ok(plain);
        }
        if plain.len() + read > max_bytes {
            return Err(BodyError::TooLarge);
        }
        if plain.capacity() - plain.len() < read {
            // Twice as much each time, but no more than a whole body.
            let more = plain.capacity().max(GUNZIP_STEP_BYTES).min(max_bytes - plain.capacity());
            share.take(more)?;
            plain.reserve_exact(plain.capacity() + more - plain.len());
        }
        plain.extend_from_slice(&step[..read]);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use futures_util::stream;
    use proptest::prelude::*;

    use super::*;
    use crate::body_memory::BodyMemory;

    /// A part of a body that counts those that are in memory.
    struct Part(Vec<u8>, Arc<AtomicUsize>);

    impl AsRef<[u8]> for Part {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl Drop for Part {
        fn drop(&mut self) {
            self.1.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Receives a body of these parts with a memory of `memory_bytes`; returns it and the most parts in memory at a time.
    async fn receive(parts: &[&str], memory_bytes: usize) -> (Result<Bytes, BodyError>, usize) {
        let (live, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (parts, most_so_far) =
            (parts.iter().map(|part| part.as_bytes().to_vec()).collect::<Vec<_>>(), Arc::clone(&most));
        let part = move |bytes| {
            most_so_far.fetch_max(live.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            Ok::<_, Infallible>(Bytes::from_owner(Part(bytes, Arc::clone(&live))))
        };
        let body = Body::from_stream(stream::iter(parts.into_iter().map(part)));
        let mut share = BodyMemory::new(memory_bytes).share();
        let mut body = RequestBody::new(&HeaderMap::new(), body);
        let received = body.receive(1_000, Duration::from_secs(60), &mut share).await;
        (received, most.load(Ordering::Relaxed))
    }

    /// Each holds a buffer of the connection, however small it is: a body of single bytes would take some forty times its size.
    #[tokio::test]
    async fn parts_are_not_kept_beside_the_body_that_they_make() {
        let check = async |parts: &[&str], expected: &str| {
            let (received, most) = receive(parts, 100).await;
            assert_eq!(received.as_deref(), Ok(expected.as_bytes()));
            assert!(most <= 2, "{most} of {}", parts.len());
        };
        check(&[], "").await;
        check(&["one"], "one").await;
        check(&["", "one", "", " two", " three"], "one two three").await;
        check(&["x"; 100], &"x".repeat(100)).await;
        assert_eq!(receive(&["x"; 101], 100).await.0, Err(BodyError::NoMemory));
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn plenty() -> BodyShare {
        BodyMemory::new(usize::MAX).share()
    }

    /// The memory is asked for before there is more in it: what is not there is not taken.
    #[test]
    fn what_is_decompressed_takes_its_memory_as_it_comes() {
        fn check(plain_bytes: usize, memory_bytes: usize, is_enough: bool) {
            let memory = BodyMemory::new(memory_bytes);
            let (mut share, max_bytes) = (memory.share(), 200_000);
            let plain = vec![b'x'; plain_bytes];
            let expected = if is_enough { Ok(plain.clone()) } else { Err(BodyError::NoMemory) };
            let result = gunzip(&gzip(&plain), max_bytes, &mut share);
            assert!(result.as_ref().is_ok_and(|it| it.capacity() <= memory_bytes) || !is_enough);
            assert_eq!(result, expected, "{plain_bytes} of {memory_bytes}");
        }
        check(0, 0, true);
        check(1, GUNZIP_STEP_BYTES, true);
        check(1, GUNZIP_STEP_BYTES - 1, false);
        check(GUNZIP_STEP_BYTES + 1, 2 * GUNZIP_STEP_BYTES, true);
        check(GUNZIP_STEP_BYTES + 1, 2 * GUNZIP_STEP_BYTES - 1, false);
        // A body of the greatest size takes no more than that.
        check(200_000, 200_000, true);
        check(200_000, 199_999, false);
    }

    #[test]
    fn limits_hold_after_decompression() {
        fn check(plain: &[u8], max_bytes: usize, expected: Result<usize, BodyError>) {
            let result = gunzip(&gzip(plain), max_bytes, &mut plenty()).map(|plain| plain.len());
            assert_eq!(result, expected, "{} bytes, at most {max_bytes}", plain.len());
        }
        check(b"hello", 5, Ok(5));
        check(b"hello", 4, Err(BodyError::TooLarge));
        let line = "could not connect to cache (connection refused) retrying in 1s\n".repeat(10_000);
        assert!(gzip(line.as_bytes()).len() < line.len() / 100);
        check(line.as_bytes(), line.len(), Ok(line.len()));
        check(line.as_bytes(), line.len() - 1, Err(BodyError::TooLarge));
    }

    #[test]
    fn what_is_not_gzip_is_unreadable() {
        let whole = gzip(b"hello hello hello");
        for input in [&b"245 <158>1 ..."[..], b"", &whole[..whole.len() - 9]] {
            assert_eq!(gunzip(input, 1_000, &mut plenty()), Err(BodyError::Unreadable));
        }
    }

    proptest! {
        #[test]
        fn gzip_round_trips(plain in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert_eq!(gunzip(&gzip(&plain), 2_000, &mut plenty()), Ok(plain));
        }

        #[test]
        fn any_bytes_are_read_without_panic(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = gunzip(&input, 1_000, &mut plenty());
        }
    }
}
