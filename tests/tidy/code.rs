//! Reading Rust a line at a time: enough for rules about formatted source, and no parser.

/// The code of a line: comments are cut off, strings are emptied.
pub(crate) fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        if rest.starts_with("//") {
            break;
        }
        let taken = match next {
            '\'' if rest.starts_with("'\"'") => 3,
            '"' => string_length_bytes(rest),
            _ => {
                code.push(next);
                next.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    code
}

/// The length of the string literal at the start of `text`; to the end of the line if it goes on there.
fn string_length_bytes(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            '"' if !is_escaped => return at + 1,
            _ => is_escaped = character == '\\' && !is_escaped,
        }
    }
    text.len()
}

/// Whether `code` holds `word`, not as a part of a longer identifier.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    let is_identifier = |c: char| c.is_alphanumeric() || c == '_';
    let joins = |left: Option<char>, right: Option<char>| {
        left.is_some_and(is_identifier) && right.is_some_and(is_identifier)
    };
    code.match_indices(word).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        let starts_inside = joins(before.chars().next_back(), word.chars().next());
        let ends_inside = joins(word.chars().next_back(), after.chars().next());
        !starts_inside && !ends_inside
    })
}

#[test]
fn code_is_what_is_left_without_comments_and_strings() {
    let check = |line: &str, expected: &str| assert_eq!(code_of(line), expected);
    check("let a = 1; // one", "let a = 1; ");
    check(r#"open("http://x", b)"#, "open(, b)");
    check(r#"say("a \" // b"); go()"#, "say(); go()");
    check(r#"find('"'); go()"#, "find(); go()");
    check("/// doc", "");
}

#[test]
fn a_word_is_not_a_part_of_a_longer_one() {
    let check = |code: &str, word: &str, expected: bool| assert_eq!(has_word(code, word), expected, "{code}");
    check("use rand::Rng;", "rand", true);
    check("operand + brand", "rand", false);
    check("grand rand", "rand", true);
    check("x.await?", ".await", true);
    check("x.awaiting", ".await", false);
    check("std::fs::read", "fs::", true);
    check("offs::read", "fs::", false);
}
