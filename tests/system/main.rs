//! The whole system as a user meets it: the real programs on small data, killed, interrupted and fed with bad input.
//!
//! The programs are taken from the repository's `bin/` (`make programs` puts them there) or from `NIGHTSHIFT_BIN`.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not take for tests"
)]

mod bad_data;
mod bad_files;
mod bench;
mod clock;
mod cluster;
mod collector;
mod commands;
mod configuration;
mod cuts;
mod dead;
mod deadline;
mod deleting;
mod devices;
mod documents;
mod export;
mod faults;
mod following;
mod full_disk;
mod hangs;
mod images;
mod interrupts;
mod joint;
mod kills;
mod licences;
mod limits;
mod logs;
mod model_files;
mod monitoring;
mod placement;
mod predict;
mod processes;
mod protocols;
mod queues;
mod quiet;
mod rabbitmq;
mod remote;
mod restore;
mod rethreshold;
mod rights;
mod roots;
mod sandbox;
mod searches;
mod secrets;
mod sweeper;
mod traces;
mod verify;
mod webhook;
