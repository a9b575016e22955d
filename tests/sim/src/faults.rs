//! What can go wrong, how often, and the bugs that are planted on purpose.

use crate::chance::Chance;

/// Rates of each fault: off, rare or heavy.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    pub lose_request: f64,
    pub lose_reply: f64,
    pub duplicate: f64,
    pub delay: f64,
    pub commit_fails: f64,
    pub crash_before_commit: f64,
    pub crash_after_commit: f64,
    pub coordinator_pause: f64,
    pub wall_jump: f64,
    pub worker_crash: f64,
    pub worker_cut_off: f64,
    pub worker_drain: f64,
    pub task_fails: f64,
    pub executor_crash: f64,
    pub executor_hang: f64,
    pub executor_memory: f64,
    pub put_reply_lost: f64,
    pub sweep_refused: f64,
    pub late_write: f64,
    pub takeover: f64,
}

impl Faults {
    fn all(&mut self) -> [&mut f64; 20] {
        [
            &mut self.lose_request,
            &mut self.lose_reply,
            &mut self.duplicate,
            &mut self.delay,
            &mut self.commit_fails,
            &mut self.crash_before_commit,
            &mut self.crash_after_commit,
            &mut self.coordinator_pause,
            &mut self.wall_jump,
            &mut self.worker_crash,
            &mut self.worker_cut_off,
            &mut self.worker_drain,
            &mut self.task_fails,
            &mut self.executor_crash,
            &mut self.executor_hang,
            &mut self.executor_memory,
            &mut self.put_reply_lost,
            &mut self.sweep_refused,
            &mut self.late_write,
            &mut self.takeover,
        ]
    }

    /// Two seeds of three draw each fault by itself; every third is a swarm seed with one fault only.
    pub fn draw(chance: &mut Chance, seed: u64) -> Self {
        let mut faults = Self::default();
        if seed % 3 == 2 {
            let all = faults.all();
            let only = chance.between(0, all.len() as u64 - 1) as usize;
            *all[only] = 0.1;
        } else {
            for rate in faults.all() {
                *rate = *chance.pick(&[0.0, 0.001, 0.1]);
            }
        }
        faults
    }
}

/// A bug to plant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// M1
    WorkerDeletesSuperseded,
    /// M2
    ReplyBeforeCommit,
    /// M3
    VolatileLeaseCounter,
    /// M4
    ExpiryBeforeInbox,
    /// M5
    ForgottenClaims,
    /// M6
    RepeatedExpansion,
    /// M7
    ManifestsIgnored,
    /// M8
    EpochNotAsserted,
    /// M9
    UnboundedWakeUps,
}

impl Mutation {
    pub const ALL: [Self; 9] = [
        Self::WorkerDeletesSuperseded,
        Self::ReplyBeforeCommit,
        Self::VolatileLeaseCounter,
        Self::ExpiryBeforeInbox,
        Self::ForgottenClaims,
        Self::RepeatedExpansion,
        Self::ManifestsIgnored,
        Self::EpochNotAsserted,
        Self::UnboundedWakeUps,
    ];
}
