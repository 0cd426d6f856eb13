//! Report of commits, as text or JSON.

use std::fmt::Write as _;

use serde::Serialize;
use yahtzee_core::commit::{Commit, Identity, Unreadable};
use yahtzee_core::lost_tail::LostTail;
use yahtzee_core::owner::Partition;
use yahtzee_core::record::Offset;
use yahtzee_core::window::Window;
use yahtzee_runtime::log::{Bounds, CommittedOffset, TopicDescription};
use yahtzee_runtime::worker::JobPlan;

use super::flags::Flag;
use super::sinks::{SinkCommits, fine_text};
use yahtzee_runtime::utc;

/// A worker commits every few seconds: one whose watermark is older, with records that wait, does not read, or not fast
/// enough.
const BEHIND_MS: i64 = 2 * 60_000;

/// A committed offset with its metadata decoded.
pub(super) struct Committed {
    pub(super) offset: Offset,
    pub(super) parts: Result<CommitParts, Unreadable>,
}

/// Contents of the metadata.
pub(super) struct CommitParts {
    pub(super) commit: Commit,
    pub(super) identity: Identity,
}

impl Committed {
    /// Decodes a stored commit.
    pub(super) fn read(stored: &CommittedOffset) -> Self {
        let parts = Commit::read(stored.offset, &stored.metadata);
        Self {
            offset: stored.offset,
            parts: parts.map(|(commit, identity)| CommitParts { commit, identity }),
        }
    }
}

/// The commits of one job.
#[derive(Serialize)]
pub(super) struct JobCommits {
    job: &'static str,
    generation: u32,
    raw_topic: String,
    consumer_group: String,
    topic_partitions: u32,
    configured_partitions: u32,
    pub(super) partitions: Vec<CommittedPartition>,
    pub(super) sinks: Vec<SinkCommits>,
}

/// The commit of one partition.
#[derive(Serialize)]
pub(super) struct CommittedPartition {
    partition: u32,
    log_start: u64,
    log_end: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    committed_offset: Option<u64>,
    #[serde(flatten)]
    parts: Option<Decoded>,
    flags: Vec<Flag>,
}

/// The decoded metadata.
#[derive(Serialize)]
struct Decoded {
    position: u64,
    watermark: Option<String>,
    watermark_age_ms: Option<i64>,
    worker: String,
    generation: u32,
    position_lag: u64,
    replay_lag: u64,
    open_windows: Vec<OpenWindow>,
    incomplete_through: Option<String>,
    incomplete_windows: Vec<String>,
    losses: Vec<Loss>,
}

/// What the log has lost from its end before the generation began.
#[derive(Serialize)]
struct Loss {
    /// From here on everything was appended after the loss.
    kept_before: u64,
    /// Windows that may lack records; `None` until the worker has passed the place.
    first_window: Option<String>,
    last_window: Option<String>,
}

#[derive(Serialize)]
struct OpenWindow {
    window: String,
    first_offset: u64,
}

impl JobCommits {
    pub(super) fn of(
        plan: &JobPlan,
        topic: &TopicDescription,
        consumer_group: String,
        configured_partitions: u32,
    ) -> Self {
        Self {
            job: plan.job.name(),
            generation: plan.generation,
            raw_topic: topic.name.clone(),
            consumer_group,
            topic_partitions: topic.partitions,
            configured_partitions,
            partitions: Vec::new(),
            sinks: Vec::new(),
        }
    }

    /// Returns one line and the partitions that need a look, or `all` of them.
    pub(super) fn text(&self, all: bool) -> String {
        let Self {
            job, generation, raw_topic, consumer_group, topic_partitions, configured_partitions, ..
        } = self;
        let summary = self.summary();
        let mut text = format!("{job} (generation {generation})  {summary}  {raw_topic}  {consumer_group}\n");
        if topic_partitions != configured_partitions {
            text += &format!(
                "  ! the topic has {topic_partitions} partitions, configured are {configured_partitions}: workers \
                 refuse it; set topics.partitions = {topic_partitions}\n"
            );
        }
        let shown = self.partitions.iter().filter(|part| all || part.needs_a_look());
        let shown: String = shown.map(CommittedPartition::text).collect();
        if !shown.is_empty() {
            text += "  part  worker             offset c  position h   pos lag  replay lag  log                     watermark (age)\n";
            text += &shown;
        }
        self.sinks.iter().for_each(|sink| text += &sink.text(all));
        text
    }

