//! Policies that several jobs share.

use yahtzee::window::Policy;

/// Series of one window of one partition, for measurements that most apps do not have in most minutes. Memory is
/// set aside by this number.
const RARE_SERIES_MAX: usize = 5_000;

/// Returns the policy of jobs with rare measurements.
pub(crate) fn of_rare_measurements() -> Policy {
    Policy { series_max: RARE_SERIES_MAX, ..Policy::default() }
}
