//! `yahtzee retry inspect`: shows one record of a RETRY or QUARANTINE topic in full.

use std::fmt::Write as _;
use yahtzee_runtime::{out, outln};

use anyhow::{Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Serialize;
use yahtzee_core::job::Figures;
use yahtzee_runtime::topics::{QUARANTINE_PREFIX, RETRY_PREFIX};
use yahtzee_storage::dead_letter::headers::RecordPosition;
use yahtzee_storage::dead_letter::retry_list::{self, Inspected};

use crate::process::{GlobalOptions, Registry};
use yahtzee_runtime::utc;

/// Show one record of a RETRY or QUARANTINE topic: the summary, its source, and the reason why it is there
#[derive(Debug, Args)]
pub(crate) struct InspectOptions {
    /// Place of the record, as `yahtzee retry list` and `yahtzee quarantine list` show it
    #[arg(value_name = "TOPIC/PARTITION/OFFSET")]
    place: RecordPosition,
    /// Print one JSON document instead of text; key and value are base64
    #[arg(long)]
    json: bool,
}

/// A record in the output. Parts that cannot be read are left out.
#[derive(Serialize)]
struct RecordReport {
    place: String,
    appended: String,
    job: Option<String>,
    store: Option<String>,
    shard: Option<String>,
    #[serde(flatten)]
    key: Option<KeyReport>,
    #[serde(flatten)]
    value: Option<ValueReport>,
    source: Option<String>,
    first_failure: Option<String>,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    error: Option<String>,
    settled: Option<&'static str>,
    value_bytes: usize,
    key_base64: String,
    value_base64: String,
    other_headers: Vec<String>,
}

#[derive(Serialize)]
struct KeyReport {
    owner: String,
    dimensions: Vec<String>,
    window_start: String,
    window_length_ms: u32,
}

#[derive(Serialize)]
struct ValueReport {
    generation: u32,
    first_offset: u64,
    last_offset: u64,
    count: u64,
    #[serde(rename = "final")]
    is_final: bool,
    figures: Option<Figures>,
}

pub(super) fn inspect(global: &GlobalOptions, options: &InspectOptions) -> Result<()> {
    let place = &options.place;
    let is_of_a_store =
        [RETRY_PREFIX, QUARANTINE_PREFIX].iter().any(|prefix| place.topic.starts_with(prefix));
    ensure!(
        is_of_a_store,
        "{} is neither a RETRY nor a QUARANTINE topic; places are shown by `yahtzee retry list` and `yahtzee quarantine list`",
        place.topic
    );
    let log = global.load()?.log.open_existing()?;
    let Some(found) = retry_list::inspect(&*log, place)? else {
        bail!(
            "there is no record at {place}, or not any more; see `yahtzee retry list` and `yahtzee quarantine list`"
        );
    };
    let report = RecordReport::new(&global.jobs, place, found);
    match options.json {
        true => outln!("{}", serde_json::to_string_pretty(&report)?)?,
        false => out!("{}", report.text()?)?,
    }
    Ok(())
}

impl RecordReport {
    fn new(jobs: &Registry, place: &RecordPosition, found: Inspected) -> Self {
        let Inspected { timestamp_ms, key, value, parts, provenance, trail, headers } = found;
        let figures = trail.job.as_deref().and_then(|job| jobs.figures(job, &value).ok());
        let key_report = parts.map(|parts| KeyReport {
            owner: parts.owner.to_string(),
            dimensions: parts.dimensions,
            window_start: utc::date_and_time(parts.window_start_ms),
            window_length_ms: parts.window_length_ms,
        });
        let value_report = provenance.map(|provenance| ValueReport {
            generation: provenance.generation,
            first_offset: provenance.first_offset,
            last_offset: provenance.last_offset,
            count: provenance.count,
            is_final: provenance.is_final,
            figures,
        });
        let other = headers.into_iter().filter(|(name, _)| !name.starts_with("yahtzee-"));
        Self {
            place: place.to_string(),
            appended: utc::date_and_time(timestamp_ms),
            job: trail.job,
            store: trail.store,
            shard: trail.shard,
            key: key_report,
            value: value_report,
            source: trail.source.map(|source| source.to_string()),
            first_failure: trail.first_failure_ms.map(utc::date_and_time),
            attempts: trail.attempts,
            code: trail.code,
            error: trail.error,
            settled: trail.settled.map(|settled| settled.name()),
            value_bytes: value.len(),
            key_base64: STANDARD.encode(&key),
            value_base64: STANDARD.encode(&value),
            other_headers: other.map(|(name, value)| format!("{name}: {}", value.escape_ascii())).collect(),
        }
    }

    fn text(&self) -> Result<String> {
        let mut text = format!("{}, appended {}\n", self.place, self.appended);
        let mut line = |name: &str, value: Option<&str>| {
            value.map_or(Ok(()), |value| writeln!(text, "  {name:<14} {value}"))
        };
        line("code", self.code.as_deref())?;
        line("error", self.error.as_deref())?;
        line("settled", self.settled)?;
        line("attempts", Some(&self.attempts.to_string()))?;
        line("first failure", self.first_failure.as_deref())?;
        line(
            "store, shard",
            Some(&[&self.store, &self.shard].map(|it| it.as_deref().unwrap_or("?")).join(", ")),
        )?;
        line("job", self.job.as_deref())?;
        line("summary from", self.source.as_deref())?;
        match &self.key {
            Some(key) => {
                line("owner", Some(&key.owner))?;
                line("dimensions", Some(&serde_json::to_string(&key.dimensions)?))?;
                line("window", Some(&format!("{}, {} ms", key.window_start, key.window_length_ms)))?;
            }
            None => line("key", Some(&format!("cannot be read: {}", self.key_base64)))?,
        }
        match &self.value {
            Some(value) => {
                let ValueReport { generation, first_offset, last_offset, count, is_final, figures } = value;
                let state = if *is_final { "final" } else { "open" };
                let revision = format!("generation {generation}, last offset {last_offset}, {state}");
                line("revision", Some(&revision))?;
                line("folded", Some(&format!("{count} measurements since offset {first_offset}")))?;
                line("figures", figures.as_ref().map(serde_json::to_string).transpose()?.as_deref())?;
            }
            None => line("value", Some(&format!("{} bytes, cannot be read", self.value_bytes)))?,
        }
        for header in &self.other_headers {
            line("header", Some(header))?;
        }
        Ok(text)
    }
}
