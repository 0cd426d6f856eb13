//! Names in the style of the platform: `proud-river-1234`.

use crate::rng::Rng;

const ADJECTIVES: &[&str] = &[
    "amber", "bold", "brisk", "calm", "clear", "cool", "crimson", "eager", "early", "fair", "gentle",
    "golden", "humble", "keen", "lively", "lucky", "mellow", "misty", "noble", "polar", "proud", "quiet",
    "rapid", "silent", "silver", "solid", "sunny", "swift", "tidy", "warm", "wild", "young",
];

const NOUNS: &[&str] = &[
    "bay", "brook", "canyon", "cloud", "coast", "creek", "dawn", "delta", "dune", "field", "forest",
    "garden", "glade", "grove", "harbor", "hill", "island", "lake", "leaf", "meadow", "moon", "ocean",
    "peak", "pine", "plain", "reef", "ridge", "river", "shore", "stone", "valley", "wave",
];

/// Returns an app's name.
pub(super) fn app_name(rng: &mut Rng) -> String {
    let (adjective, noun) = (rng.pick(ADJECTIVES), rng.pick(NOUNS));
    format!("{adjective}-{noun}-{:04}", rng.below(10_000))
}

/// Returns an add-on's name: `postgresql-keen-reef-1234`.
pub(super) fn add_on_name(service: &str, rng: &mut Rng) -> String {
    format!("{service}-{}", app_name(rng))
}
