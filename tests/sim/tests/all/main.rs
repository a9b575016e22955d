//! The guarantees of the coordinator and its agents: random schedules, planted bugs, crash points, size.

mod crash_points;
mod desk;
mod schedules;
mod size;
