//! Events of an app: releases and scaling, from lines of the platform's API. Names of users are not read.

use std::collections::BTreeMap;

use yahtzee_pipeline_proto::raw::AppEvent;

use super::class::LineClass;
use super::context::CommonFields;
use super::values::{integer, process_type};

/// Reads a line of the platform's API: its class, and its event.
pub(super) fn read(text: &[u8], common: CommonFields<'_>) -> (LineClass, Option<AppEvent>) {
    let CommonFields { time_us, frame_index, flags, .. } = common;
    let event = AppEvent { time_us, frame_index, flags, ..AppEvent::default() };
    let scaling = || text.strip_prefix(b"Scaled to ").or_else(|| text.strip_prefix(b"Scale to "));
    if let Some(version) = text.strip_prefix(b"Release v") {
        let release = release(version).map(Some);
        (LineClass::Release, release.map(|release| AppEvent { release, ..event }))
    } else if let Some(formation) = scaling() {
        (LineClass::Scale, scale(formation).map(|formation| AppEvent { formation, ..event }))
    } else {
        (LineClass::ApiOther, None)
    }
}

/// Reads `42 created by user ...`. A version counts only with what follows it, so that damaged lines give none.
fn release(version: &[u8]) -> Option<u32> {
    let end = version.iter().position(|&byte| byte == b' ')?;
    let (digits, rest) = version.split_at(end);
    rest.starts_with(b" created").then(|| u32::try_from(integer(digits)?).ok())?
}

/// Reads `web@4:Standard-1X worker@0:Standard-2X by user ...`; in 2015 `mailer=1, web=3 by ...`.
///
/// Without `by` the line was cut, and its last quantity may lack digits. A word that is no quantity may be part of one, so
/// that nothing of the formation counts.
fn scale(formation: &[u8]) -> Option<BTreeMap<String, u32>> {
    const BY: &[u8] = b" by ";
    let end = formation.windows(BY.len()).position(|window| window == BY)?;
    let words = formation[..end].split(|&byte| byte == b' ');
    words.map(quantity).collect()
}

/// Reads `web@4:Standard-1X` or `web=3,`.
fn quantity(word: &[u8]) -> Option<(String, u32)> {
    let at = word.iter().position(|byte| matches!(byte, b'@' | b'='))?;
    let digits = word[at + 1..].split(|byte| matches!(byte, b':' | b',')).next()?;
    let quantity = u32::try_from(integer(digits)?).ok()?;
    Some((process_type(&word[..at])?.to_owned(), quantity))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn releases_have_a_version() {
        fn check(text: &str, expected: Option<u32>) {
            let (class, event) = read(text.as_bytes(), CommonFields::default());
            assert_eq!(class, LineClass::Release, "{text}");
            assert_eq!(event.and_then(|event| event.release), expected, "{text}");
        }
        check("Release v42 created by user dev@example.com\n", Some(42));
        check("Release v42", None);
        check("Release v created by user", None);
        check("Release v4294967296 created", None);
    }

    #[test]
    fn formations_in_both_wordings() {
        fn check(text: &str, expected: &[(&str, u32)]) {
            let (class, event) = read(text.as_bytes(), CommonFields::default());
            let formation = event.map(|event| event.formation).unwrap_or_default();
            let found: Vec<_> = formation.iter().map(|(name, &quantity)| (name.as_str(), quantity)).collect();
            assert_eq!((class, found), (LineClass::Scale, expected.to_vec()), "{text}");
        }
        let now = "Scaled to web@4:Standard-1X worker@0:Standard-2X by user dev@example.com\n";
        check(now, &[("web", 4), ("worker", 0)]);
        check("Scale to mailer=1, web=3 by dev@example.com\n", &[("mailer", 1), ("web", 3)]);
        check("Scaled to web@4:Standard-1X by user a=1 b@2", &[("web", 4)]);
        check("Scaled to web@4:Standard-1X worker@1", &[]);
        check("Scaled to nothing by user x", &[]);
    }

    #[test]
    fn other_lines_of_the_api_are_no_events() {
        for text in ["Build succeeded\n", "Deploy 0a1b2c3d by user x", "Set FOO config vars by user x", ""] {
            assert_eq!(read(text.as_bytes(), CommonFields::default()), (LineClass::ApiOther, None), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            prefix in "(Release v|Scaled to |Scale to )?",
            text in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let _ = read(&[prefix.as_bytes(), &text].concat(), CommonFields::default());
        }
    }
}
