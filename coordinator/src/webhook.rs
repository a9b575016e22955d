//! Tells an address that jobs have ended, by a signed POST each.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use coordinator_core::{Notice, OutboxRow};
use reqwest::{Certificate, Client, StatusCode, Url, redirect};
use ring::hmac;
use serde_json::{Value, json};
use store::layout;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::access::hex;

/// Where news of jobs go.
#[derive(Debug, Clone, clap::Args)]
pub struct WebhookFlags {
    /// Tell this address by a signed POST when a job has ended, such as https://factory.example/nightshift
    #[arg(
        long,
        value_name = "URL",
        env = "NIGHTSHIFT_WEBHOOK",
        hide_env_values = true
    )]
    pub webhook: Option<String>,
    /// File that holds the secret by which --webhook's receiver knows the coordinator: 16 characters or more
    #[arg(
        long,
        value_name = "FILE",
        env = "NIGHTSHIFT_WEBHOOK_SECRET_FILE",
        hide_env_values = true
    )]
    pub webhook_secret_file: Option<PathBuf>,
    /// PEM file of the authorities that --webhook's certificate may come from, besides the system's
    #[arg(
        long,
        value_name = "FILE",
        env = "NIGHTSHIFT_WEBHOOK_CA",
        hide_env_values = true
    )]
    pub webhook_ca: Option<PathBuf>,
}

/// Shorter ones can be tried out.
const LEAST_SECRET: usize = 16;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A try as a whole.
const LIMIT: Duration = Duration::from_secs(30);
/// Tries under way at a time: thousands of jobs may have ended while nobody listened.
const AT_ONCE: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Without the address itself: parts of it may be secret.
    #[error(
        "--webhook is no address: {reason}; it is one such as https://factory.example/nightshift"
    )]
    Url { reason: String },
    #[error(
        "--webhook needs --webhook-secret-file: without a signature anybody could tell its receiver anything"
    )]
    NoSecret,
    #[error("--{flag} without --webhook: there is nobody to tell")]
    NoUrl { flag: &'static str },
    #[error("--webhook-secret-file: cannot read {}", path.display())]
    SecretFile { path: PathBuf, source: io::Error },
    #[error("--webhook-secret-file: {} holds fewer than {LEAST_SECRET} characters; `openssl rand -hex 32` makes a secret", path.display())]
    ShortSecret { path: PathBuf },
    #[error("--webhook-ca: cannot read {}", path.display())]
    CaFile { path: PathBuf, source: io::Error },
    #[error("--webhook-ca: {} holds no PEM certificate", path.display())]
    NoCertificate { path: PathBuf },
    #[error("--webhook cannot be used")]
    Client { source: reqwest::Error },
}

impl WebhookFlags {
    pub fn webhook(&self) -> Result<Option<Webhook>, WebhookError> {
        let Some(url) = &self.webhook else {
            let without = [
                ("webhook-secret-file", &self.webhook_secret_file),
                ("webhook-ca", &self.webhook_ca),
            ];
            return match without.iter().find(|(_, file)| file.is_some()) {
                Some(&(flag, _)) => Err(WebhookError::NoUrl { flag }),
                None => Ok(None),
            };
        };
        let url = address(url)?;
        let path = self
            .webhook_secret_file
            .as_ref()
            .ok_or(WebhookError::NoSecret)?;
        let secret = secret(path)?;
        // The client takes the process's provider of cryptography; an error means that it has one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("nightshift/", env!("CARGO_PKG_VERSION")))
            // What is signed is for this address alone.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(LIMIT)
            .tls_certs_merge(authorities(self.webhook_ca.as_deref())?);
        let client = client.build().map_err(|error| WebhookError::Client {
            source: error.without_url(),
        })?;
        Ok(Some(Webhook {
            client,
            url,
            secret,
            permits: Semaphore::new(AT_ONCE),
        }))
    }
}

fn address(text: &str) -> Result<Url, WebhookError> {
    let bad = |reason: &str| WebhookError::Url {
        reason: reason.to_owned(),
    };
    let url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad(
            "it names a user or a password, which would be shown to everybody who sees the settings; its receiver knows the coordinator by the signature",
        ));
    }
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err(bad("its scheme is neither https nor http")),
    }
}

