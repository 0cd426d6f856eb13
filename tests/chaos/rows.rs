//! Rows as they lie in the shards, read with plain SQL.

use anyhow::{Context, Result, bail};
use tokio_postgres::SimpleQueryRow;
use yahtzee_core::owner::Owner;
use yahtzee_core::record::Offset;
use yahtzee_core::summary::{Revision, SummaryKey};

use crate::postgres::{Session, TABLES};

/// A row.
pub(crate) struct StoredRow {
    pub(crate) key: SummaryKey,
    pub(crate) revision: Revision,
    /// The store has noted that some revision cannot have come after the one it replaced.
    pub(crate) is_broken: bool,
    /// Only where asked for.
    pub(crate) value: Vec<u8>,
}

/// All rows of a shard.
pub(crate) fn read(session: &Session, with_values: bool) -> Result<Vec<StoredRow>> {
    let value = if with_values { "encode(value, 'hex')" } else { "''" };
    let mut rows = Vec::new();
    for table in session.run(TABLES)? {
        let table = table.get(1).context("a table has a name")?;
        let sql = format!(
            "SELECT encode(uuid_send(owner), 'hex'), series, (extract(epoch FROM window_start) * 1000)::bigint, \
             window_length_ms, generation, last_offset, final, chain, {value} FROM {table}"
        );
        for row in session.run(&sql)? {
            rows.push(parse(&row)?);
        }
    }
    Ok(rows)
}

fn parse(row: &SimpleQueryRow) -> Result<StoredRow> {
    let text = |index: usize| row.get(index).context("no column is null");
    let key = SummaryKey {
        owner: Owner::from_bytes(&unhex(text(0)?)?).context("an owner has 16 bytes")?,
        dimensions: dimensions(text(1)?),
        window_start_ms: text(2)?.parse()?,
        window_length_ms: text(3)?.parse()?,
    };
    let revision = Revision {
        generation: text(4)?.parse()?,
        last_offset: Offset(text(5)?.parse()?),
        is_final: text(6)? == "t",
    };
    Ok(StoredRow { key, revision, is_broken: text(7)? != "0", value: unhex(text(8)?)? })
}

/// No process type of these runs has a character that is escaped.
fn dimensions(series: &str) -> Vec<String> {
    series.split('/').skip(1).map(ToOwned::to_owned).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        bail!("{text} is half a byte short");
    }
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| Ok(u8::from_str_radix(str::from_utf8(pair)?, 16)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_a_dimension_after_each_slash() {
        let check = |series: &str, expected: &[&str]| assert_eq!(dimensions(series), expected);
        check("", &[]);
        check("/web", &["web"]);
        check("/admin.é/x", &["admin.é", "x"]);
    }

    #[test]
    fn bytes_are_read_from_their_digits() {
        assert_eq!(unhex("00ff7f").unwrap(), [0, 255, 127]);
        assert!(unhex("0").is_err() && unhex("0g").is_err());
    }
}
