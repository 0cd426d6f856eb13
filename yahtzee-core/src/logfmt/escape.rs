//! What stands behind `\` in a quoted value.

use std::str;

use crate::wire::Malformed;

/// Returns the text of a value with escapes: see [`text`](super::Value::text).
pub(super) fn read(raw: &[u8]) -> Result<String, Malformed> {
    let (mut text, mut rest) = (Vec::with_capacity(raw.len()), raw);
    while let Some((&byte, behind)) = rest.split_first() {
        rest = if byte == b'\\' { read_escape(behind, &mut text)? } else { behind };
        if byte != b'\\' {
            text.push(byte);
        }
    }
    String::from_utf8(text).map_err(|_| Malformed)
}

/// Appends what an escape stands for; returns what lies behind it.
fn read_escape<'a>(escape: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], Malformed> {
    let (&kind, rest) = escape.split_first().ok_or(Malformed)?;
    let byte = match kind {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'x' => {
            let (byte, rest) = hex(rest, 2)?;
            text.push(u8::try_from(byte).map_err(|_| Malformed)?);
            return Ok(rest);
        }
        b'u' | b'U' => {
            let (character, rest) = read_character(kind, rest)?;
            text.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(rest);
        }
        _ if kind.is_ascii_alphanumeric() => return Err(Malformed),
        _ => kind,
    };
    text.push(byte);
    Ok(rest)
}

/// Reads a character of four digits, or eight, or of two surrogates of four digits each.
fn read_character(kind: u8, digits: &[u8]) -> Result<(char, &[u8]), Malformed> {
    let (high, rest) = hex(digits, if kind == b'u' { 4 } else { 8 })?;
    if kind == b'u' && (0xd800..0xdc00).contains(&high) {
        let (low, rest) = hex(rest.strip_prefix(b"\\u").ok_or(Malformed)?, 4)?;
        let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400).ok_or(Malformed)?;
        let character = 0x1_0000 + ((high - 0xd800) << 10) + low;
        return Ok((char::from_u32(character).ok_or(Malformed)?, rest));
    }
    Ok((char::from_u32(high).ok_or(Malformed)?, rest))
}

/// Reads so many hexadecimal digits.
fn hex(bytes: &[u8], digits: usize) -> Result<(u32, &[u8]), Malformed> {
    let (digits, rest) = bytes.split_at_checked(digits).ok_or(Malformed)?;
    // `from_str_radix` takes a sign.
    let digits = Some(digits).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    let digits = digits.and_then(|digits| str::from_utf8(digits).ok()).ok_or(Malformed)?;
    Ok((u32::from_str_radix(digits, 16).map_err(|_| Malformed)?, rest))
}
