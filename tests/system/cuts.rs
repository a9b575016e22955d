//! A job whose connections are cut again and again, after ever other numbers of bytes.

use broker_harness::{Direction, Proxy};

use crate::processes::until;
use crate::sandbox::{LIMIT, Sandbox};

/// Where the next cut falls: it wanders through everything that is said.
pub struct Cuts {
    /// Bytes until the next one.
    pub bytes: u64,
    /// It falls before so many.
    pub below: u64,
    pub made: u64,
}

impl Cuts {
    /// Cuts until the newest job has succeeded.
    pub fn until_done(&mut self, sandbox: &Sandbox, proxy: &Proxy) {
        proxy.cut_after(Direction::Down, self.bytes);
        until("the job to end among cuts", LIMIT, || {
            if proxy.has_cut() {
                self.made += 1;
                self.bytes = (self.bytes * 31 + 17) % self.below;
                let direction = match self.bytes % 2 {
                    0 => Direction::Up,
                    _ => Direction::Down,
                };
                proxy.cut_after(direction, self.bytes);
            }
            (sandbox.json(&["get", "jobs"])[0]["state"] == "succeeded").then_some(())
        });
        proxy.disarm();
    }
}
