//! Load and memory of dynos: the lines of log-runtime-metrics.
//!
//! `source=web.1 dyno=heroku.<number>.<uuid> sample#load_avg_1m=2.46 ...`, where keys may be missing, as may
//! `dyno=`; the form of 2013 has no `sample#`.

use yahtzee_pipeline_proto::raw::{DynoLoad, DynoMemory};

use super::context::{CommonFields, DynoRef};
use super::values::{DynoName, hyphenated_uuid, load_milli, memory_bytes, pages};

/// The measurement of one line; `None` if no figure could be read, or the line does not say which dyno it is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum DynoSample {
    /// Load averages.
    Load(Option<DynoLoad>),
    /// Memory.
    Memory(Option<DynoMemory>),
}

/// Reads the text of a line about a dyno; `None` if it has no key of load or memory.
///
/// `dyno` is the one of the line's PROCID; that of `source=` wins. Load wins where a line has keys of both.
pub(super) fn read(text: &[u8], dyno: Option<DynoRef<'_>>, common: CommonFields<'_>) -> Option<DynoSample> {
    let (mut load, mut memory) = (None::<DynoLoad>, None::<DynoMemory>);
    let (mut source, mut dyno_uuid) = (None, None);
    for (key, value) in pairs(text) {
        match key {
            b"source" => source = DynoName::parse(value),
            b"dyno" => dyno_uuid = uuid_of(value),
            _ if key.starts_with(b"load_") => set_load(load.get_or_insert_default(), key, value),
            _ if key.starts_with(b"memory_") => set_memory(memory.get_or_insert_default(), key, value),
            _ => {}
        }
    }
    let dyno = source.map(DynoRef::from).or(dyno);
    let common = dyno.map(|dyno| common.about(dyno));
    let dyno_uuid = dyno_uuid.map(|uuid| uuid.to_vec()).unwrap_or_default();
    match (load, memory) {
        (Some(load), _) => {
            let common = common.filter(|_| load != DynoLoad::default());
            Some(DynoSample::Load(common.map(|common| finished_load(load, dyno_uuid, common))))
        }
        (None, Some(memory)) => {
            let common = common.filter(|_| memory != DynoMemory::default());
            Some(DynoSample::Memory(common.map(|common| finished_memory(memory, dyno_uuid, common))))
        }
        (None, None) => None,
    }
}

fn finished_load(figures: DynoLoad, dyno_uuid: Vec<u8>, common: CommonFields<'_>) -> DynoLoad {
    let CommonFields { time_us, process_type, dyno_num, frame_index, flags } = common;
    let process_type = process_type.to_owned();
    DynoLoad { time_us, process_type, dyno_num, dyno_uuid, frame_index, flags, ..figures }
}

fn finished_memory(figures: DynoMemory, dyno_uuid: Vec<u8>, common: CommonFields<'_>) -> DynoMemory {
    let CommonFields { time_us, process_type, dyno_num, frame_index, flags } = common;
    let process_type = process_type.to_owned();
    DynoMemory { time_us, process_type, dyno_num, dyno_uuid, frame_index, flags, ..figures }
}

fn set_load(load: &mut DynoLoad, key: &[u8], value: &[u8]) {
    match key {
        b"load_avg_1m" => load.load_1m_milli = load_milli(value),
        b"load_avg_5m" => load.load_5m_milli = load_milli(value),
        b"load_avg_15m" => load.load_15m_milli = load_milli(value),
        _ => {}
    }
}

fn set_memory(memory: &mut DynoMemory, key: &[u8], value: &[u8]) {
    match key {
        b"memory_total" => memory.total_bytes = memory_bytes(value),
        b"memory_rss" => memory.rss_bytes = memory_bytes(value),
        b"memory_cache" => memory.cache_bytes = memory_bytes(value),
        b"memory_swap" => memory.swap_bytes = memory_bytes(value),
        b"memory_quota" => memory.quota_bytes = memory_bytes(value),
        b"memory_pgpgin" | b"memory_pgin" => memory.pgpgin_pages = pages(value),
        b"memory_pgpgout" | b"memory_pgout" => memory.pgpgout_pages = pages(value),
        _ => {}
    }
}

/// Splits `key=value` or `sample#key=value`, separated by blanks. A value that may be part of one is empty.
fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut tokens = text.trim_ascii_end().split(|&byte| byte == b' ').peekable();
    std::iter::from_fn(move || {
        let token = tokens.next()?;
        let mut is_part = |value: &[u8]| match tokens.peek() {
            Some(next) => !next.contains(&b'='),
            None => may_be_part(value),
        };
        let token = token.strip_prefix(b"sample#").unwrap_or(token);
        let Some(equals) = token.iter().position(|&byte| byte == b'=') else {
            return Some((&b""[..], &b""[..]));
        };
        let value = &token[equals + 1..];
        Some((&token[..equals], if is_part(value) { b"" } else { value }))
    })
}

