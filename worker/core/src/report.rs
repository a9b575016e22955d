//! Outcomes that the coordinator has not answered yet: told again and again, for half an hour.

use types::{Failure, LeaseNumber};

use crate::event::{AgentSettings, Call};

#[derive(Debug)]
pub(crate) struct Report {
    pub outcome: Outcome,
    pub since_ms: u64,
    pub resend: Resend,
}

#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Complete {
        result_json: String,
        outputs_json: String,
    },
    Fail(Failure),
    Release,
}

impl Report {
    pub fn new(outcome: Outcome, now_ms: u64) -> Self {
        Self {
            outcome,
            since_ms: now_ms,
            resend: Resend::now(now_ms),
        }
    }

    pub fn call(&self, lease: LeaseNumber) -> Call {
        match &self.outcome {
            Outcome::Complete {
                result_json,
                outputs_json,
            } => Call::Complete {
                lease,
                result_json: result_json.clone(),
                outputs_json: outputs_json.clone(),
            },
            Outcome::Fail(failure) => Call::Fail {
                lease,
                failure: failure.clone(),
            },
            Outcome::Release => Call::Release { lease },
        }
    }
}

/// When a call is sent (again).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resend {
    pub due_ms: u64,
    tries: u32,
    /// Sent, neither answered nor failed.
    pub in_flight: bool,
}

impl Resend {
    pub fn now(now_ms: u64) -> Self {
        Self {
            due_ms: now_ms,
            tries: 0,
            in_flight: false,
        }
    }

    pub fn is_due(&self, now_ms: u64) -> bool {
        !self.in_flight && now_ms >= self.due_ms
    }

    pub fn sent(&mut self) {
        self.in_flight = true;
        self.tries += 1;
    }

    /// Backs off after a call without an answer. Of a call that is not on its way any more nothing is learnt.
    pub fn failed(&mut self, settings: &AgentSettings, now_ms: u64) {
        if !self.in_flight {
            return;
        }
        let doublings = self.tries.saturating_sub(1).min(16);
        self.in_flight = false;
        self.due_ms =
            now_ms + (settings.call_retry_ms << doublings).min(settings.call_retry_max_ms);
    }
}
