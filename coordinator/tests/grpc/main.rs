//! The program as workers and users meet it: a real process, its real socket, a worker made by hand.

mod process;
mod sandbox;
mod users;
mod workers;
