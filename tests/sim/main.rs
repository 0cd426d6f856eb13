//! The promises, held by a simulated world: many seeds, known failures, and every rule replaced by a mistake.
//!
//! A seed that fails here is shrunk by `cargo xtask simulate --from SEED --seeds 1`, which leaves its operations in
//! `regressions/`.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod mutation;
mod regressions;
mod seeds;
mod small_scope;

/// Threads that a test may use.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
