//! The words that every program shares: ids, leases, failure classes, states and outcomes.
//!
//! Plain values without behaviour that needs a clock, a network or a tensor.

mod chain;
mod device;
mod failure;
mod ids;
mod labels;
mod progress;
mod state;
mod trace;

pub use chain::chain;
pub use device::{Device, DeviceError, Devices};
pub use failure::{Failure, FailureClass};
pub use ids::{
    AttemptPrefix, Epoch, Incarnation, JobId, LeaseNumber, ParseIdError, PoolName, RequestId,
    TaskId, TaskIndex, WorkerName,
};
pub use labels::{LabelError, Labels};
pub use progress::Progress;
pub use state::{JobState, OutputObject, TaskKind, TaskState};
pub use trace::{SpanId, TraceContext, TraceId, TraceParentError};
