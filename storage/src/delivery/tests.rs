//! Tests of both roles over a real log and a store that fails as scripted.

mod restored;
mod retry;
mod sink;
