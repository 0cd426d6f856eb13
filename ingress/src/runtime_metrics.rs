//! Load and memory of dynos: the lines of log-runtime-metrics.
//!
//! `source=web.1 dyno=heroku.<number>.<uuid> sample#load_avg_1m=2.46 ...`, where keys may be missing, as may
//! `dyno=`; the form of 2013 has no `sample#`.

use yahtzee_pipeline_proto::raw::{DynoLoad, DynoMemory};

use crate::value::{Dyno, hyphenated_uuid, load_milli, memory_bytes, pages};

/// One line: whose figures, and which.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// From `source=`; it wins over the line's PROCID.
    pub dyno: Option<Dyno<'a>>,
    /// From `dyno=`: the dyno's own identity, which changes with every start.
    pub dyno_uuid: Option<[u8; 16]>,
    /// The figures.
    pub figures: Figures,
}

/// Figures of a line, in messages whose other fields are not set.
#[derive(Clone, Debug, PartialEq)]
pub enum Figures {
    /// Load averages.
    Load(DynoLoad),
    /// Memory.
    Memory(DynoMemory),
}

impl Figures {
    /// Whether not one figure could be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Load(load) => *load == DynoLoad::default(),
            Self::Memory(memory) => *memory == DynoMemory::default(),
        }
    }
}

/// Reads the text of a line about a dyno; `None` if it has no key of load or memory.
///
/// Load wins where a line has keys of both.
#[must_use]
pub fn read(text: &[u8]) -> Option<Sample<'_>> {
    let (mut load, mut memory) = (None::<DynoLoad>, None::<DynoMemory>);
    let (mut dyno, mut dyno_uuid) = (None, None);
    for (key, value) in pairs(text) {
        match key {
            b"source" => dyno = Dyno::parse(value),
            b"dyno" => dyno_uuid = uuid_of(value),
            _ if key.starts_with(b"load_") => set_load(load.get_or_insert_default(), key, value),
            _ if key.starts_with(b"memory_") => set_memory(memory.get_or_insert_default(), key, value),
            _ => {}
        }
    }
    let figures = load.map(Figures::Load).or_else(|| memory.map(Figures::Memory))?;
    Some(Sample { dyno, dyno_uuid, figures })
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

/// `key=value` or `sample#key=value`, separated by blanks.
fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.trim_ascii_end().split(|&byte| byte == b' ').filter_map(|token| {
        let token = token.strip_prefix(b"sample#").unwrap_or(token);
        let equals = token.iter().position(|&byte| byte == b'=')?;
        Some((&token[..equals], &token[equals + 1..]))
    })
}

/// The UUID at the end of `heroku.<number>.<uuid>`.
fn uuid_of(dyno: &[u8]) -> Option<[u8; 16]> {
    let point = dyno.iter().rposition(|&byte| byte == b'.')?;
    hyphenated_uuid(&dyno[point + 1..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn figures_of_load_lines() {
        fn check(text: &str, expected: Option<[Option<u64>; 3]>) {
            let load = read(text.as_bytes()).map(|sample| match sample.figures {
                Figures::Load(load) => [load.load_1m_milli, load.load_5m_milli, load.load_15m_milli],
                Figures::Memory(memory) => panic!("{memory:?}"),
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
            let figures = read(text.as_bytes()).unwrap().figures;
            let Figures::Memory(memory) = figures else { panic!("{figures:?}") };
            assert_eq!((memory.pgpgin_pages, memory.pgpgout_pages), expected, "{text}");
        }
        check("sample#memory_pgpgin=7pages sample#memory_pgpgout=5pages", (Some(7), Some(5)));
        check("memory_pgin=7pages memory_pgout=5pages", (Some(7), Some(5)));
    }

    #[test]
    fn whose_figures() {
        let uuid = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d";
        let text = format!("source=run.2660 dyno=heroku.2808254.{uuid} sample#load_avg_1m=0.48");
        let sample = read(text.as_bytes()).unwrap();
        assert_eq!(sample.dyno, Dyno::parse(b"run.2660"));
        assert_eq!(sample.dyno_uuid, hyphenated_uuid(uuid.as_bytes()));
        let sample = read(b"source=DATABASE dyno=heroku.1.not-a-uuid sample#load_avg_1m=0.48").unwrap();
        assert_eq!((sample.dyno, sample.dyno_uuid), (None, None));
    }

    #[test]
    fn a_line_without_readable_figures_is_empty() {
        assert!(read(b"sample#memory_total=0.48GB").unwrap().figures.is_empty());
        assert!(read(b"sample#load_avg_1m=NaN").unwrap().figures.is_empty());
        assert!(!read(b"sample#load_avg_1m=0").unwrap().figures.is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&text);
        }

        #[test]
        fn any_pairs_are_read_without_panic(text in "(sample#|source|dyno|load_avg_1m|memory_total|[=. 0-9a-zMB])*") {
            let _ = read(text.as_bytes());
        }
    }
}
