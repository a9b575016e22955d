//! What monitoring reads of a program over plain HTTP: `/healthz`, `/readyz` and `/metrics`.

mod histogram;
mod metrics;

use std::{future::Future, io, net::SocketAddr};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

pub use histogram::Histogram;
pub use metrics::{Kind, Metrics};

/// A program that is looked at. What is refused says why, for people.
pub trait Watched: Clone + Send + Sync + 'static {
    /// Whether it serves; one that does not is to be started again.
    fn healthy(&self) -> Result<(), String>;

    /// Whether it does now what it is there for.
    fn ready(&self) -> impl Future<Output = Result<(), String>> + Send;

    fn metrics(&self) -> impl Future<Output = Result<Metrics, String>> + Send;
}

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("--http {address:?} is no address; expected IP:PORT, such as 127.0.0.1:9090, or none")]
    BadAddress { address: String },
    #[error(
        "--http {address} is reachable by others, who could read how much there is to do and who does it: say --http-insecure if they may"
    )]
    Reachable { address: SocketAddr },
    #[error("cannot listen on {address}")]
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
}

/// The address to listen on, if one was asked for; `none` is none, whatever environment and file say.
pub fn address(http: Option<&str>, insecure: bool) -> Result<Option<SocketAddr>, HttpError> {
    let Some(text) = http.filter(|text| *text != "none") else {
        return Ok(None);
    };
    let address: SocketAddr = text.parse().map_err(|_| HttpError::BadAddress {
        address: text.to_owned(),
    })?;
    if !address.ip().is_loopback() && !insecure {
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
    watched: impl Watched,
    ends: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(watched))
        .with_graceful_shutdown(ends)
        .await
}

fn router<W: Watched>(watched: W) -> Router {
    Router::new()
        .route("/healthz", get(health::<W>))
        .route("/readyz", get(readiness::<W>))
        .route("/metrics", get(numbers::<W>))
        .with_state(watched)
}

async fn health<W: Watched>(State(watched): State<W>) -> Response {
    word("ok\n", watched.healthy())
}

async fn readiness<W: Watched>(State(watched): State<W>) -> Response {
    word("ready\n", watched.ready().await)
}

fn word(well: &'static str, answer: Result<(), String>) -> Response {
    match answer {
        Ok(()) => well.into_response(),
        Err(why) => unavailable(why),
    }
}

async fn numbers<W: Watched>(State(watched): State<W>) -> Response {
    match watched.metrics().await {
        Ok(metrics) => ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], metrics.text()).into_response(),
        Err(why) => unavailable(why),
    }
}

fn unavailable(why: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_read_nothing_unless_they_may() {
        let address = |http, insecure| address(http, insecure).map_err(|error| error.to_string());
        assert_eq!(address(None, false), Ok(None));
        assert_eq!(address(Some("none"), false), Ok(None));
        assert!(matches!(address(Some("127.0.0.1:0"), false), Ok(Some(_))));
        let refused = address(Some("0.0.0.0:0"), false).unwrap_err();
        assert!(refused.contains("--http-insecure"), "{refused}");
        assert!(address(Some("0.0.0.0:0"), true).is_ok());
        assert!(
            address(Some("here"), false)
                .unwrap_err()
                .contains("IP:PORT")
        );
    }
}
