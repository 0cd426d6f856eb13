//! The command line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use yahtzee_runtime::worker::Guarantee;

/// Break things around running workers, and compare what they publish with one pass over the raw topic.
///
/// Needs a broker in YAHTZEE_TEST_KAFKA, the S scenarios also servers in YAHTZEE_TEST_POSTGRES, YAHTZEE_TEST_POSTGRES_2
/// and YAHTZEE_TEST_PGBOUNCER, as `cargo xtask chaos` gives them, and the `yahtzee` program beside this one.
/// Exit code 0 only if everything that must be zero is.
#[derive(Clone, Debug, Parser)]
#[command(name = "chaos")]
pub(crate) struct Options {
    /// Which scenario, as in `C1`
    #[arg(required_unless_present = "list")]
    pub(crate) name: Option<String>,
    /// List the scenarios
    #[arg(long)]
    pub(crate) list: bool,
    /// How long faults go on, as in `60s`, `10m` or `1h`
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Print one JSON line instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the logs of all processes also where nothing went wrong
    #[arg(long)]
    pub(crate) keep: bool,
    /// Decides the input and the faults; by default the clock does
    #[arg(long, default_value_t = seed_of_now())]
    pub(crate) seed: u64,
    /// Raw records per second; each holds one to four measurements
    #[arg(long, value_name = "RECORDS", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: u32,
    /// Time between faults; by default a twelfth of the whole, at most five seconds
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) every: Option<Duration>,
    /// The guarantee of the workers; under at-least-once the summary topic and the commits may go back, the stores not
    #[arg(long, default_value = FENCED, value_parser = guarantee())]
    pub(crate) guarantee: Guarantee,
}

const FENCED: &str = "fenced";
const AT_LEAST_ONCE: &str = "at-least-once";

impl Options {
    /// Time between faults.
    pub(crate) fn interval(&self) -> Duration {
        let by_default = (self.duration / 12).clamp(Duration::from_secs(1), Duration::from_secs(5));
        self.every.unwrap_or(by_default)
    }

    /// Whether the workers fence each other.
    pub(crate) fn is_fenced(&self) -> bool {
        self.guarantee == Guarantee::Fenced
    }

    /// The guarantee as the configuration file names it.
    pub(crate) fn guarantee_name(&self) -> &'static str {
        match self.guarantee {
            Guarantee::Fenced => FENCED,
            Guarantee::AtLeastOnce => AT_LEAST_ONCE,
        }
    }
}

fn guarantee() -> impl clap::builder::TypedValueParser<Value = Guarantee> {
    PossibleValuesParser::new([FENCED, AT_LEAST_ONCE]).map(|name| match name.as_str() {
        AT_LEAST_ONCE => Guarantee::AtLeastOnce,
        _ => Guarantee::Fenced,
    })
}

fn seed_of_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err("write a whole number and s, m or h, as in 60s".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "there is no number".to_owned())?;
    Ok(Duration::from_secs(number * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guarantees_are_named_as_in_the_configuration() {
        for name in [FENCED, AT_LEAST_ONCE] {
            let options = Options::parse_from(["chaos", "C1", "--guarantee", name]);
            assert_eq!(options.guarantee_name(), name);
        }
        assert!(Options::parse_from(["chaos", "C1"]).is_fenced());
        assert!(Options::try_parse_from(["chaos", "C1", "--guarantee", "exactly-once"]).is_err());
    }

    #[test]
    fn times_have_a_unit() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(duration(text).ok(), expected.map(Duration::from_secs), "{text}");
        };
        check("60s", Some(60));
        check("10m", Some(600));
        check("1h", Some(3_600));
        check("60", None);
        check("s", None);
    }
}
