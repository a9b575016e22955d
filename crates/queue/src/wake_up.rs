//! The message: what a wake-up carries, and its form on the wire.
//!
//! A body of JSON, `{"v":1,"pool":"cpu","number":7,"hint":"7k2m9x4c-0012"}`: a few dozen bytes that an operator can read
//! in the broker's page. The trace context travels in headers, where tracing tools look for it. Fields may be added
//! within a version; a change of meaning is a new version, and then of the queue's name too.

use serde::{Deserialize, Serialize};
use types::{PoolName, TaskId, TraceContext};

/// The version that this build writes and reads.
const VERSION: u32 = 1;
/// No wake-up is larger; what is was not written by us and is not parsed.
const MAX_BYTES: usize = 4096;

/// "Somebody of this pool: ask the coordinator for work."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WakeUp {
    pub pool: PoolName,
    /// The coordinator's own number of this wake-up, so that it can count which ones have arrived.
    pub number: u64,
    /// The task that made the coordinator send it. The coordinator decides at the claim; this is only a hint.
    pub hint: Option<TaskId>,
    /// Of the hint's job; none where nobody traces it.
    pub trace: Option<TraceContext>,
}

/// Why a message is not a wake-up that this build understands. Such a message is acked and logged.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("{bytes} bytes are too many for a wake-up (at most {MAX_BYTES})")]
    TooLarge { bytes: usize },
    #[error("not the JSON of a wake-up: {reason}")]
    Malformed { reason: String },
    #[error(
        "version {found} of a wake-up is unknown (this build reads {VERSION}); update this program"
    )]
    UnknownVersion { found: u32 },
}

#[derive(Serialize, Deserialize)]
struct Body {
    v: u32,
    pool: PoolName,
    number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<TaskId>,
}

/// Read before the body, whose fields another version may have changed.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

impl WakeUp {
    pub fn encode(&self) -> Vec<u8> {
        let body = Body {
            v: VERSION,
            pool: self.pool.clone(),
            number: self.number,
            hint: self.hint.clone(),
        };
        // Strings and numbers alone cannot fail to serialize, and an empty body would be logged at the other end.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    pub fn decode(body: &[u8], trace: Option<TraceContext>) -> Result<Self, DecodeError> {
        if body.len() > MAX_BYTES {
            return Err(DecodeError::TooLarge { bytes: body.len() });
        }
        let malformed = |error: serde_json::Error| DecodeError::Malformed {
            reason: error.to_string(),
        };
        let Version { v } = serde_json::from_slice(body).map_err(malformed)?;
        if v != VERSION {
            return Err(DecodeError::UnknownVersion { found: v });
        }
        let body: Body = serde_json::from_slice(body).map_err(malformed)?;
        Ok(Self {
            pool: body.pool,
            number: body.number,
            hint: body.hint,
            trace,
        })
    }
}
