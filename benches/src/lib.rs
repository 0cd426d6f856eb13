//! What a measurement costs: CPU time of every part of the path from a raw record to an acknowledged summary, and
//! of the consumers that do nothing, measured alike.
//!
//! Start reading at [`case`], the list of what is measured; `README.md` beside this package says what each figure
//! means. Every run is checked against [`oracle`], which knows the input but not the core; a run with another
//! output is void.

mod accumulators;
pub mod case;
mod client;
pub mod figures;
mod fold;
pub mod measure;
pub mod oracle;
mod predecoded;
mod readers;
pub mod report;
pub mod rounds;
mod samples;
pub mod sheet;
pub mod site;
pub mod state;
mod store;
pub mod traffic;
mod worker;

#[cfg(test)]
mod tests;
