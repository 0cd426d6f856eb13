//! The JSON of a post: names, and values in fixed point.
//!
//! `{"counters": {"name": number}, "gauges": {"name": number}, "distributions": {"name": [number, ...]}}`; each part
//! may be missing or null. Counters are what was added since the post before.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use yahtzee_core::accumulate::Distribution;
use yahtzee_pipeline_proto::raw::Samples;
use yahtzee_pipeline_proto::raw::lang_metric::Value;

/// Longest name that is kept, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Most metrics of a post: what one owner may have by default in one window, all its dynos together.
const MAX_METRICS: usize = 1_000;

/// Greatest counter or gauge: 2^53, up to which a JSON number is exact in every language.
const MAX_VALUE: f64 = 9_007_199_254_740_992.0;

/// The content of a post.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PostedMetrics {
    /// Names and values: counters, gauges, distributions, each in the order of their names.
    pub accepted: Vec<(String, Value)>,
    /// Names in the post, whatever became of them.
    pub announced: u64,
    /// Values that are no number in range, and metrics without a usable name or beyond the first thousand.
    pub rejected: u64,
}

/// Values by name, unread: one that is out of range spoils only itself.
type Unread<'a> = Option<BTreeMap<Cow<'a, str>, &'a RawValue>>;

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, default)]
    counters: Unread<'a>,
    #[serde(borrow, default)]
    gauges: Unread<'a>,
    #[serde(borrow, default)]
    distributions: Unread<'a>,
}

/// Reads the body of a post; `None` if it is not of the form above.
#[must_use]
pub fn read(body: &[u8]) -> Option<PostedMetrics> {
    // A list would be taken for the fields in their order.
    let object = Some(body).filter(|body| body.trim_ascii_start().starts_with(b"{"))?;
    let Document { counters, gauges, distributions } = serde_json::from_slice(object).ok()?;
    let mut metrics = PostedMetrics::default();
    metrics.add_all(counters, |value, rejected| one(milli(value).map(Value::CounterMilli), rejected));
    metrics.add_all(gauges, |value, rejected| one(milli(value).map(Value::GaugeMilli), rejected));
    metrics.add_all(distributions, samples);
    Some(metrics)
}

impl PostedMetrics {
    /// Accepts the metrics that have a name and a value; `read` returns the value, and counts what it rejects.
    fn add_all(&mut self, unread: Unread<'_>, read: impl Fn(&RawValue, &mut u64) -> Option<Value>) {
        for (name, value) in unread.into_iter().flatten() {
            self.announced += 1;
            if !is_name(&name) || self.accepted.len() == MAX_METRICS {
                self.rejected += 1;
            } else if let Some(value) = read(value, &mut self.rejected) {
                self.accepted.push((name.into_owned(), value));
            }
        }
    }
}

/// Returns whether a name has letters, digits, `.`, `_` and `-` only.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed)
}

fn one(value: Option<Value>, rejected: &mut u64) -> Option<Value> {
    *rejected += u64::from(value.is_none());
    value
}

/// Reads a number from 0 to [`MAX_VALUE`] in thousandths, rounded half up.
fn milli(value: &RawValue) -> Option<u64> {
    let value = number(value).filter(|value| (0.0..=MAX_VALUE).contains(value))?;
    Some((value * 1_000.0).round() as u64)
}

/// Numbers that a distribution can tell apart, rounded half up to whole ones.
fn samples(values: &RawValue, rejected: &mut u64) -> Option<Value> {
    let Ok(values) = serde_json::from_str::<Vec<&RawValue>>(values.get()) else { return one(None, rejected) };
    let range = 0.0..=Distribution::HIGHEST_TRACKABLE as f64;
    let whole = |value: &&RawValue| Some(number(value)?.round()).filter(|value| range.contains(value));
    let accepted: Vec<u64> = values.iter().filter_map(whole).map(|value| value as u64).collect();
    *rejected += (values.len() - accepted.len()) as u64;
    (!accepted.is_empty()).then_some(Value::Distribution(Samples { values: accepted }))
}

