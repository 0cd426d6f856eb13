//! The PostgreSQL store on a real server, named by `YAHTZEE_TEST_POSTGRES`; each test brings databases of its own.

mod days;
mod faults;
mod maps;
mod poison;
mod pooled;
mod reads;
mod restore;
pub(crate) mod support;
mod writes;