/// Returns whether a value at the end of a line may be part of one: 5 of `512.00MB`, 0.9 of 0.99, `web.1` of `web.12`. A
/// load has two decimals, all else a unit or the length of a UUID.
fn may_be_part(value: &[u8]) -> bool {
    let point = value.iter().rposition(|&byte| byte == b'.');
    let last = point.map_or(&b""[..], |point| &value[point + 1..]);
    let has_decimals = last.len() >= 2 && value.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let has_unit = [&b"MB"[..], b"kB", b"bytes", b"pages"].iter().any(|unit| value.ends_with(unit));
    !(has_decimals || has_unit || uuid_of(value).is_some())
}

/// Reads the UUID at the end of `heroku.<number>.<uuid>`.
fn uuid_of(dyno: &[u8]) -> Option<[u8; 16]> {
    let point = dyno.iter().rposition(|&byte| byte == b'.')?;
    hyphenated_uuid(&dyno[point + 1..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of dyno `web.1`.
    fn sample(text: &[u8]) -> Option<DynoSample> {
        read(text, DynoRef::parse(b"web.1"), CommonFields::default())
    }

    #[test]
    fn figures_of_load_lines() {
        fn check(text: &str, expected: Option<[Option<u64>; 3]>) {
            let load = sample(text.as_bytes()).map(|sample| match sample {
                DynoSample::Load(None) => [None; 3],
                DynoSample::Load(Some(load)) => [load.load_1m_milli, load.load_5m_milli, load.load_15m_milli],
                DynoSample::Memory(memory) => panic!("{memory:?}"),
            });
            assert_eq!(load, expected, "{text}");
        }
        let all = "sample#load_avg_1m=2.46 sample#load_avg_5m=1.06 sample#load_avg_15m=0.99\n";
        check(all, Some([Some(2_460), Some(1_060), Some(990)]));
        check("source=web.1 sample#load_avg_1m=0.00", Some([Some(0), None, None]));
        check("sample#load_avg_1m=NaN sample#load_avg_5m=-1.00", Some([None, None, None]));
        check("load_avg_1m=0.10 sample#memory_total=21.00MB", Some([Some(100), None, None]));
        check("sample#load-avg-1m=0.05", None);
        check("measure=load_avg_1m val=2.46", None);
    }

    #[test]
    fn both_names_of_page_counts() {
        fn check(text: &str, expected: (Option<u64>, Option<u64>)) {
            let sample = sample(text.as_bytes()).unwrap();
            let DynoSample::Memory(Some(memory)) = sample else { panic!("{sample:?}") };
            assert_eq!((memory.pgpgin_pages, memory.pgpgout_pages), expected, "{text}");
        }
        check("sample#memory_pgpgin=7pages sample#memory_pgpgout=5pages", (Some(7), Some(5)));
        check("memory_pgin=7pages memory_pgout=5pages", (Some(7), Some(5)));
    }

    #[test]
    fn the_dyno_is_that_of_the_source_or_of_the_line() {
        let uuid = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";
        let text = format!("source=run.2660 dyno=heroku.2808254.{uuid} sample#load_avg_1m=0.48");
        let load = |text: &[u8], dyno| match read(text, dyno, CommonFields::default()) {
            Some(DynoSample::Load(load)) => load,
            other => panic!("{other:?}"),
        };
        let of_run = load(text.as_bytes(), None).unwrap();
        assert_eq!((of_run.process_type.as_str(), of_run.dyno_num), ("run", Some(2_660)));
        assert_eq!(Some(of_run.dyno_uuid), hyphenated_uuid(uuid.as_bytes()).map(|uuid| uuid.to_vec()));
        let of_nobody = b"source=DATABASE dyno=heroku.1.not-a-uuid sample#load_avg_1m=0.48";
        assert_eq!(load(of_nobody, None), None);
        let of_web = load(of_nobody, DynoRef::parse(b"web.1")).unwrap();
        assert_eq!((of_web.process_type.as_str(), of_web.dyno_num), ("web", Some(1)));
        assert!(of_web.dyno_uuid.is_empty());
    }

    #[test]
    fn a_line_without_readable_figures_is_empty() {
        assert_eq!(sample(b"sample#memory_total=0.48GB"), Some(DynoSample::Memory(None)));
        assert_eq!(sample(b"sample#load_avg_1m=NaN"), Some(DynoSample::Load(None)));
        assert!(matches!(sample(b"sample#load_avg_1m=0.00"), Some(DynoSample::Load(Some(_)))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = sample(&text);
        }

        #[test]
        fn any_pairs_are_read_without_panic(text in "(sample#|source|dyno|load_avg_1m|memory_total|[=. 0-9a-zMB])*") {
            let _ = sample(text.as_bytes());
        }
    }
}
