//! When each line of a recording counts as received, although some clock may be wrong.
//!
//! Believing a wrong time harms only the line that has it, since lines are sorted; disbelieving a right one loses its
//! minute. So a time is disbelieved only where the lines around it agree among themselves.

/// Distance, in microseconds, within which lines around a time agree with each other.
const AGREEING_US: i64 = 3_600_000_000;

/// Distance from lines that agree, in microseconds, from which on a time is not believed.
const BELIEVED_US: i64 = 24 * 3_600_000_000;

/// The same for the first and the last line, in microseconds: an app may be quiet for weeks.
const BELIEVED_AT_END_US: i64 = 30 * 24 * 3_600_000_000;

/// Lines on each side that a time is compared with.
const AROUND_LINES: usize = 10;

/// Share of these, in percent, that must agree before the time is disbelieved: clocks that contradict each other in turn are
/// all believed.
const AGREEING_PERCENT: usize = 80;

/// What a line says of its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineTime {
    /// Its own time, microseconds since 1970.
    pub(super) time_us: Option<i64>,
    /// Whether the platform wrote it. Its lines are measured, so that no app's clock decides about them.
    pub(super) is_platform: bool,
}

/// Returns when each line counts as received: at its own time, or, where it has none that can be believed, at that of the line
/// before it (of the line after it, for the first ones). Lines of the platform are compared among themselves.
pub(super) fn received_us(lines: &[LineTime]) -> Vec<Option<i64>> {
    let of_platform = received_among(lines, |line| line.is_platform);
    let of_all = received_among(lines, |_| true);
    let of_line =
        |((line, of_platform), of_all): ((&LineTime, Option<i64>), Option<i64>)| match line.is_platform {
            true => of_platform.or(of_all),
            false => of_all,
        };
    lines.iter().zip(of_platform).zip(of_all).map(of_line).collect()
}

/// Returns when lines count as received by the times of those that take part.
fn received_among(lines: &[LineTime], takes_part: impl Fn(&LineTime) -> bool) -> Vec<Option<i64>> {
    let own_us = |line: &LineTime| line.time_us.filter(|_| takes_part(line));
    let timed: Vec<i64> = lines.iter().filter_map(own_us).collect();
    let mut latest = (0..timed.len()).find(|&index| is_believed(&timed, index)).map(|index| timed[index]);
    let mut index = 0;
    let received = |line: &LineTime| {
        if let Some(time_us) = own_us(line) {
            if is_believed(&timed, index) {
                latest = Some(time_us);
            }
            index += 1;
        }
        latest
    };
    lines.iter().map(received).collect()
}

/// Returns whether a time is one of its surroundings: not far from lines on both sides of it that agree with each other. Where
/// lines are on one side only, a gap is told from a wrong clock by its length.
fn is_believed(times_us: &[i64], index: usize) -> bool {
    let time_us = times_us[index];
    let before = &times_us[index.saturating_sub(AROUND_LINES)..index];
    let after = &times_us[index + 1..times_us.len().min(index + 1 + AROUND_LINES)];
    let mut around: Vec<i64> = before.iter().chain(after).copied().collect();
    if around.len() < 2 {
        return true;
    }
    around.sort_unstable();
    // If most agree, the middle one is of them.
    let middle_us = around[around.len() / 2];
    let agrees = |&&other: &&i64| is_near(other, middle_us, AGREEING_US);
    let is_in_agreement = around.iter().filter(agrees).count() * 100 >= around.len() * AGREEING_PERCENT;
    if before.is_empty() || after.is_empty() {
        return !is_in_agreement || is_near(time_us, middle_us, BELIEVED_AT_END_US);
    }
    let is_between = before.iter().any(|other| agrees(&other)) && after.iter().any(|other| agrees(&other));
    !(is_in_agreement && is_between) || is_near(time_us, middle_us, BELIEVED_US)
}

fn is_near(one_us: i64, other_us: i64, distance_us: i64) -> bool {
    one_us.abs_diff(other_us) <= distance_us.unsigned_abs()
}
