//! The program as workers and users meet it: a real process, its real socket, a worker made by hand.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod notices;
mod pace;
mod process;
mod sandbox;
mod skip;
mod users;
mod workers;
