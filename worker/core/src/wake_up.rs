//! Wake-ups over a broker: the one that is held, when it is acked, and whether others are wanted.

use types::RequestId;

use crate::event::AgentEffect;

#[derive(Debug, Default)]
pub(crate) struct WakeUps {
    held: Option<Held>,
    /// Whether the broker is to deliver.
    consuming: bool,
    /// The last claim got a task although nobody had woken it: asking on is faster than being woken.
    busy: bool,
}

/// Delivered and not acked.
#[derive(Debug)]
struct Held {
    number: u64,
    since_ms: u64,
    /// The claim that it led to is answered, or was waited for long enough.
    over: bool,
}

impl WakeUps {
    pub fn delivered(&mut self, number: u64, now_ms: u64) {
        self.held = Some(Held {
            number,
            since_ms: now_ms,
            over: false,
        });
    }

    /// Number of the wake-up that a claim has to name.
    pub fn held(&self) -> Option<u64> {
        self.held.as_ref().map(|held| held.number)
    }

    /// A claim that named this wake-up is answered. One that came after the claim was made leads to another claim.
    pub fn answered(&mut self, asked: Option<u64>, granted: bool) {
        self.busy = granted && asked.is_none();
        if let Some(held) = &mut self.held
            && asked == Some(held.number)
        {
            held.over = true;
        }
    }

    /// Nothing is held for longer, answer or not.
    pub fn judge(&mut self, hold_ms: u64, now_ms: u64) {
        if let Some(held) = &mut self.held {
            held.over |= now_ms.saturating_sub(held.since_ms) >= hold_ms;
        }
    }

    /// `free`: a slot is left. `waiting`: the last claim got nothing; before that a worker asks for its next task
    /// faster than anybody could wake it, and a message for each task would be in vain. The pause comes before the ack,
    /// after which the broker would send another.
    pub fn follow(&mut self, free: bool, waiting: bool, out: &mut Vec<AgentEffect>) {
        let wanted = free && (waiting || (self.consuming && !self.busy));
        if self.consuming && !wanted {
            out.push(AgentEffect::PauseWakeUps);
        }
        if self.held.take_if(|held| held.over).is_some() {
            out.push(AgentEffect::AckWakeUp);
        }
        if wanted && !self.consuming {
            out.push(AgentEffect::ConsumeWakeUps);
        }
        self.consuming = wanted;
    }
}

/// Between three quarters and all of the poll, by the claim's id (FNV-1a): a thousand idle agents do not ask in one
/// moment.
pub(crate) fn jittered(poll_ms: u64, id: &RequestId) -> u64 {
    let hash = id.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |h, byte| {
        (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3_u64)
    });
    poll_ms - (hash >> 32) % (poll_ms / 4 + 1)
}
