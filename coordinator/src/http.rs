//! What monitoring reads over plain HTTP: `/healthz`, `/readyz` and `/metrics`.

use std::{fmt::Write, future::Future, io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use coordinator_core::Census;
use tokio::{net::TcpListener, time::timeout};

use crate::{Settings, handle::Handle};

/// A loop that has not answered for so long commits nothing: its disk hangs, or it is overwhelmed.
const ANSWER: Duration = Duration::from_secs(2);
/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("--http {address:?} is no address; expected IP:PORT, such as 127.0.0.1:9090")]
    BadAddress { address: String },
    #[error(
        "--http {address} is reachable by others, who could read how many jobs, tasks and workers there are: say --http-insecure if they may"
    )]
    Reachable { address: SocketAddr },
    #[error("cannot listen on {address}")]
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
}

/// The address to listen on, if one was asked for.
pub fn address(settings: &Settings) -> Result<Option<SocketAddr>, HttpError> {
    let Some(text) = &settings.http else {
        return Ok(None);
    };
    let address: SocketAddr = text.parse().map_err(|_| HttpError::BadAddress {
        address: text.clone(),
    })?;
    if !address.ip().is_loopback() && !settings.http_insecure {
        return Err(HttpError::Reachable { address });
    }
    Ok(Some(address))
}

pub async fn bind(address: SocketAddr) -> Result<TcpListener, HttpError> {
    let bound = TcpListener::bind(address)
        .await
        .map_err(|source| HttpError::Bind { address, source })?;
    let address = bound.local_addr().unwrap_or(address);
    tracing::info!(%address, "listening for /healthz, /readyz and /metrics");
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "--http-insecure: everybody who reaches this address may read the counts");
    }
    Ok(bound)
}

/// Answers until told to end.
pub async fn serve(
    listener: TcpListener,
    handle: Handle,
    ends: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(handle);
    axum::serve(listener, router)
        .with_graceful_shutdown(ends)
        .await
}

async fn ready(State(handle): State<Handle>) -> Response {
    match census(&handle).await {
        Ok(_) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}

async fn metrics(State(handle): State<Handle>) -> Response {
    match census(&handle).await {
        Ok(census) => ([(CONTENT_TYPE, TEXT)], render(&census)).into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}

async fn census(handle: &Handle) -> Result<Census, String> {
    match timeout(ANSWER, handle.query(|core, _| core.census())).await {
        Ok(Ok(census)) => Ok(census),
        Ok(Err(ended)) => Err(format!("{ended}\n")),
        Err(_) => Err(format!(
            "the state was not written for {} s: is its disk full or slow?\n",
            ANSWER.as_secs()
        )),
    }
}

/// One line a number; labels come from closed sets and pool names, whose letters need no escapes.
fn render(census: &Census) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, lines: Vec<(String, u64)>| {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "# HELP nightshift_{name} {help}\n# TYPE nightshift_{name} {kind}"
        );
        for (labels, value) in lines {
            let _ = writeln!(text, "nightshift_{name}{labels} {value}");
        }
    };
    let by = |label: &str, value: &str, number: u64| (format!("{{{label}=\"{value}\"}}"), number);
    let jobs = census.jobs.iter();
    family(
        "jobs",
        "gauge",
        "Jobs by state.",
        jobs.map(|(state, &n)| by("state", state.as_str(), n))
            .collect(),
    );
    let (mut tasks, mut workers, mut slots) = (Vec::new(), Vec::new(), Vec::new());
    for (pool, found) in &census.pools {
        let both = |state: &str| format!("{{pool=\"{pool}\",state=\"{state}\"}}");
        tasks.extend(
            found
                .tasks
                .iter()
                .map(|(state, &n)| (both(state.as_str()), n)),
        );
        workers.extend(found.workers.iter().map(|(state, &n)| (both(state), n)));
        slots.push(by("pool", pool.as_str(), found.slots));
    }
    family(
        "tasks",
        "gauge",
        "Tasks by the pool that they want and their state.",
        tasks,
    );
    family("workers", "gauge", "Workers by pool and state.", workers);
    family(
        "slots",
        "gauge",
        "Tasks that the live workers of a pool do at a time.",
        slots,
    );
    family(
        "leases",
        "gauge",
        "Leases that are current.",
        vec![(String::new(), census.leases)],
    );
    let attempts = census.attempts.iter();
    family(
        "attempts_total",
        "counter",
        "Attempts that have ended, by outcome.",
        attempts
            .map(|(outcome, &n)| by("outcome", outcome, n))
            .collect(),
    );
    family(
        "swept_attempts_total",
        "counter",
        "Attempts that were not accepted and whose objects were deleted after the retention.",
        vec![(String::new(), census.swept)],
    );
    family(
        "swept_objects_total",
        "counter",
        "Objects of theirs that were deleted.",
        vec![(String::new(), census.swept_objects)],
    );
    family(
        "outbox",
        "gauge",
        "Objects that the stores have not taken yet.",
        vec![(String::new(), census.outbox)],
    );
    family(
        "outbox_refused",
        "gauge",
        "Those of them that a store has refused at least once.",
        vec![(String::new(), census.refused)],
    );
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use coordinator_core::Pool;
    use types::{JobState, TaskState};

    use super::*;

    #[test]
    fn others_read_nothing_unless_they_may() {
        let address = |flags: &[&str]| {
            address(&Settings::parse_from(["coordinator"].iter().chain(flags)))
                .map_err(|error| error.to_string())
        };
        assert_eq!(address(&[]), Ok(None));
        assert!(address(&["--http", "127.0.0.1:0"]).is_ok());
        assert!(
            address(&["--http", "0.0.0.0:0"])
                .unwrap_err()
                .contains("--http-insecure")
        );
        assert!(address(&["--http", "0.0.0.0:0", "--http-insecure"]).is_ok());
        assert!(
            address(&["--http", "here"])
                .unwrap_err()
                .contains("IP:PORT")
        );
    }

    #[test]
    fn every_family_has_help_and_type_before_its_numbers() {
        let mut census = Census::default();
        census.jobs.insert(JobState::Running, 2);
        census.attempts.insert("lost", 3);
        (census.swept, census.swept_objects) = (2, 9);
        let pool = Pool {
            tasks: [(TaskState::Ready, 7)].into(),
            workers: [("live", 1)].into(),
            slots: 4,
        };
        census.pools.insert("cpu".parse().unwrap(), pool);
        let text = render(&census);
        for line in [
            "nightshift_jobs{state=\"running\"} 2",
            "nightshift_tasks{pool=\"cpu\",state=\"ready\"} 7",
            "nightshift_workers{pool=\"cpu\",state=\"live\"} 1",
            "nightshift_slots{pool=\"cpu\"} 4",
            "nightshift_attempts_total{outcome=\"lost\"} 3",
            "nightshift_swept_attempts_total 2",
            "nightshift_swept_objects_total 9",
            "nightshift_outbox 0",
        ] {
            assert!(
                text.lines().any(|one| one == line),
                "{line} is not in\n{text}"
            );
        }
        let mut described = "";
        for line in text.lines() {
            match line.strip_prefix("# TYPE ") {
                Some(rest) => described = rest.split(' ').next().unwrap(),
                None if line.starts_with('#') => {}
                None => assert_eq!(line.split(['{', ' ']).next(), Some(described)),
            }
        }
    }
}
