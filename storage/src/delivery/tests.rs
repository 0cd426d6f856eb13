//! Tests of both roles over a real log and a store that fails as scripted.

mod retry;
mod sink;
