//! A context on its way: in a call's metadata, and in the environment of whoever started a command.

use tonic::{
    Request,
    metadata::{MetadataMap, MetadataValue},
};
use types::TraceContext;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// Puts it into a call.
pub fn carry<T>(request: &mut Request<T>, context: Option<&TraceContext>) {
    let parent = context.map(TraceContext::traceparent);
    let state = context.and_then(TraceContext::tracestate);
    for (name, value) in [(PARENT, parent.as_deref()), (STATE, state)] {
        // Plain text, as it was checked when it came in.
        if let Some(value) = value.and_then(|value| MetadataValue::try_from(value).ok()) {
            request.metadata_mut().insert(name, value);
        }
    }
}

/// What a call brought. One that cannot be read is none: tracing must not stop work.
pub fn carried(metadata: &MetadataMap) -> Option<TraceContext> {
    let text = |name| metadata.get(name)?.to_str().ok();
    TraceContext::from_headers(text(PARENT)?, text(STATE)).ok()
}

/// What the shell or pipeline that started this program is part of: `TRACEPARENT` and `TRACESTATE`.
pub fn of_environment() -> Option<TraceContext> {
    let parent = std::env::var("TRACEPARENT").ok()?;
    TraceContext::from_headers(&parent, std::env::var("TRACESTATE").ok().as_deref()).ok()
}
