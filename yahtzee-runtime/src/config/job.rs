//! `[jobs.NAME]`: the window policy of a job.

use serde::{Deserialize, Serialize};
use yahtzee_core::window::Policy;

use super::error::ConfigError;

/// Window policy of one job. Absent keys leave the job's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobSection {
    /// Generation, where it is greater than that of the job's code: the job then folds anew what the log keeps, in a
    /// consumer group of its own, and its summaries replace those of before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// Length of a window in milliseconds (60,000). A change needs a new generation of the job.
    pub window_length_ms: Option<u32>,
    /// Windows behind the watermark that are still accepted (5).
    pub lateness_windows: Option<u32>,
    /// Windows ahead of a record's own stamp that are accepted (1).
    pub future_windows: Option<u32>,
    /// A changed summary goes out at most once per this time, in milliseconds (10,000).
    pub flush_interval_ms: Option<u64>,
    /// Greatest difference between the clocks of two ingress processes, in milliseconds (60,000).
    pub clock_skew_ms: Option<u32>,
    /// Series of one window of one partition at most (20,000); further ones go to `(other)`.
    pub series_max: Option<usize>,
    /// Series of one owner in one window at most (1,000); further ones go to `(other)`.
    pub series_per_owner_max: Option<usize>,
    /// True writes what comes outside its windows to the LATE topic (false).
    pub publish_late: Option<bool>,
}

impl JobSection {
    /// Checks the section of the job called `name`.
    ///
    /// # Errors
    /// If a length is 0, or more windows would be open than a commit can name.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        let policy = self.policy(Policy::default());
        policy.check().map_err(|error| ConfigError::Contradiction(format!("jobs.{name}.{error}")))?;
        Ok(())
    }

    /// Returns the section with every key of a policy; the generation is that of the section.
    #[must_use]
    pub fn with_policy(&self, policy: &Policy) -> Self {
        Self {
            generation: self.generation,
            window_length_ms: Some(policy.length_ms),
            lateness_windows: Some(policy.lateness_windows),
            future_windows: Some(policy.future_windows),
            flush_interval_ms: Some(policy.flush_interval_ms),
            clock_skew_ms: Some(policy.clock_skew_ms),
            series_max: Some(policy.series_max),
            series_per_owner_max: Some(policy.series_per_owner_max),
            publish_late: Some(policy.publishes_late),
        }
    }

    /// Returns the policy in force: the job's own where the section is silent.
    #[must_use]
    pub fn policy(&self, own: Policy) -> Policy {
        Policy {
            length_ms: self.window_length_ms.unwrap_or(own.length_ms),
            lateness_windows: self.lateness_windows.unwrap_or(own.lateness_windows),
            future_windows: self.future_windows.unwrap_or(own.future_windows),
            flush_interval_ms: self.flush_interval_ms.unwrap_or(own.flush_interval_ms),
            clock_skew_ms: self.clock_skew_ms.unwrap_or(own.clock_skew_ms),
            series_max: self.series_max.unwrap_or(own.series_max),
            series_per_owner_max: self.series_per_owner_max.unwrap_or(own.series_per_owner_max),
            publishes_late: self.publish_late.unwrap_or(own.publishes_late),
        }
    }
}
