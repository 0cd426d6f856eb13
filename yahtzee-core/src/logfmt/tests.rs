//! What is read of a line, what is refused, and that nothing is guessed.

use proptest::prelude::*;

use super::*;

type Expected<'a> = Option<&'a [(&'a str, Option<&'a str>)]>;

/// All pairs with their texts; `None` if one is malformed.
fn read(line: &[u8]) -> Option<Vec<(String, Option<String>)>> {
    let pair = |pair: Result<Pair<'_>, Malformed>| {
        let Pair { key, value } = pair?;
        let value = value.map(|value| value.text().map(Cow::into_owned)).transpose()?;
        Ok::<_, Malformed>((String::from_utf8_lossy(key).into_owned(), value))
    };
    pairs(line).map(pair).collect::<Result<_, _>>().ok()
}

fn check(line: &str, expected: Expected<'_>) {
    let owned = |(key, value): &(&str, Option<&str>)| ((*key).to_owned(), value.map(str::to_owned));
    let expected = expected.map(|pairs| pairs.iter().map(owned).collect::<Vec<_>>());
    assert_eq!(read(line.as_bytes()), expected, "{line}");
}

#[test]
fn pairs_are_read_in_their_order() {
    check("", Some(&[]));
    check(" \t\r\n", Some(&[]));
    check("a=1", Some(&[("a", Some("1"))]));
    check(
        "  a=1\tb=\n c  d=x=y ",
        Some(&[("a", Some("1")), ("b", Some("")), ("c", None), ("d", Some("x=y"))]),
    );
    check("a=1 a=2", Some(&[("a", Some("1")), ("a", Some("2"))]));
    check(r#"path="/a b" q="" r=2"#, Some(&[("path", Some("/a b")), ("q", Some("")), ("r", Some("2"))]));
    check(
        r#"a="x\"y" b="\\" c="1\n2\t\r\#""#,
        Some(&[("a", Some("x\"y")), ("b", Some("\\")), ("c", Some("1\n2\t\r#"))]),
    );
    check("schlüssel=wört ✓=\"größe 1\"", Some(&[("schlüssel", Some("wört")), ("✓", Some("größe 1"))]));
    check(r"path=c:\dir", Some(&[("path", Some(r"c:\dir"))]));
}

/// What writers put for bytes that do not print; a letter behind `\` is never taken for itself.
#[test]
fn an_escape_is_what_its_writer_meant_or_is_refused() {
    fn check(raw: &str, expected: Option<&str>) {
        let value = Value { raw: raw.as_bytes(), is_escaped: true };
        assert_eq!(value.text().ok().as_deref(), expected, "{raw}");
    }
    check(r"\a\b\f\n\r\t\v", Some("\x07\x08\x0c\n\r\t\x0b"));
    check(r#"\"\\\/\'\#\ \é"#, Some("\"\\/'# é"));
    check(r"\u001b[0m \u00E9 \ufffd \u20ac", Some("\x1b[0m é \u{fffd} €"));
    check(r"\ud83d\ude00 \U0001F600", Some("😀 😀"));
    check(r"\x00\x7F\xc3\xa9", Some("\0\x7fé"));
    for raw in [
        r"\d",
        r"\e",
        r"\0",
        r"\N",
        r"c:\dir",
        r"\u00e",
        r"\u00eg",
        r"\u+0e9",
        r"\ud83d",
        r"\ud83d\n",
        r"\ud83d\u0041",
        r"\ud83d\ud83d",
        r"\ud83d\ue000",
        r"\U0000d83d\ude00",
        r"\ude00",
        r"\ud83dxude00",
        r"\U00110000",
        r"\U0001F60",
        r"\x7",
        r"\x+7",
        r"\xff",
        r"a\",
    ] {
        check(raw, None);
    }
}

#[test]
fn what_reads_itself_from_a_text_reads_the_text() {
    fn check(line: &str, unit: &str, expected: Option<&str>) {
        let value = pairs(line.as_bytes()).next().unwrap().unwrap().value().unwrap();
        assert_eq!(value.parse_in::<String>(unit).ok().as_deref(), expected, "{line}");
        if unit.is_empty() {
            assert_eq!(value.parse::<String>().ok().as_deref(), expected, "{line}");
        }
    }
    check(r#"a="x\"y""#, "", Some("x\"y"));
    check(r#"a="5\"" "#, "\"", Some("5"));
    check(r#"a="1\u00b5s""#, "µs", Some("1"));
    check(r#"a="1\ms""#, "ms", None);
    check(r#"a="1\\ms""#, "ms", Some("1\\"));
    check(r#"a="1 ms""#, " ms", Some("1"));
}

#[test]
fn a_text_that_must_be_borrowed_has_no_escapes() {
    fn check(line: &str, expected: Option<&str>) {
        let value = pairs(line.as_bytes()).next().unwrap().unwrap().value().unwrap();
        assert_eq!(value.as_str().ok(), expected, "{line}");
        assert_eq!(matches!(value.text(), Ok(Cow::Borrowed(_))), expected.is_some(), "{line}");
    }
    check("a=b", Some("b"));
    check(r"a=b\c", Some(r"b\c"));
    check(r#"a="b c""#, Some("b c"));
    check(r#"a="b\"c""#, None);
}

#[test]
fn what_is_not_logfmt_is_refused() {
    for line in [
        "=1",
        "a=1 =2",
        r#"""#,
        r#"a"b=1"#,
        r#""a"=1"#,
        r#"a="1"#,
        r#"a="1\""#,
        r#"a="1\"#,
        r#"a="1"b=2"#,
        r#"a="1"!"#,
        r#"a=1"2"#,
        r#"a="1""2""#,
    ] {
        check(line, None);
    }
    assert_eq!(read(b"a=\xff"), None, "not UTF-8");
    let after: Vec<bool> = pairs(b"a=1 =2 b=3").map(|pair| pair.is_ok()).collect();
    assert_eq!(after, [true, false], "nothing comes behind an error");
    for line in [r#"a=1"2""#, r#"a=1"2"#, r#"a"=1"#, r#"a="1"!"#, r#"a="1""2""#] {
        assert_eq!(pairs(line.as_bytes()).next(), Some(Err(Malformed)), "a part of a value is none: {line}");
    }
}

/// What lies on the border of two blocks, at every distance.
#[test]
fn borders_of_blocks_are_nothing_special() {
    for shift in 0..140 {
        let line = format!(r#"{}k="v \" w" n=12ms flag"#, "x ".repeat(shift / 2) + &" ".repeat(shift % 2));
        let found = read(line.as_bytes()).unwrap();
        let expected = [("k", Some("v \" w")), ("n", Some("12ms")), ("flag", None)];
        let found: Vec<(&str, Option<&str>)> =
            found[shift / 2..].iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        assert_eq!(found, expected, "{shift}");
    }
}

#[test]
fn a_number_is_the_whole_value_or_none() {
    fn check(value: &str, unit: &str, expected: Option<u64>) {
        let value = Value { raw: value.as_bytes(), is_escaped: false };
        assert_eq!(value.parse_in(unit).ok(), expected, "{value:?}");
    }
    check("12", "", Some(12));
    check("12ms", "ms", Some(12));
    check("12ms", "", None);
    check("12", "ms", None);
    check("12s", "ms", None);
    check("ms", "ms", None);
    check("", "", None);
    check("1.5ms", "ms", None);
    check("-1", "", None);
    check("18446744073709551615", "", Some(u64::MAX));
    check("18446744073709551616", "", None);
    check("0x10", "", None);
    assert_eq!(Value { raw: b"-7", is_escaped: false }.parse::<i32>(), Ok(-7));
    assert_eq!(pairs(b"flag").next().unwrap().unwrap().value(), Err(Malformed));
}

/// Key and raw value.
type RawPair = (Vec<u8>, Option<Vec<u8>>);

/// A reader of one byte after the other, by the grammar in the module's documentation.
fn read_by_byte(line: &[u8]) -> Option<Vec<RawPair>> {
    let (mut pairs, mut at) = (Vec::new(), 0);
    loop {
        while at < line.len() && line[at] <= b' ' {
            at += 1;
        }
        if at == line.len() {
            return Some(pairs);
        }
        let mut key = Vec::new();
        while at < line.len() && line[at] > b' ' && line[at] != b'=' && line[at] != b'"' {
            key.push(line[at]);
            at += 1;
        }
        let has_value = line.get(at) == Some(&b'=');
        if key.is_empty() || line.get(at) == Some(&b'"') {
            return None;
        }
        let mut value = Vec::new();
        if has_value && line.get(at + 1) == Some(&b'"') {
            at += 2;
            while *line.get(at)? != b'"' {
                let length = if line[at] == b'\\' { 2 } else { 1 };
                value.extend(line.get(at..at + length)?);
                at += length;
            }
            at += 1;
            if line.get(at).is_some_and(|&next| next > b' ') {
                return None;
            }
        } else if has_value {
            at += 1;
            while at < line.len() && line[at] > b' ' {
                if line[at] == b'"' {
                    return None;
                }
                value.push(line[at]);
                at += 1;
            }
        }
        pairs.push((key, has_value.then_some(value)));
    }
}

proptest! {
    #[test]
    fn it_reads_as_a_reader_of_bytes_does(
        line in prop::collection::vec(prop::sample::select(b"aab  ==\"\"\\\n\xc3".to_vec()), 0..200),
    ) {
        let found: Result<Vec<_>, _> = pairs(&line)
            .map(|pair| pair.map(|pair| (pair.key.to_vec(), pair.value.map(|value| value.raw.to_vec()))))
            .collect();
        prop_assert_eq!(found.ok(), read_by_byte(&line));
    }

    #[test]
    fn a_line_that_is_cut_never_has_another_number(number: u64, cut in 0..30_usize) {
        let line = format!("a=x service={number}ms b=\"y z\"");
        let cut = line.len().saturating_sub(cut);
        for pair in pairs(&line.as_bytes()[..cut]).map_while(Result::ok).filter(|pair| pair.key == b"service") {
            let found = pair.value().and_then(|value| value.parse_in::<u64>("ms")).ok();
            prop_assert!(found.is_none_or(|found| found == number), "{found:?}");
        }
    }
}
