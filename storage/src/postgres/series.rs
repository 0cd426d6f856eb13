//! Encodes the series as one text column that people can read: `/web/H12`.

/// Returns the text of the dimensions, each after a `/`. Within a dimension, `\/` is a slash, `\\` a backslash and `\0`
/// the character NUL, which PostgreSQL cannot store. No two lists of dimensions have the same text.
pub(super) fn encode(dimensions: &[String]) -> String {
    let mut series = String::with_capacity(dimensions.iter().map(|dimension| dimension.len() + 1).sum());
    for dimension in dimensions {
        series.push('/');
        for character in dimension.chars() {
            match character {
                '/' => series.push_str("\\/"),
                '\\' => series.push_str("\\\\"),
                '\0' => series.push_str("\\0"),
                other => series.push(other),
            }
        }
    }
    series
}

/// Returns the dimensions; `None` for a text that [`encode`] does not write.
pub(super) fn decode(series: &str) -> Option<Vec<String>> {
    let mut dimensions: Vec<String> = Vec::new();
    let mut characters = series.chars();
    while let Some(character) = characters.next() {
        let character = match character {
            '/' => {
                dimensions.push(String::new());
                continue;
            }
            '\\' => match characters.next()? {
                '0' => '\0',
                escaped @ ('/' | '\\') => escaped,
                _ => return None,
            },
            plain => plain,
        };
        dimensions.last_mut()?.push(character);
    }
    Some(dimensions)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_series_is_read_back(dimensions in prop::collection::vec("[/\\\\\0a0é]{0,6}", 0..4)) {
            let series = encode(&dimensions);
            prop_assert!(!series.contains('\0'));
            prop_assert_eq!(decode(&series), Some(dimensions));
        }

        #[test]
        fn every_text_is_that_of_one_series_or_of_none(series in "[/\\\\0a]{0,8}") {
            if let Some(dimensions) = decode(&series) {
                prop_assert_eq!(encode(&dimensions), series);
            }
        }
    }

    #[test]
    fn a_series_is_readable() {
        fn check(dimensions: &[&str], expected: &str) {
            let dimensions: Vec<_> = dimensions.iter().map(|&dimension| dimension.to_owned()).collect();
            assert_eq!(encode(&dimensions), expected);
        }
        check(&[], "");
        check(&[""], "/");
        check(&["web", "H12"], "/web/H12");
        check(&["a/b", "c\\d"], "/a\\/b/c\\\\d");
    }
}
