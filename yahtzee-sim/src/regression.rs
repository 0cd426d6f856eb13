//! Runs that failed once, as text: a head, then one operation per line. They hold operations and not a seed, so that
//! they mean the same after the generator has changed.
//!
//! ```text
//! # anything
//! mutant production
//! property P4 commit
//! config partitions=1 slots=1 ...
//! advance 500
//! frame 1 0 0 0 -250 1
//! ```

use std::fmt;

use crate::config::Config;
use crate::failure::Property;
use crate::mutants::{Mutant, PRODUCTION, mutants};
use crate::ops::Op;
use crate::run::{Outcome, run_ops};

/// A list of operations under which a promise was broken, by production or by a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regression {
    /// Seed that it was found with.
    pub seed: u64,
    /// Name of the mutant; `production` for a mistake of ours.
    pub mutant: String,
    /// The promise.
    pub property: Property,
    pub(crate) config: Config,
    pub(crate) ops: Vec<Op>,
}

impl Regression {
    /// Reads the text form.
    ///
    /// # Errors
    /// The first line that cannot be read, or what is missing.
    pub fn parse(text: &str) -> Result<Self, UnreadableRegression> {
        let (mut seed, mut mutant, mut property, mut config, mut ops) = (None, None, None, None, Vec::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let unreadable = || UnreadableRegression(format!("cannot read the line `{line}`"));
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "seed" => seed = Some(rest.parse().map_err(|_| unreadable())?),
                "mutant" => mutant = Some(rest.to_owned()),
                "property" => property = Some(Property::named(rest).ok_or_else(unreadable)?),
                "config" => config = Some(Config::parse(rest).ok_or_else(unreadable)?),
                _ => ops.push(line.parse().map_err(|_| unreadable())?),
            }
        }
        let missing = |what: &str| UnreadableRegression(format!("the line `{what}` is missing"));
        Ok(Self {
            seed: seed.ok_or_else(|| missing("seed"))?,
            mutant: mutant.ok_or_else(|| missing("mutant"))?,
            property: property.ok_or_else(|| missing("property"))?,
            config: config.ok_or_else(|| missing("config"))?,
            ops,
        })
    }

    /// Runs the operations as things stand.
    #[must_use]
    pub fn replay(&self) -> Outcome {
        run_ops(&self.config, &self.ops, &PRODUCTION)
    }

    /// Runs them under the mutant that they were found with; `None` if there is no such mutant any more.
    #[must_use]
    pub fn replay_mutant(&self) -> Option<Outcome> {
        self.find_mutant().map(|mutant| run_ops(&self.config, &self.ops, &mutant))
    }

    /// The mutant that it was found with.
    pub(crate) fn find_mutant(&self) -> Option<Mutant> {
        if self.mutant == PRODUCTION.name {
            return Some(PRODUCTION);
        }
        mutants().into_iter().find(|mutant| mutant.name == self.mutant)
    }

    /// Number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether nothing happens in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

impl fmt::Display for Regression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, mutant, property, config, ops } = self;
        writeln!(formatter, "seed {seed}\nmutant {mutant}\nproperty {property}\nconfig{config}")?;
        ops.iter().try_for_each(|op| writeln!(formatter, "{op}"))
    }
}

/// Why a text is no regression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableRegression(String);

impl fmt::Display for UnreadableRegression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for UnreadableRegression {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::generate;

    #[test]
    fn text_form_round_trips_for_every_operation_there_is() {
        for seed in 0..100 {
            let (config, ops) = generate(seed);
            let regression =
                Regression { seed, mutant: "production".to_owned(), property: Property::Chain, config, ops };
            assert_eq!(Regression::parse(&regression.to_string()), Ok(regression));
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        fn check(text: &str, expected: &str) {
            let error = Regression::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        check("", "seed");
        check("seed 1\nmutant production\nproperty P4 commit\nconfig partitions=1\nfly 3\n", "fly 3");
        check("seed 1\nproperty P99 nonsense\n", "P99");
    }
}