/// Reads a JSON number; one beyond the range of floating point is infinite.
fn number(value: &RawValue) -> Option<f64> {
    value.get().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepted(body: &str) -> Vec<(String, Value)> {
        read(body.as_bytes()).unwrap().accepted
    }

    #[test]
    fn values_are_exact_thousandths_within_their_range() {
        fn check(number: &str, expected: Option<u64>) {
            let metrics = read(format!(r#"{{"gauges": {{"g": {number}}}}}"#).as_bytes()).unwrap();
            let expected_metrics = expected.map(|milli| ("g".to_owned(), Value::GaugeMilli(milli)));
            assert_eq!(metrics.accepted, Vec::from_iter(expected_metrics), "{number}");
            assert_eq!((metrics.announced, metrics.rejected), (1, u64::from(expected.is_none())), "{number}");
        }
        check("0", Some(0));
        check("-0.0", Some(0));
        check("12", Some(12_000));
        check("0.1", Some(100));
        check("1.0005", Some(1_001));
        check("1e3", Some(1_000_000));
        check("9007199254740992", Some(9_007_199_254_740_992_000));
        for out_of_range in
            ["-1", "9007199254740994", "1e400", "-1e400", "\"NaN\"", "null", "true", "[1]", "{}"]
        {
            check(out_of_range, None);
        }
    }

    /// Whatever becomes of a post: a value is one that was written. Bytes that JSON has between values are left out.
    #[test]
    fn a_damaged_post_says_nothing_that_nobody_wrote() {
        fn values(body: &[u8]) -> Vec<Value> {
            read(body)
                .map(|metrics| metrics.accepted)
                .unwrap_or_default()
                .into_iter()
                .map(|(_, value)| value)
                .collect()
        }
        let body =
            br#"{"counters": {"a.b": 12.5}, "gauges": {"heap": 34567}, "distributions": {"gc": [123, 456]}}"#;
        let written = values(body);
        assert_eq!(written.len(), 3);
        let check = |damaged: &[u8]| {
            let found = values(damaged);
            assert!(
                found.iter().all(|value| written.contains(value)),
                "{}",
                String::from_utf8_lossy(damaged)
            );
        };
        for at in 0..body.len() {
            check(&body[..at]);
            check(&body[at..]);
            for garbage in [0, 0xff, b'"', b'=', b']', b'<'] {
                check(&[&body[..at], &[garbage], &body[at + 1..]].concat());
                check(&[&body[..at], &[garbage], &body[at..]].concat());
            }
        }
    }

    #[test]
    fn distributions_are_lists_of_whole_numbers() {
        fn check(values: &str, expected: &[u64], expected_rejected: u64) {
            let metrics = read(format!(r#"{{"distributions": {{"d": {values}}}}}"#).as_bytes()).unwrap();
            let samples = metrics.accepted.into_iter().flat_map(|(_, value)| match value {
                Value::Distribution(samples) => samples.values,
                other => panic!("{other:?}"),
            });
            assert_eq!(
                (samples.collect::<Vec<_>>(), metrics.rejected),
                (expected.to_vec(), expected_rejected)
            );
        }
        check("[3, 1.5, 0.4]", &[3, 2, 0], 0);
        check("[134217727, 134217728, -1, \"x\"]", &[134_217_727], 3);
        check("[]", &[], 0);
        check("7", &[], 1);
    }

    #[test]
    fn parts_may_be_missing_and_names_are_plain() {
        let body = r#"{"counters": {"b": 1, "a": 2}, "gauges": null, "other": {"x": 1}}"#;
        let expected = [("a", 2_000), ("b", 1_000)];
        let expected = expected.map(|(name, milli)| (name.to_owned(), Value::CounterMilli(milli)));
        assert_eq!(accepted(body), expected);
        assert_eq!(accepted("{}"), []);
        for name in ["", "a b", "a/b", "\u{e9}", &"n".repeat(129)] {
            assert_eq!(accepted(&format!(r#"{{"counters": {{"{name}": 1}}}}"#)), [], "{name}");
        }
        assert_eq!(accepted(r#"{"counters": {"\u0061-B_c.9": 1}}"#)[0].0, "a-B_c.9");
        for body in
            ["", "[]", "{\"counters\": 1}", "{\"counters\": {\"a\": NaN}}", "{", "{\"gauges\": {\"a\"}}"]
        {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn the_first_thousand_metrics_count() {
        let names: Vec<String> = (0..1_002).map(|number| format!("\"n{number:04}\": 1")).collect();
        let metrics = read(format!("{{\"gauges\": {{{}}}}}", names.join(",")).as_bytes()).unwrap();
        assert_eq!((metrics.accepted.len(), metrics.announced, metrics.rejected), (1_000, 1_002, 2));
        assert_eq!(metrics.accepted[999].0, "n0999");
    }

    proptest! {
        #[test]
        fn thousandths_are_exact_to_a_trillion_units(milli in 0_u64..1 << 50) {
            let body = format!(r#"{{"counters": {{"c": {}.{:03}}}}}"#, milli / 1_000, milli % 1_000);
            prop_assert_eq!(accepted(&body), [("c".to_owned(), Value::CounterMilli(milli))]);
        }

        #[test]
        fn any_bytes_are_read_without_panic(
            body in "(\\{|\\}|\\[|\\]|\"counters\"|\"distributions\"|\"a\"|:|,|-?[0-9]{1,3}|e9|null|[ -~]){0,30}",
        ) {
            let _ = read(body.as_bytes());
        }
    }
}
