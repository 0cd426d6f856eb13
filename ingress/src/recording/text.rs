//! The text of a recording: decompressed, in UTF-8.

use std::io::{self, BufRead, BufReader, Error, ErrorKind, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::zstd::ZstdReader;

/// Most bytes of text, since a recording is held in memory.
const TEXT_BYTES_MAX: u64 = 4 << 30;

/// Memory that the dictionary of an xz file may take, in KiB: four times what its strongest setting needs.
const XZ_MEMORY_KIB_MAX: u32 = 256 << 10;

/// Bytes by which a compression is recognised.
const MAGIC_BYTES: u64 = 10;

/// First bytes of files that are compressed in ways which are not read, and the program that makes text of them.
const OTHER_COMPRESSIONS: [(&[u8], &str); 5] = [
    (b"PK\x03\x04", "unzip"),
    (b"\x04\x22\x4d\x18", "lz4 -d"),
    (b"7z\xbc\xaf\x27\x1c", "7z x"),
    (b"\x1f\x9d", "uncompress"),
    (b"LZIP", "lzip -d"),
];

/// Reads everything. A compression is recognised by its first bytes, UTF-16 by its byte order mark or by every other byte
/// of its beginning being zero.
///
/// Compressed data that is damaged or ends early gives no text: its sums stand behind much text at once, and where one does
/// not hold nothing says which part is right.
pub(super) fn read(input: impl Read) -> io::Result<Vec<u8>> {
    read_at_most(input, TEXT_BYTES_MAX)
}

fn read_at_most(mut input: impl Read, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    input.by_ref().take(MAGIC_BYTES).read_to_end(&mut beginning)?;
    let compression = compression_of(&beginning)?;
    let plain = decoder(compression, BufReader::new(beginning.as_slice().chain(input)));
    let mut bytes = Vec::new();
    plain.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| damaged(compression, error))?;
    if bytes.len() as u64 > bytes_max {
        let text = format!("it has more than {bytes_max} bytes of text, which is held in memory; split it");
        return Err(Error::new(ErrorKind::FileTooLarge, text));
    }
    Ok(in_utf8(bytes))
}

/// A compression that is read.
#[derive(Clone, Copy, Debug)]
enum Compression {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

fn compression_of(beginning: &[u8]) -> io::Result<Option<Compression>> {
    if let Some((_, program)) = OTHER_COMPRESSIONS.iter().find(|(magic, _)| beginning.starts_with(magic)) {
        let text =
            format!("compressed in a way that is not read here; decompress it first, as with `{program}`");
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    Ok(match beginning {
        [0x1f, 0x8b, ..] => Some(Compression::Gzip),
        // The second is a frame to be skipped, with which parallel compressors begin.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
        | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Some(Compression::Bzip2),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Compression::Xz),
        _ => None,
    })
}

fn decoder<'a>(compression: Option<Compression>, input: impl BufRead + 'a) -> Box<dyn Read + 'a> {
    match compression {
        None => Box::new(input),
        Some(Compression::Gzip) => Box::new(MultiGzDecoder::new(input)),
        Some(Compression::Zstd) => Box::new(ZstdReader::new(input)),
        Some(Compression::Bzip2) => Box::new(MultiBzDecoder::new(input)),
        Some(Compression::Xz) => Box::new(XzReader::new_mem_limit(input, true, XZ_MEMORY_KIB_MAX)),
    }
}

fn damaged(compression: Option<Compression>, error: Error) -> Error {
    match compression {
        None => error,
        Some(compression) => {
            let text = format!(
                "its {compression:?} data is damaged or ends early, so that no line of it can be trusted; what is sure to be right \
                 of it can be read as text: {error}"
            );
            Error::new(error.kind(), text)
        }
    }
}

fn in_utf8(bytes: Vec<u8>) -> Vec<u8> {
    let is_zero = |offset: usize| {
        let of_beginning = bytes.iter().take(64).skip(offset).step_by(2);
        bytes.len() >= 2 && of_beginning.clone().all(|&byte| byte == 0)
    };
    match bytes.as_slice() {
        [0xff, 0xfe, text @ ..] => utf16(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => utf16(text, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, text @ ..] => text.to_vec(),
        text if is_zero(1) => utf16(text, u16::from_le_bytes),
        text if is_zero(0) => utf16(text, u16::from_be_bytes),
        _ => bytes,
    }
}

fn utf16(text: &[u8], unit: fn([u8; 2]) -> u16) -> Vec<u8> {
    let units = text.as_chunks::<2>().0.iter().map(|&pair| unit(pair));
    let characters =
        char::decode_utf16(units).map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER));
    characters.collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests;
