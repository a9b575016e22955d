//! How far an attempt has come, for people: volatile, never stored.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// What the executor is doing, such as `features` or `solve`.
    pub stage: String,
    pub done: u64,
    /// 0: unknown.
    pub total: u64,
    /// Items a second, over the last seconds.
    pub rate: f64,
}
