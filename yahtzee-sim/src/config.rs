//! What a world is like: drawn from the seed, and written down at the head of a regression file.

use std::fmt;

use yahtzee_core::slot::WriteMax;
use yahtzee_core::window::Policy;

use crate::rng::{Rng, mix};

/// More effects than ever wait: with this, a write takes all.
pub(crate) const WHOLE_WRITE: u64 = 10_000;

/// How long nothing but turns happens in a calm run: several times as long as a commit stays unrenewed.
pub(crate) const NIGHT_MS: u64 = 30 * 60 * 1_000;

/// Declares the configuration once: fields, their text form and its reading.
macro_rules! config {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// A world's configuration. All numbers, so that it has one plain text form.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct Config {
            $($(#[$doc])+ pub(crate) $name: u64,)+
        }

        impl fmt::Display for Config {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(write!(formatter, concat!(" ", stringify!($name), "={}"), self.$name)?;)+
                Ok(())
            }
        }

        impl Config {
            /// Reads the text form; `None` where a key or a number is unknown.
            pub(crate) fn parse(text: &str) -> Option<Self> {
                let mut config = Self::default();
                for pair in text.split_whitespace() {
                    let (key, value) = pair.split_once('=')?;
                    let value = value.parse().ok()?;
                    match key {
                        $(stringify!($name) => config.$name = value,)+
                        _ => return None,
                    }
                }
                Some(config)
            }
        }
    };
}

config! {
    /// Partitions of the raw topic.
    partitions,
    /// Slots they are grouped into.
    slots,
    /// Window length in milliseconds.
    length_ms,
    /// `L`.
    lateness,
    /// `F`.
    future,
    /// Flush interval in milliseconds.
    flush_ms,
    /// Greatest difference between two ingress clocks, milliseconds.
    skew_ms,
    /// Series per window.
    series_max,
    /// Series per owner and window.
    series_per_owner_max,
    /// 1 if late and early measurements are published.
    publishes_late,
    /// 1 for the fenced guarantee, 0 for at least once.
    is_fenced,
    /// After this many milliseconds the coordinator aborts a transaction.
    transaction_timeout_ms,
    /// After this many milliseconds the broker forgets an offset that nobody has committed again; 0 for never.
    offset_retention_ms,
    /// Effects that are written without waiting for a tick.
    backlog_max,
    /// Effects of one partition that one write takes.
    write_max,
    /// 1 if a fenced process starts its slot again instead of ending.
    reopens_when_fenced,
    /// 1 if transaction ends may arrive twice, the second time late: then only the stores are checked.
    has_stray_ends,
    /// 1 if nothing fails: then freshness is checked.
    is_calm,
    /// 1 if the run is repeated without one owner, and with other interleavings.
    checks_twice,
    /// Tenants.
    owners,
    /// Worker processes at the start and at the end.
    workers,
    /// 1 if a slot goes on reading while a write waits for its answer.
    folds_beside_writes,
    /// Which setting every other process has another value of, once there are commits: 0 for none, else see
    /// [`Config::of_process`].
    other_setting,
    /// What raw logs lose but for retention: 0 for nothing, 1 for their newest records, 2 for everything, once, because the
    /// topic is deleted and made anew.
    loses_logs,
    /// Bytes of one write; 0 for no bound.
    write_bytes_max,
    /// Bytes by which every third frame, and every value that cannot be read, is larger than it has to be.
    large_bytes,
}

/// Numbers of the settings that can differ.
const OTHER_SETTINGS: u64 = 5;