fn secret(path: &Path) -> Result<hmac::Key, WebhookError> {
    let text = fs::read_to_string(path).map_err(|source| WebhookError::SecretFile {
        path: path.to_owned(),
        source,
    })?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.chars().count() < LEAST_SECRET {
        return Err(WebhookError::ShortSecret {
            path: path.to_owned(),
        });
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
}

fn authorities(path: Option<&Path>) -> Result<Vec<Certificate>, WebhookError> {
    let Some(path) = path else {
        return Ok(Vec::new());
    };
    let pem = fs::read(path).map_err(|source| WebhookError::CaFile {
        path: path.to_owned(),
        source,
    })?;
    Certificate::from_pem_bundle(&pem)
        .ok()
        .filter(|authorities| !authorities.is_empty())
        .ok_or_else(|| WebhookError::NoCertificate {
            path: path.to_owned(),
        })
}

/// Who is told.
pub struct Webhook {
    client: Client,
    url: Url,
    secret: hmac::Key,
    permits: Semaphore,
}

/// Why a try came to nothing. Without the address's path, which may be secret.
#[derive(Debug, thiserror::Error)]
pub enum Untold {
    #[error("{host} answered {status}; only 2xx says that it was taken")]
    Answer { host: String, status: StatusCode },
    #[error("{host} did not answer")]
    Silent {
        host: String,
        source: reqwest::Error,
    },
}

impl Webhook {
    /// Leave for one try, while it is held. To be waited for before the try's time is taken: it may take longer than a receiver
    /// believes a signature.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        self.permits.acquire().await.ok()
    }

    /// One try to tell of a job's end.
    pub async fn tell(&self, row: &OutboxRow, notice: &Notice, now_ms: i64) -> Result<(), Untold> {
        let host = || self.url.host_str().unwrap_or_default().to_owned();
        let body = body(row, notice).to_string();
        let signature = signature(&self.secret, now_ms / 1_000, body.as_bytes());
        let sent = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("nightshift-delivery", &notice.delivery)
            .header("nightshift-signature", signature)
            .body(body)
            .send()
            .await;
        match sent {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(Untold::Answer {
                host: host(),
                status: answer.status(),
            }),
            Err(error) => Err(Untold::Silent {
                host: host(),
                source: error.without_url(),
            }),
        }
    }
}

/// Of the time and the body, so that an old call cannot be sent again as a new one.
fn signature(secret: &hmac::Key, at_s: i64, body: &[u8]) -> String {
    let mut signed = hmac::Context::with_key(secret);
    signed.update(format!("{at_s}.").as_bytes());
    signed.update(body);
    format!("t={at_s},v1={}", hex(signed.sign().as_ref()))
}

/// The same for every try.
fn body(row: &OutboxRow, notice: &Notice) -> Value {
    let scored = notice.scored;
    let results = (notice.results > 0).then(|| {
        let path = layout::results(&row.job, notice.results);
        format!("{}/{path}", row.store.trim_end_matches('/'))
    });
    json!({
        "delivery": notice.delivery,
        "job": row.job,
        "name": notice.name,
        "key": notice.key,
        "kind": notice.kind,
        "state": notice.state,
        "created": time(notice.created_ms),
        "finished": time(notice.finished_ms),
        "runs": notice.runs,
        "images": scored.map(|scored| scored.images),
        "anomalous": scored.and_then(|scored| scored.anomalous),
        "errors": scored.map(|scored| scored.errors),
        "reused": scored.map(|scored| scored.reused),
        "results": results,
        "failures": notice.failures,
    })
}

fn time(ms: i64) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(ms).ok()?;
    Some(time.to_string())
}

#[cfg(test)]
mod tests {
    use coordinator_core::{OutboxId, OutboxItem, Scored};
    use job::resolved::JobKind;
    use types::{JobState, chain};

    use super::*;

