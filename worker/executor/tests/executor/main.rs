//! The real executor program, driven over a socket pair as its agent does.

mod bad_inputs;
mod death;
mod devices;
mod export;
mod golden;
mod images;
mod job;
mod parity;
mod pictures;
mod pinned;
mod predicted;
mod process;
mod whole_job;
