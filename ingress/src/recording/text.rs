//! The text of a recording: decompressed, in UTF-8.

use std::io::{self, Error, ErrorKind, Read};

use flate2::read::MultiGzDecoder;

/// First bytes of files that are compressed in ways which are not read, and the program that makes text of them.
const OTHER_COMPRESSIONS: [(&[u8], &str); 4] = [
    (b"\x28\xb5\x2f\xfd", "zstd -d"),
    (b"BZh", "bunzip2"),
    (b"\xfd7zXZ\0", "unxz"),
    (b"PK\x03\x04", "unzip"),
];

/// Reads everything. UTF-16 is recognised by its byte order mark, or by every other byte of its beginning being zero.
pub(super) fn read(mut input: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    if bytes.starts_with(b"\x1f\x8b") {
        let mut plain = Vec::new();
        MultiGzDecoder::new(&*bytes).read_to_end(&mut plain)?;
        bytes = plain;
    }
    if let Some((_, program)) = OTHER_COMPRESSIONS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        let text =
            format!("compressed in a way that is not read here; decompress it first, as with `{program}`");
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    Ok(in_utf8(bytes))
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
