//! `[sink.delivery]` and `[sink.retry]`: limits and times of the sink and of the retry process.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use yahtzee_core::delivery::WaitBounds;
use yahtzee_runtime::config::ConfigError;

use crate::delivery::DeliverySettings;

/// Settings that differ from the defaults of a sink or a retry process ([`DeliverySettings`] explains them).
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of DeliverySettings, with their units")]
pub struct DeliverySection {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_max: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linger_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_max: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_bytes_max: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back_off_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back_off_max_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair_back_off_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair_back_off_max_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_interval_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub append_timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_interval_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout_ms: Option<u64>,
}

impl DeliverySection {
    /// Returns the section with every key.
    #[must_use]
    pub fn of(settings: &DeliverySettings) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).ok();
        Self {
            batch_max: Some(settings.batch_max),
            linger_ms: ms(settings.linger),
            queue_max: Some(settings.queue_max),
            queue_bytes_max: Some(settings.queue_bytes_max),
            // No number of a file is without a bound.
            span_max: Some(settings.span_max).filter(|&bound| bound < u64::MAX),
            patience_ms: ms(settings.patience),
            retry_after_ms: ms(settings.retry_after),
            back_off_ms: ms(settings.back_off.base),
            back_off_max_ms: ms(settings.back_off.cap),
            repair_back_off_ms: ms(settings.repair_back_off.base),
            repair_back_off_max_ms: ms(settings.repair_back_off.cap),
            commit_interval_ms: ms(settings.commit_interval),
            append_timeout_ms: ms(settings.append_deadline),
            report_interval_ms: ms(settings.report_interval),
            stop_timeout_ms: ms(settings.stop_deadline),
        }
    }

    /// Returns `defaults` with the values of the section, named `name` in errors.
    pub(super) fn check(
        self,
        name: &str,
        defaults: DeliverySettings,
    ) -> Result<DeliverySettings, ConfigError> {
        let time = |value: Option<u64>, default| value.map_or(default, Duration::from_millis);
        let bounds = |base, cap, default: WaitBounds| WaitBounds {
            base: time(base, default.base),
            cap: time(cap, default.cap),
        };
        let settings = DeliverySettings {
            batch_max: self.batch_max.unwrap_or(defaults.batch_max),
            linger: time(self.linger_ms, defaults.linger),
            queue_max: self.queue_max.unwrap_or(defaults.queue_max),
            queue_bytes_max: self.queue_bytes_max.unwrap_or(defaults.queue_bytes_max),
            span_max: self.span_max.unwrap_or(defaults.span_max),
            patience: time(self.patience_ms, defaults.patience),
            retry_after: time(self.retry_after_ms, defaults.retry_after),
            back_off: bounds(self.back_off_ms, self.back_off_max_ms, defaults.back_off),
            repair_back_off: bounds(
                self.repair_back_off_ms,
                self.repair_back_off_max_ms,
                defaults.repair_back_off,
            ),
            commit_interval: time(self.commit_interval_ms, defaults.commit_interval),
            append_deadline: time(self.append_timeout_ms, defaults.append_deadline),
            report_interval: time(self.report_interval_ms, defaults.report_interval),
            stop_deadline: time(self.stop_timeout_ms, defaults.stop_deadline),
        };
        match contradiction(&settings) {
            None => Ok(settings),
            Some(reason) => Err(ConfigError::Contradiction(format!("{name}: {reason}"))),
        }
    }
}

/// Returns the first rule that the settings break.
fn contradiction(settings: &DeliverySettings) -> Option<String> {
    let DeliverySettings { batch_max, queue_max, .. } = *settings;
    if batch_max == 0 || queue_max < batch_max {
        let bounds = "batch_max must be at least 1, and queue_max at least batch_max";
        return Some(format!("batch_max = {batch_max}, queue_max = {queue_max}: {bounds}"));
    }
    let positive = [
        ("queue_bytes_max", settings.queue_bytes_max == 0),
        ("span_max", settings.span_max == 0),
        ("back_off_ms", settings.back_off.base.is_zero()),
        ("repair_back_off_ms", settings.repair_back_off.base.is_zero()),
        ("commit_interval_ms", settings.commit_interval.is_zero()),
        ("append_timeout_ms", settings.append_deadline.is_zero()),
        ("report_interval_ms", settings.report_interval.is_zero()),
        ("stop_timeout_ms", settings.stop_deadline.is_zero()),
    ];
    if let Some((key, _)) = positive.into_iter().find(|(_, is_zero)| *is_zero) {
        return Some(format!("{key} = 0 must be at least 1"));
    }
    let waits = [("back_off", settings.back_off), ("repair_back_off", settings.repair_back_off)];
    let (key, WaitBounds { base, cap }) = waits.into_iter().find(|(_, bounds)| bounds.cap < bounds.base)?;
    let (base, cap) = (base.as_millis(), cap.as_millis());
    Some(format!("{key}_max_ms = {cap} must be at least {key}_ms = {base}"))
}
