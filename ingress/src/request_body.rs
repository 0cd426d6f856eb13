//! Bodies of requests: arrival in time, size, compression.

use std::io::Read;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use flate2::read::MultiGzDecoder;
use http_body_util::LengthLimitError;

/// Greatest ratio of a body after decompression to the bytes that arrived.
const MAX_RATIO: usize = 20;

/// Bodies up to this size may have any ratio, in bytes: a few equal lines are no attack.
const ANY_RATIO_BYTES: usize = 64 << 10;

/// The reason why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Larger than allowed, before or after decompression.
    TooLarge,
    /// It announces a compression and is not of that form.
    Unreadable,
    /// It did not arrive whole, or not in time.
    Incomplete,
}

/// Reads `body` as it arrived, up to `max_bytes`.
///
/// # Errors
/// If it is larger, breaks off, or takes longer than `timeout`.
pub async fn receive(body: Body, max_bytes: usize, timeout: Duration) -> Result<Bytes, BodyError> {
    let received = tokio::time::timeout(timeout, to_bytes(body, max_bytes)).await;
    received.map_err(|_| BodyError::Incomplete)?.map_err(|error| {
        let is_too_large =
            std::error::Error::source(&error).is_some_and(|source| source.is::<LengthLimitError>());
        if is_too_large { BodyError::TooLarge } else { BodyError::Incomplete }
    })
}

/// Decompresses gzip. The limits hold for what comes out, whatever the input claims.
///
/// # Errors
/// If the result is larger than `max_bytes`, or than 20 times the input and 64 KiB; if it is not gzip.
pub fn gunzip(compressed: &[u8], max_bytes: usize) -> Result<Vec<u8>, BodyError> {
    let limit = max_bytes.min(compressed.len().saturating_mul(MAX_RATIO).max(ANY_RATIO_BYTES));
    let mut plain = Vec::new();
    let one_more = u64::try_from(limit).expect("fits").saturating_add(1);
    let read = MultiGzDecoder::new(compressed).take(one_more).read_to_end(&mut plain);
    if plain.len() > limit {
        return Err(BodyError::TooLarge);
    }
    read.map(|_| plain).map_err(|_| BodyError::Unreadable)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn limits_hold_after_decompression() {
        fn check(plain: &[u8], max_bytes: usize, expected: Result<usize, BodyError>) {
            let result = gunzip(&gzip(plain), max_bytes).map(|plain| plain.len());
            assert_eq!(result, expected, "{} bytes, at most {max_bytes}", plain.len());
        }
        check(b"hello", 5, Ok(5));
        check(b"hello", 4, Err(BodyError::TooLarge));
        check(&vec![0; ANY_RATIO_BYTES], 1 << 20, Ok(ANY_RATIO_BYTES));
        check(&vec![0; 10 << 20], 100 << 20, Err(BodyError::TooLarge));
    }

    #[test]
    fn what_is_not_gzip_is_unreadable() {
        let whole = gzip(b"hello hello hello");
        for input in [&b"245 <158>1 ..."[..], b"", &whole[..whole.len() - 9]] {
            assert_eq!(gunzip(input, 1_000), Err(BodyError::Unreadable));
        }
    }

    proptest! {
        #[test]
        fn gzip_round_trips(plain in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert_eq!(gunzip(&gzip(&plain), 2_000), Ok(plain));
        }

        #[test]
        fn any_bytes_are_read_without_panic(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = gunzip(&input, 1_000);
        }
    }
}
