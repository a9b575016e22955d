//! Tells Kubernetes what the deletion of this worker's pod would cost: the work that would be begun anew elsewhere. Of a
//! Deployment that is made smaller the cheapest pods go first.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{
    Certificate, Client, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use types::WorkerName;

use crate::status::Status;

const ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Where a pod finds its service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";
/// Between two looks.
const EVERY: Duration = Duration::from_secs(15);
/// For one call.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum CostError {
    #[error("--deletion-cost is for a pod of Kubernetes: {variable} is not set")]
    NoCluster { variable: &'static str },
    #[error("--deletion-cost needs the pod's service account: cannot read {}", path.display())]
    Account { path: PathBuf, source: io::Error },
    #[error("--deletion-cost: cannot make a client for {url}")]
    Client { url: String, source: reqwest::Error },
    #[error("cannot reach {url}")]
    Call { url: String, source: reqwest::Error },
    #[error(
        "{url} answered {status}: may the service account patch pods, and has the pod the worker's name?"
    )]
    Refused { url: String, status: StatusCode },
}

/// The address of the cluster's API, as every pod is told it.
#[derive(Debug)]
pub struct Api(String);

impl Api {
    pub fn of_this_pod() -> Result<Self, CostError> {
        let value = |variable| {
            env::var(variable)
                .ok()
                .filter(|value| !value.is_empty())
                .ok_or(CostError::NoCluster { variable })
        };
        let (host, port) = (value(HOST)?, value(PORT)?);
        // An IPv6 address stands in brackets.
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        Ok(Self(format!("https://{host}:{port}")))
    }

    /// The pod with the worker's name, in this pod's namespace.
    pub fn pod(&self, worker: &WorkerName) -> Result<Pod, CostError> {
        // Another part of the process may have chosen the same already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let account = Path::new(ACCOUNT);
        let authority = read(&account.join("ca.crt"))?;
        let client = Certificate::from_pem(authority.as_bytes())
            .and_then(|authority| Client::builder().tls_certs_only([authority]).build())
            .map_err(|source| CostError::Client {
                url: self.0.clone(),
                source,
            })?;
        let namespace = read(&account.join("namespace"))?;
        let url = format!(
            "{}/api/v1/namespaces/{}/pods/{worker}",
            self.0,
            namespace.trim()
        );
        Ok(Pod {
            client,
            url,
            token: account.join("token"),
        })
    }
}

fn read(path: &Path) -> Result<String, CostError> {
    fs::read_to_string(path).map_err(|source| CostError::Account {
        path: path.to_owned(),
        source,
    })
}

#[derive(Debug)]
pub struct Pod {
    client: Client,
    url: String,
    /// Exchanged by the cluster every hour or so: read for each call.
    token: PathBuf,
}

impl Pod {
    /// Keeps the annotation up to date, as long as the process lives.
    pub async fn keep_told(self, status: Status) {
        let mut looks = interval(EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut told, mut well) = (None, true);
        loop {
            looks.tick().await;
            let cost = cost(status.under_way());
            if told == Some(cost) {
                continue;
            }
            match self.tell(cost).await {
                Ok(()) => (told, well) = (Some(cost), true),
                Err(error) if well => {
                    well = false;
                    let error = format!("{:#}", anyhow::Error::new(error));
                    tracing::warn!(error, "the pod's deletion cost is not told; trying on");
                }
                Err(_) => {}
            }
        }
    }

    async fn tell(&self, cost: u32) -> Result<(), CostError> {
        let body = json!({"metadata": {"annotations": {ANNOTATION: cost.to_string()}}});
        let token = read(&self.token)?;
        let answer = self
            .client
            .patch(&self.url)
            .timeout(PATIENCE)
            .header(AUTHORIZATION, format!("Bearer {}", token.trim()))
            .header(CONTENT_TYPE, "application/merge-patch+json")
            .body(body.to_string())
            .send()
            .await
            .map_err(|source| CostError::Call {
                url: self.url.clone(),
                // Its own text would say the address again.
                source: source.without_url(),
            })?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(CostError::Refused {
                url: self.url.clone(),
                status,
            }),
        }
    }
}

/// 0 for a worker without work, 1 in the first minute of a task, and one more each time that what it has done doubles: the
/// API server is everybody's, and is not told of every second.
fn cost(under_way: Duration) -> u32 {
    if under_way.is_zero() {
        return 0;
    }
    let minutes = under_way.as_secs() / 60;
    1 + minutes.checked_ilog2().map_or(0, |doubled| doubled + 1)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread::{self, JoinHandle},
    };

    use types::chain;

    use super::*;

    #[test]
    fn a_pod_is_dearer_the_more_would_be_begun_anew_and_changes_seldom() {
        let of = |seconds| cost(Duration::from_secs(seconds));
        assert_eq!([0, 1, 59, 60, 119, 120, 240].map(of), [0, 1, 1, 2, 2, 3, 4]);
        // A week is told of a dozen times.
        assert_eq!(of(7 * 24 * 3_600), 15);
    }

    /// A server that answers one call; what it was asked.
    fn server(status: &'static str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "http://{}/api/v1/namespaces/v/pods/box",
            listener.local_addr().unwrap()
        );
        let answers = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"}}}") {
                let mut part = [0; 1024];
                let read = stream.read(&mut part).unwrap();
                assert_ne!(read, 0, "{}", String::from_utf8_lossy(&asked));
                asked.extend_from_slice(&part[..read]);
            }
            write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            .unwrap();
            String::from_utf8(asked).unwrap()
        });
        (url, answers)
    }

    fn tell(url: &str, token: &Path, cost: u32) -> Result<(), CostError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pod = Pod {
            client: Client::new(),
            url: url.to_owned(),
            token: token.to_owned(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(pod.tell(cost))
    }

    #[test]
    fn it_patches_its_own_pod_with_the_token_of_now() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        for (word, cost) in [("first", 0), ("second", 7)] {
            fs::write(&token, format!("{word}\n")).unwrap();
            let (url, answers) = server("200 OK");
            tell(&url, &token, cost).unwrap();
            let asked = answers.join().unwrap();
            assert!(
                asked.starts_with("PATCH /api/v1/namespaces/v/pods/box HTTP/1.1\r\n"),
                "{asked}"
            );
            for part in [
                format!("authorization: Bearer {word}\r\n"),
                "content-type: application/merge-patch+json\r\n".to_owned(),
                format!(r#"{{"metadata":{{"annotations":{{"{ANNOTATION}":"{cost}"}}}}}}"#),
            ] {
                assert!(asked.contains(&part), "{part} is not in {asked}");
            }
        }
    }

    #[test]
    fn what_goes_wrong_says_where_and_what_may_be_the_matter() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        let (url, _) = server("403 Forbidden");
        let missing = chain(&tell(&url, &token, 1).unwrap_err());
        assert!(
            missing.contains("service account") && missing.contains("token"),
            "{missing}"
        );
        fs::write(&token, "hush").unwrap();
        let (url, answers) = server("403 Forbidden");
        let refused = chain(&tell(&url, &token, 1).unwrap_err());
        answers.join().unwrap();
        assert!(
            refused.contains("403") && refused.contains("patch pods"),
            "{refused}"
        );
        assert!(!refused.contains("hush"), "{refused}");
        let nobody = chain(&tell("http://127.0.0.1:1/pods/box", &token, 1).unwrap_err());
        assert!(
            nobody.contains("cannot reach http://127.0.0.1:1"),
            "{nobody}"
        );
    }
}
