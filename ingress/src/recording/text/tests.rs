//! Compressed text, whole, cut and damaged.

use std::io::Write as _;

use bzip2::write::BzEncoder;
use flate2::write::GzEncoder;
use lzma_rust2::{XzOptions, XzWriter};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

const LINES: usize = 400;

fn text() -> Vec<u8> {
    (0..LINES).flat_map(|number| format!("line {number}, and {}\n", number * number).into_bytes()).collect()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(text: &[u8]) -> Vec<u8> {
    let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn xz(text: &[u8]) -> Vec<u8> {
    let mut encoder = XzWriter::new(Vec::new(), XzOptions::with_preset(6)).unwrap();
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    compress_to_vec(text, CompressionLevel::Fastest)
}

type Encode = fn(&[u8]) -> Vec<u8>;

const ENCODERS: [Encode; 4] = [gzip, bzip2, xz, zstd];

#[test]
fn every_compression_is_read_also_in_several_parts() {
    for encode in ENCODERS {
        let parts: Vec<u8> = text().chunks(1_000).flat_map(encode).collect();
        for input in [encode(&text()), parts] {
            assert_eq!(read(input.as_slice()).unwrap(), text());
        }
        assert!(read(encode(b"").as_slice()).unwrap().is_empty());
    }
}

#[test]
fn frames_without_text_are_skipped() {
    let skipped = [b"\x5a\x2a\x4d\x18\x03\0\0\0abc".as_slice(), &zstd(&text())].concat();
    assert_eq!(read(skipped.as_slice()).unwrap(), text());
}

/// Nothing says whether data ends early because it was cut, or because it is damaged.
#[test]
fn data_that_ends_early_gives_no_text() {
    for encode in ENCODERS {
        let whole = encode(&text());
        for length in MAGIC_BYTES as usize..whole.len() {
            let error = read(&whole[..length]).unwrap_err().to_string();
            assert!(error.contains("ends early"), "{length} of {}: {error}", whole.len());
        }
    }
}

/// Data with a wrong bit anywhere gives no text, or that which was written: nothing else.
#[test]
fn damaged_data_gives_no_text_that_nobody_wrote() {
    for (encoder, encode) in ENCODERS.iter().enumerate() {
        let whole = encode(&text());
        for position in 0..whole.len() {
            for bit in [0x01, 0x10, 0x80] {
                let mut damaged = whole.clone();
                damaged[position] ^= bit;
                let Ok(read) = read(damaged.as_slice()) else { continue };
                let is_no_longer_compressed = position < MAGIC_BYTES as usize && read == damaged;
                assert!(read == text() || is_no_longer_compressed, "{encoder}: byte {position}, bit {bit}");
            }
        }
    }
}

#[test]
fn text_is_bounded_by_its_plain_size() {
    for encode in ENCODERS {
        let input = encode(&text());
        let length = text().len() as u64;
        assert_eq!(read_at_most(input.as_slice(), length).unwrap(), text());
        let error = read_at_most(input.as_slice(), length - 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    }
}

#[test]
fn other_compressions_are_refused_with_what_to_type() {
    fn check(input: &[u8], expected: &str) {
        let error = read(input).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    check(b"PK\x03\x04...", "unzip");
    check(b"\x04\x22\x4d\x18...", "lz4 -d");
    check(b"7z\xbc\xaf\x27\x1c...", "7z x");
}
