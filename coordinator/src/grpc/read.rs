//! What callers send, turned into the core's types; what can be checked without its state is checked here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use coordinator_core::{Claim, Core, FindJobError, Registration, Sender};
use job::Rethreshold;
use plan::TaskResult;
use proto::v1;
use serde::de::DeserializeOwned;
use store::layout::MAX_OUTPUTS_BYTES;
use types::{
    Devices, Failure, FailureClass, Incarnation, JobId, Labels, OutputObject, ParseIdError,
    Progress, RequestId, TaskKind,
};

use super::status::RequestError;

/// What a release knows that does not say so yet.
const FIRST_KINDS: [TaskKind; 5] = [
    TaskKind::List,
    TaskKind::Fit,
    TaskKind::Score,
    TaskKind::Evaluate,
    TaskKind::Reduce,
];

/// Longest text of a failure that is kept.
const MAX_MESSAGE_CHARS: usize = 16_384;

fn bad(field: &'static str, what: impl ToString) -> RequestError {
    RequestError::BadField {
        field,
        what: what.to_string(),
    }
}

/// Thresholds that decide.
pub fn rethreshold(text: &str) -> Result<Rethreshold, RequestError> {
    let new: Rethreshold = json("new_json", text)?;
    new.check().map_err(|what| bad("new_json", what))?;
    Ok(new)
}

/// A field that holds an id.
pub fn id<T: std::str::FromStr<Err = ParseIdError>>(
    field: &'static str,
    text: &str,
) -> Result<T, RequestError> {
    text.parse().map_err(|error| bad(field, error))
}

fn json<T: DeserializeOwned>(field: &'static str, text: &str) -> Result<T, RequestError> {
    serde_json::from_str(text).map_err(|error| bad(field, error))
}

/// Requests without an id are done once, too, but cannot be repeated.
pub fn request_id(text: &str) -> Result<RequestId, RequestError> {
    if text.is_empty() {
        id("request_id", &format!("anonymous-{}", random_id()?))
    } else {
        id("request_id", text)
    }
}

/// 8 lower-case letters and digits at random: 41 bits, and the core refuses one that is taken.
pub fn random_id() -> Result<String, RequestError> {
    const LETTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut bits = getrandom::u64().map_err(RequestError::Random)?;
    let mut text = String::with_capacity(8);
    for _ in 0..8 {
        text.push(char::from(LETTERS[(bits % 36) as usize]));
        bits /= 36;
    }
    Ok(text)
}

/// A job named by its id, its key, a unique beginning of its id, or `last`.
pub fn job(core: &Core, text: &str) -> Result<JobId, RequestError> {
    if text.is_empty() {
        return Err(bad(
            "job",
            "expected an id, the beginning of one, a key, or `last`",
        ));
    }
    match core.find_job(text) {
        Err(FindJobError::NotFound(text)) if text == "last" => Err(RequestError::NoJobs),
        found => Ok(found?),
    }
}

pub fn sender(worker: &str, incarnation: u64) -> Result<Sender, RequestError> {
    Ok(Sender {
        worker: id("worker", worker)?,
        incarnation: Incarnation(incarnation),
    })
}

pub fn registration(request: v1::RegisterRequest) -> Result<Registration, RequestError> {
    Ok(Registration {
        worker: id("worker", &request.worker)?,
        incarnation: Incarnation(request.incarnation),
        pool: id("pool", &request.pool)?,
        slots: request.slots,
        version: request.version,
        engines: request.engines,
        devices: devices(request.devices)?,
        kinds: kinds(&request.kinds),
        labels: labels(request.labels)?,
        memory_bytes: request.memory_bytes,
        temporary: request.temporary,
    })
}

/// Kinds that only the worker knows are of no use here.
fn kinds(of_worker: &[String]) -> BTreeSet<TaskKind> {
    if of_worker.is_empty() {
        return FIRST_KINDS.into();
    }
    of_worker
        .iter()
        .filter_map(|word| TaskKind::parse(word))
        .collect()
}

/// A release that did not say so had the processors only.
fn devices(of_worker: Vec<String>) -> Result<Devices, RequestError> {
    if of_worker.is_empty() {
        return Ok(Devices::default());
    }
    Devices::try_from(of_worker).map_err(|error| bad("devices", error))
}

fn labels(of_worker: HashMap<String, String>) -> Result<Labels, RequestError> {
    let sorted: BTreeMap<String, String> = of_worker.into_iter().collect();
    Labels::try_from(sorted).map_err(|error| bad("labels", error))
}

pub fn claim(request: &v1::ClaimRequest, nonce: u32) -> Result<Claim, RequestError> {
    Ok(Claim {
        from: sender(&request.worker, request.incarnation)?,
        id: id("claim_id", &request.claim_id)?,
        free_slots: request.free_slots,
        wake_up: request.wake_up,
        nonce,
    })
}

pub fn progress(progress: v1::Progress) -> Progress {
    Progress {
        stage: progress.stage,
        done: progress.done,
        total: progress.total,
        rate: progress.rate,
    }
}

pub fn failure(class: &str, message: String) -> Result<Failure, RequestError> {
    let class = FailureClass::parse(class)
        .ok_or_else(|| bad("class", format!("{class:?} is not a failure class")))?;
    let message = match message.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}...", &message[..end]),
        None => message,
    };
    Ok(Failure { class, message })
}

/// A completed attempt, within the limits on its size; the core looks at what it names.
pub fn completion(
    request: &v1::CompleteRequest,
) -> Result<(TaskResult, Vec<OutputObject>), RequestError> {
    for (field, text) in [
        ("outputs_json", &request.outputs_json),
        ("result_json", &request.result_json),
    ] {
        if text.len() as u64 > MAX_OUTPUTS_BYTES {
            return Err(bad(
                field,
                format!(
                    "{} bytes; at most {MAX_OUTPUTS_BYTES} are allowed",
                    text.len()
                ),
            ));
        }
    }
    let result: TaskResult = json("result_json", &request.result_json)?;
    let outputs: Vec<OutputObject> = json("outputs_json", &request.outputs_json)?;
    Ok((result, outputs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(samples: &str, outputs: &str) -> v1::CompleteRequest {
        v1::CompleteRequest {
            result_json: format!(
                r#"{{"detail":{{"kind":"list","samples":{samples:?},"train":1,"scored":1}},"timings":[]}}"#
            ),
            outputs_json: outputs.to_owned(),
            ..v1::CompleteRequest::default()
        }
    }

    #[test]
    fn large_outputs_are_refused_by_their_size() {
        let request = complete("a", &"x".repeat((1 << 20) + 1));
        assert!(
            completion(&request)
                .unwrap_err()
                .to_string()
                .contains("1048577 bytes")
        );
    }

    #[test]
    fn random_ids_are_job_ids() {
        let (a, b) = (random_id().unwrap(), random_id().unwrap());
        assert!(a.parse::<JobId>().is_ok() && a.len() == 8, "{a}");
        assert_ne!(a, b);
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let failure = failure("internal", "é".repeat(MAX_MESSAGE_CHARS + 5)).unwrap();
        assert_eq!(failure.message.chars().count(), MAX_MESSAGE_CHARS + 3);
        assert!(failure_class_is_checked());
    }

    fn failure_class_is_checked() -> bool {
        failure("sulking", String::new()).is_err()
    }
}