    /// Returns how many partitions need a look, both lags, and the age of the oldest watermark.
    fn summary(&self) -> String {
        let fine = self.partitions.iter().filter(|part| !part.needs_a_look()).count();
        let parts = || self.partitions.iter().filter_map(|part| part.parts.as_ref());
        let position_lag: u64 = parts().map(|parts| parts.position_lag).sum();
        let replay_lag: u64 = parts().map(|parts| parts.replay_lag).sum();
        let mut text = fine_text(fine, self.partitions.len());
        text += &format!(", position lag {position_lag}, replay lag {replay_lag}");
        if let Some(age_ms) = parts().filter_map(|parts| parts.watermark_age_ms).max() {
            text += &format!(", watermark {} old", age_text(age_ms));
        }
        text
    }
}

impl CommittedPartition {
    pub(super) fn of(
        partition: Partition,
        bounds: &Bounds,
        committed: Option<Committed>,
        flags: Vec<Flag>,
        now_ms: i64,
    ) -> Self {
        let committed_offset = committed.as_ref().map(|committed| committed.offset.0);
        let parts = committed.and_then(|committed| committed.parts.ok());
        Self {
            partition: partition.0,
            log_start: bounds.start.0,
            log_end: bounds.end.0,
            committed_offset,
            parts: parts.map(|parts| Decoded::of(&parts, bounds.end, now_ms)),
            flags,
        }
    }

    /// Returns whether an operator should look at it.
    fn needs_a_look(&self) -> bool {
        !self.flags.is_empty()
            || self.parts.as_ref().is_some_and(|parts| parts.is_behind() || parts.has_gaps())
    }

    fn text(&self) -> String {
        let Self { partition, log_start, log_end, committed_offset, parts, flags } = self;
        let (log, offset) =
            (format!("{log_start}..{log_end}"), committed_offset.map(|offset| offset.to_string()));
        let offset = offset.unwrap_or_else(|| "-".to_owned());
        let mut text = match parts {
            Some(parts) => {
                let Decoded { worker, position, position_lag, replay_lag, .. } = parts;
                let watermark = parts.watermark_text();
                format!(
                    "  {partition:>4}  {worker:<16} {offset:>10} {position:>11} {position_lag:>9} {replay_lag:>11}  \
                     {log:<22}  {watermark}\n"
                )
            }
            None => format!(
                "  {partition:>4}  {:<16} {offset:>10} {:>11} {:>9} {:>11}  {log:<22}\n",
                "-", "-", "-", "-"
            ),
        };
        if let Some(parts) = parts {
            text += &parts.windows_text();
            if parts.is_behind() {
                text += "        ! behind: records wait that no worker has read for minutes; see `yahtzee assign`\n";
            }
        }
        flags.iter().for_each(|flag| writeln!(text, "        ! {flag}").expect("a String takes any text"));
        text
    }
}

impl Decoded {
    fn of(parts: &CommitParts, log_end: Offset, now_ms: i64) -> Self {
        let CommitParts { commit, identity } = parts;
        let text = |window: Window| utc::window_start(window, identity.window_length_ms);
        let open = commit.open().iter();
        let loss = |&LostTail { kept_before, windows, .. }: &LostTail| Loss {
            kept_before: kept_before.0,
            first_window: windows
                .filter(|(first, _)| *first != Window(i64::MIN))
                .map(|(first, _)| text(first)),
            last_window: windows.map(|(_, last)| text(last)),
        };
        Self {
            position: commit.position().0,
            watermark: commit.watermark_ms().map(utc::date_and_time),
            watermark_age_ms: commit.watermark_ms().map(|watermark_ms| now_ms - watermark_ms),
            worker: identity.owner_tag.to_string(),
            generation: identity.generation,
            position_lag: log_end.0.saturating_sub(commit.position().0),
            replay_lag: commit.position().0.saturating_sub(commit.replay_offset().0),
            open_windows: open
                .map(|&(window, first)| OpenWindow { window: text(window), first_offset: first.0 })
                .collect(),
            incomplete_through: commit.incomplete().reach_through().map(text),
            incomplete_windows: commit.incomplete().windows().map(text).collect(),
            losses: commit.losses().iter().map(loss).collect(),
        }
    }

    /// Returns whether records wait that no worker has read for long.
    fn is_behind(&self) -> bool {
        self.position_lag > 0 && self.watermark_age_ms.is_none_or(|age_ms| age_ms > BEHIND_MS)
    }

    /// Returns whether windows have lost input.
    fn has_gaps(&self) -> bool {
        self.incomplete_through.is_some() || !self.incomplete_windows.is_empty() || !self.losses.is_empty()
    }

    fn watermark_text(&self) -> String {
        match (&self.watermark, self.watermark_age_ms) {
            (Some(watermark), Some(age_ms)) => format!("{watermark} ({})", age_text(age_ms)),
            _ => "none".to_owned(),
        }
    }

