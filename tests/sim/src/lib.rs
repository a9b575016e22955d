//! The deterministic simulation: the real core and the real agents among fakes, one seed driving everything.
//!
//! One thread, no clock, no network: [`World`] holds a queue of things that will happen, and each step takes the
//! next. Disk, network, broker, store, executors and users are fakes that fail as [`Faults`] says. After every commit the
//! named functions in [`invariants`] are checked; the first that does not hold ends the run as a [`Failure`].

pub mod broker;
pub mod chance;
pub mod coordinator;
pub mod disk;
pub mod executor;
pub mod faults;
pub mod invariants;
pub mod night;
pub mod store;
pub mod takeover;
pub mod user;
pub mod worker;
pub mod workload;
pub mod world;

pub use faults::{Faults, Mutation};
pub use world::{Failure, Outcome, World, run_seed};
