//! The real `yahtzee` command, as processes: started, killed, started again, and told wrong things.

mod bad_input;
mod demo;
mod kafka;
mod support;