    fn windows_text(&self) -> String {
        let mut text = String::new();
        if !self.open_windows.is_empty() {
            let each = |open: &OpenWindow| format!("{} from {}", open.window, open.first_offset);
            let open: Vec<String> = self.open_windows.iter().map(each).collect();
            text += &format!("        open: {}\n", open.join(", "));
        }
        if let Some(last) = &self.incomplete_through {
            text += &format!("        incomplete: all up to {last}\n");
        }
        if !self.incomplete_windows.is_empty() {
            text += &format!("        incomplete: {}\n", self.incomplete_windows.join(", "));
        }
        for Loss { kept_before, first_window, last_window } in &self.losses {
            let windows = match (first_window, last_window) {
                (Some(first), Some(last)) if first == last => format!("window {first}"),
                (Some(first), Some(last)) => format!("windows {first} to {last}"),
                (None, Some(last)) => format!("all windows up to {last}"),
                (_, None) => {
                    text += &format!(
                        "        lost: records, at or before {kept_before}; windows are named once that is read\n"
                    );
                    continue;
                }
            };
            text +=
                &format!("        lost: records of {windows}, not published; kept before {kept_before}\n");
        }
        text
    }
}

/// Formats an age in milliseconds, in the largest unit of which there are two or more.
fn age_text(age_ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let unit = units.into_iter().find(|(unit_ms, _)| age_ms >= 2 * unit_ms);
    unit.map_or_else(|| format!("{age_ms} ms"), |(unit_ms, name)| format!("{} {name}", age_ms / unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(change: impl FnOnce(&mut Decoded)) -> CommittedPartition {
        let mut parts = Decoded {
            position: 90,
            watermark: None,
            watermark_age_ms: Some(1_000),
            worker: "0/1".to_owned(),
            generation: 1,
            position_lag: 0,
            replay_lag: 7,
            open_windows: Vec::new(),
            incomplete_through: None,
            incomplete_windows: Vec::new(),
            losses: Vec::new(),
        };
        change(&mut parts);
        let (log_start, log_end, committed_offset) = (0, 90, Some(83));
        CommittedPartition {
            partition: 5,
            log_start,
            log_end,
            committed_offset,
            parts: Some(parts),
            flags: Vec::new(),
        }
    }

    #[test]
    fn partitions_with_faults_gaps_or_unread_records_need_a_look() {
        fn check(part: &CommittedPartition, expected: bool) {
            assert_eq!(part.needs_a_look(), expected, "{}", part.text());
        }
        check(&partition(|_| {}), false);
        // The log is idle, or recorded: nothing waits.
        check(&partition(|parts| parts.watermark_age_ms = Some(86_400_000)), false);
        // What has just come, and is not committed yet.
        check(&partition(|parts| parts.position_lag = 10_000), false);
        let behind = |age_ms| partition(|parts| (parts.position_lag, parts.watermark_age_ms) = (1, age_ms));
        check(&behind(Some(BEHIND_MS)), false);
        check(&behind(Some(BEHIND_MS + 1)), true);
        check(&behind(None), true);
        assert!(behind(None).text().contains("! behind"), "{}", behind(None).text());
        check(&partition(|parts| parts.incomplete_through = Some("then".to_owned())), true);
        check(&partition(|parts| parts.incomplete_windows.push("then".to_owned())), true);
        let loss = |first: Option<&str>, last: Option<&str>| Loss {
            kept_before: 7,
            first_window: first.map(str::to_owned),
            last_window: last.map(str::to_owned),
        };
        for (first, windows) in [
            (Some("then"), "windows then to later"),
            (Some("later"), "window later"),
            (None, "all windows up to later"),
        ] {
            let named = partition(|parts| parts.losses.push(loss(first, Some("later"))));
            check(&named, true);
            let expected = format!("lost: records of {windows}, not published");
            assert!(named.text().contains(&expected), "{}", named.text());
        }
        let pending = partition(|parts| parts.losses.push(loss(None, None)));
        check(&pending, true);
        assert!(pending.text().contains("lost: records, at or before 7"), "{}", pending.text());
        check(&CommittedPartition { flags: vec![Flag::NearLogStart], ..partition(|_| {}) }, true);
        let empty = CommittedPartition { parts: None, committed_offset: None, ..partition(|_| {}) };
        check(&empty, false);
    }

    #[test]
    fn ages_are_told_in_the_largest_fitting_unit() {
        let check = |age_ms, expected| assert_eq!(age_text(age_ms), expected);
        check(-5, "-5 ms");
        check(1_999, "1999 ms");
        check(2_000, "2 s");
        check(119_999, "119 s");
        check(7_200_000, "2 h");
        check(172_800_000, "2 d");
    }
}