impl Config {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let is_calm = u64::from(rng.chance(60));
        let length_ms = if is_calm == 1 { rng.pick(&[1_000, 2_000]) } else { rng.pick(&[1_000, 60_000]) };
        let partitions = rng.pick(&[1, 1, 1, 2, 2, 3, 4, 8]);
        let is_fenced = u64::from(rng.chance(600));
        let mut config = Self {
            partitions,
            slots: rng.within(1, partitions.min(4)),
            length_ms,
            lateness: rng.pick(&[0, 1, 1, 2, 3, 5]),
            future: rng.pick(&[0, 1, 1, 2]),
            flush_ms: rng.pick(&[length_ms / 60, length_ms / 6, length_ms / 3, length_ms / 2]),
            skew_ms: rng.pick(&[0, length_ms / 4, length_ms, 2 * length_ms]),
            series_max: rng.pick(&[2, 5, 12, 25, 60]),
            series_per_owner_max: rng.pick(&[1, 2, 4, 8, 20]),
            publishes_late: rng.below(2),
            is_fenced,
            transaction_timeout_ms: rng.pick(&[10_000, 15_000, 60_000]),
            offset_retention_ms: is_calm * NIGHT_MS / 2,
            backlog_max: rng.pick(&[3, 20, 10_000]),
            write_max: rng.pick(&[2, WHOLE_WRITE, WHOLE_WRITE]),
            reopens_when_fenced: u64::from(rng.chance(250)),
            has_stray_ends: u64::from(is_calm == 0 && is_fenced == 1 && rng.chance(150)),
            is_calm,
            checks_twice: u64::from(rng.chance(200)),
            owners: rng.within(1, 6),
            workers: rng.within(1, 3),
            // Of the state alone, without a draw: seeds from before mean the same.
            folds_beside_writes: mix(rng.clone().word()) % 2,
            other_setting: match mix(rng.clone().word() ^ 1) % 10 {
                setting @ 1..=OTHER_SETTINGS if is_calm == 0 => setting,
                _ => 0,
            },
            loses_logs: 0,
            write_bytes_max: 0,
            large_bytes: match mix(rng.clone().word() ^ 4) % 5 {
                0 => 600,
                // More than a dead letter keeps.
                1 => 6_000,
                _ => 0,
            },
        };
        config.loses_logs = match mix(rng.clone().word() ^ 2) % 4 {
            loss @ 1..=2 if config.may_lose_logs() => loss,
            _ => 0,
        };
        config.write_bytes_max = match mix(rng.clone().word() ^ 3) % 10 {
            _ if config.loses_logs > 0 => 0,
            // Less than any effect, about two, and about twenty small ones.
            0 => 1,
            1 => 400,
            2 => 4_000,
            _ => 0,
        };
        config
    }

    /// Whether a write takes all that waits.
    pub(crate) fn has_whole_writes(&self) -> bool {
        self.write_max >= WHOLE_WRITE && self.write_bytes_max == 0
    }

    /// The bound of one write.
    pub(crate) fn write_max(&self) -> WriteMax {
        let size = |number: u64| usize::try_from(number).expect("drawn far below 2^32");
        let bytes = if self.write_bytes_max == 0 { usize::MAX } else { size(self.write_bytes_max) };
        WriteMax { effects: size(self.write_max), bytes }
    }

    /// What a frame has beside its measurements.
    pub(crate) fn filling_of(&self, frame: u64) -> Vec<u8> {
        let bytes = if frame.is_multiple_of(3) { self.large_bytes } else { 0 };
        vec![0; usize::try_from(bytes).expect("drawn far below 2^32")]
    }

    /// Whether what is published is committed at the same time, by nobody who is refused for something else: a loss then
    /// concerns summaries only if a commit tells so.
    fn may_lose_logs(&self) -> bool {
        let is_exact = self.is_topic_exact() && self.has_whole_writes();
        is_exact && self.is_calm == 0 && self.other_setting == 0
    }

    /// The configuration of a process: every other one has another value of a setting that decides what is accepted.
    pub(crate) fn of_process(&self, process: u64) -> Self {
        let mut other = *self;
        match self.other_setting {
            _ if !process.is_multiple_of(2) => {}
            1 => other.lateness += 1,
            2 => other.lateness = self.lateness.saturating_sub(1),
            3 => other.series_max += 20,
            4 => other.future += 1,
            5 => other.slots = if self.slots == self.partitions { 1 } else { self.partitions },
            _ => {}
        }
        other
    }

    pub(crate) fn policy(&self) -> Policy {
        let small = |number: u64| u32::try_from(number).expect("drawn far below 2^32");
        let size = |number: u64| usize::try_from(number).expect("drawn far below 2^32");
        Policy {
            length_ms: small(self.length_ms),
            lateness_windows: small(self.lateness),
            future_windows: small(self.future),
            flush_interval_ms: self.flush_ms,
            clock_skew_ms: small(self.skew_ms),
            series_max: size(self.series_max),
            series_per_owner_max: size(self.series_per_owner_max),
            publishes_late: self.publishes_late == 1,
        }
    }

    pub(crate) fn partition_count(&self) -> u32 {
        u32::try_from(self.partitions).expect("drawn far below 2^32")
    }

    pub(crate) fn slot_count(&self) -> u32 {
        u32::try_from(self.slots).expect("drawn far below 2^32")
    }

    /// How far ahead of the broker a stamp may be: the rest of the difference between two clocks is for one that is behind.
    pub(crate) fn timestamp_ahead_max_ms(&self) -> i64 {
        i64::try_from(self.skew_ms / 2).expect("drawn far below 2^63")
    }

    /// Whether the summary topic itself, and not only a store behind the revision guard, must be right.
    pub(crate) fn is_topic_exact(&self) -> bool {
        self.is_fenced == 1 && self.has_stray_ends == 0
    }

    /// Series of one window at most, `other` series included.
    pub(crate) fn series_bound(&self) -> u64 {
        self.series_max + self.series_max / 8 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        for seed in 0..50 {
            let config = Config::draw(&mut Rng::new(seed));
            assert_eq!(Config::parse(&config.to_string()), Some(config));
        }
        assert_eq!(Config::parse("partitions=x"), None);
        assert_eq!(Config::parse("colour=1"), None);
    }
}
