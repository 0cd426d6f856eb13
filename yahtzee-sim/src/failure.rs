//! What a run can get wrong.

use std::fmt;

/// A promise with a checker of its own.
///
/// P13 (a warm restart gives the same bytes as a cold one) is missing: there is no warm restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// Topic and stores end equal to a batch fold of the raw log.
    Final,
    /// No reader sees a summary go backwards.
    NoDip,
    /// Every summary is the fold of a prefix of the log; equal revisions mean equal bytes.
    Chain,
    /// No commit forgets what is not finished.
    Commit,
    /// Once nothing fails any more, everything catches up.
    Liveness,
    /// Where nothing fails, summaries are young.
    Freshness,
    /// One owner's input does not change another's summaries.
    Isolation,
    /// Every measurement and every dead letter is accounted for.
    Conservation,
    /// State stays below the configured bound.
    Memory,
    /// Windows that lost input are named, and no others.
    Incomplete,
    /// A store behind the revision guard keeps the greatest, whatever its sinks do.
    Stores,
    /// One seed gives one run.
    Determinism,
    /// What a partition emits does not depend on other partitions.
    Interleaving,
    /// No clock that is wrong moves a watermark further than the log allows.
    Clocks,
    /// No process takes a slot back from a successor that has committed.
    Succession,
}

const NAMES: [(Property, &str); 15] = [
    (Property::Final, "P1 final"),
    (Property::NoDip, "P2 no dip"),
    (Property::Chain, "P3 chain"),
    (Property::Commit, "P4 commit"),
    (Property::Liveness, "P5 liveness"),
    (Property::Freshness, "P6 freshness"),
    (Property::Isolation, "P7 isolation"),
    (Property::Conservation, "P8 conservation"),
    (Property::Memory, "P9 memory"),
    (Property::Incomplete, "P10 incomplete"),
    (Property::Stores, "P11 stores"),
    (Property::Determinism, "P12 determinism"),
    (Property::Interleaving, "P14 interleaving"),
    (Property::Clocks, "P15 clocks"),
    (Property::Succession, "P16 succession"),
];

impl Property {
    /// Number in the list of properties, and name.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(property, _)| *property == self).map_or("", |(_, name)| name)
    }

    /// The property of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|&(property, _)| property)
    }
}

impl fmt::Display for Property {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A promise that was broken, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which promise.
    pub property: Property,
    /// Where, and how it differs.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.property, self.what)
    }
}

/// A failing run tells the same story over and over: so many failures of one property are enough.
const FAILURES_MAX: usize = 5;

/// Failures as they are found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) failures: Vec<Failure>,
}

impl Findings {
    pub(crate) fn fail(&mut self, property: Property, what: impl FnOnce() -> String) {
        let of_property = self.failures.iter().filter(|failure| failure.property == property).count();
        if of_property < FAILURES_MAX {
            self.failures.push(Failure { property, what: what() });
        }
    }
}
