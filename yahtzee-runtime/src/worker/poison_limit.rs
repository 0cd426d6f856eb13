//! Limits on unusable input: they stop a job before a bad deploy drains a topic into the DLQ.

/// When too much is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoisonLimits {
    /// Unusable records in a row.
    pub run_max: u64,
    /// Unusable records per hundred, over 10,000 records.
    pub percent_max: u64,
}

impl Default for PoisonLimits {
    fn default() -> Self {
        Self { run_max: 1_000, percent_max: 50 }
    }
}

/// Records over which the share of unusable ones is judged.
const WINDOW_RECORDS: u64 = 10_000;

/// Counts unusable records against the limits.
#[derive(Debug)]
pub(super) struct PoisonLimit {
    limits: PoisonLimits,
    run: u64,
    records: u64,
    poison: u64,
}

impl PoisonLimit {
    pub(super) fn new(limits: PoisonLimits) -> Self {
        Self { limits, run: 0, records: 0, poison: 0 }
    }

    /// Counts one record and returns the text of the limit that is passed, if one is.
    pub(super) fn count(&mut self, is_poison: bool) -> Option<String> {
        self.run = if is_poison { self.run + 1 } else { 0 };
        self.poison += u64::from(is_poison);
        self.records += 1;
        if self.run > self.limits.run_max {
            return Some(format!("{} records in a row cannot be used", self.run));
        }
        if self.records == WINDOW_RECORDS {
            let percent = self.poison * 100 / self.records;
            (self.records, self.poison) = (0, 0);
            if percent > self.limits.percent_max {
                return Some(format!("{percent} % of the last {WINDOW_RECORDS} records cannot be used"));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds runs of good and bad records and tells after how many the limit is passed.
    fn check(pattern: &[(u64, bool)], expected: Option<u64>) {
        let mut limit = PoisonLimit::new(PoisonLimits { run_max: 100, percent_max: 20 });
        let records = pattern.iter().flat_map(|&(count, is_poison)| (0..count).map(move |_| is_poison));
        let acted = records.zip(1..).find_map(|(is_poison, number)| limit.count(is_poison).map(|_| number));
        assert_eq!(acted, expected, "{pattern:?}");
    }

    #[test]
    fn a_long_run_or_a_large_share_stops_the_job() {
        check(&[(50_000, false)], None);
        check(&[(100, true), (1, false), (100, true)], None);
        check(&[(7, false), (101, true)], Some(108));
        check(&[(90, true), (310, false)].repeat(100), Some(10_000));
        check(&[(40, true), (360, false)].repeat(100), None);
        check(&[(20, true), (80, false)].repeat(500), None);
        check(&[(21, true), (79, false)].repeat(500), Some(10_000));
    }
}