    fn notice() -> Notice {
        Notice {
            delivery: "abcd1234-3-17".to_owned(),
            name: "line3".to_owned(),
            key: None,
            kind: JobKind::Predict,
            state: JobState::Succeeded,
            created_ms: 1_700_000_000_000,
            finished_ms: 1_700_000_060_500,
            runs: 1,
            scored: Some(Scored {
                images: 20,
                anomalous: Some(3),
                errors: 1,
                reused: 7,
            }),
            results: 1,
            failures: Vec::new(),
        }
    }

    fn row(notice: &Notice) -> OutboxRow {
        OutboxRow {
            id: OutboxId(17),
            job: "abcd1234".parse().unwrap(),
            store: "s3://lab/results/".to_owned(),
            item: OutboxItem::Notice(Box::new(notice.clone())),
        }
    }

    #[test]
    fn the_body_says_what_ended_and_where_its_results_are() {
        let notice = notice();
        let told = body(&row(&notice), &notice);
        assert_eq!(
            told,
            json!({
                "delivery": "abcd1234-3-17", "job": "abcd1234", "name": "line3", "key": null, "kind": "predict",
                "state": "succeeded", "created": "2023-11-14T22:13:20Z", "finished": "2023-11-14T22:14:20.5Z", "runs": 1,
                "images": 20, "anomalous": 3, "errors": 1, "reused": 7,
                "results": "s3://lab/results/jobs/abcd1234/results/000001", "failures": [],
            })
        );
        let failed = Notice {
            scored: None,
            results: 0,
            failures: vec!["abcd1234-0001: invalid_input: no images".to_owned()],
            ..notice
        };
        let told = body(&row(&failed), &failed);
        for unknown in ["images", "anomalous", "errors", "reused", "results"] {
            assert_eq!(told[unknown], Value::Null, "{unknown}");
        }
        assert_eq!(
            told["failures"][0],
            "abcd1234-0001: invalid_input: no images"
        );
    }

    /// RFC 4231, test case 2, with the time before it: `printf '7.what do ya want for nothing?' | openssl dgst -sha256 -hmac Jefe`.
    #[test]
    fn the_signature_is_of_time_and_body() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        let signed = signature(&key, 7, b"what do ya want for nothing?");
        assert_eq!(
            signed,
            "t=7,v1=239f4b39fd23f4376db46b239fae471e7c6824b3931bc60f4c0b745bef8de34f"
        );
    }

    #[test]
    fn a_notice_is_tried_for_a_day() {
        let notice = notice();
        let day = 24 * 3_600_000;
        assert!(!notice.is_stale(notice.finished_ms + day - 1));
        assert!(notice.is_stale(notice.finished_ms + day));
        // A clock that has been set back since.
        assert!(!notice.is_stale(0));
    }

    fn flags(url: Option<&str>, secret: Option<&Path>) -> WebhookFlags {
        WebhookFlags {
            webhook: url.map(str::to_owned),
            webhook_secret_file: secret.map(Path::to_owned),
            webhook_ca: None,
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_at_start_without_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let good = file("good", "0123456789abcdef\n");
        let short = file("short", "0123456789abcde\n");
        let missing = folder.path().join("missing");
        let url = "https://factory.example/hush?token=hush";
        assert!(flags(None, None).webhook().unwrap().is_none());
        assert!(flags(Some(url), Some(&good)).webhook().unwrap().is_some());
        for (flags, said) in [
            (flags(Some(url), None), "needs --webhook-secret-file"),
            (flags(None, Some(&good)), "nobody to tell"),
            (flags(Some(url), Some(&short)), "fewer than 16"),
            (flags(Some(url), Some(&missing)), "cannot read"),
            (flags(Some("hush"), Some(&good)), "is no address"),
            (
                flags(Some("ftp://hush/"), Some(&good)),
                "neither https nor http",
            ),
            (
                WebhookFlags {
                    webhook_ca: Some(short.clone()),
                    ..flags(Some(url), Some(&good))
                },
                "no PEM certificate",
            ),
        ] {
            let error = flags.webhook().err().map(|error| chain(&error));
            let error = error.unwrap_or_default();
            assert!(error.contains(said), "{said}: {error}");
            assert!(
                !error.contains("hush") && !error.contains("0123"),
                "{error}"
            );
        }
    }
}
