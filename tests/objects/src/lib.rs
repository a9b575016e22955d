//! Object stores for tests: a real S3 server or an Azure one as a child process, and a proxy before it that misbehaves on demand.
//!
//! Nothing here waits by sleeping for a fixed time: what is waited for is looked at again until it is so.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not take for tests"
)]

mod azurite;
mod child;
mod proxy;
mod seaweed;

pub use azurite::{ACCOUNT, Azurite, KEY};
pub use child::{free_ports, spawn};
pub use proxy::{Fault, Proxy};
pub use seaweed::{READER, Seaweed, WRITER};

/// A `stores:` section with one store, named `lab`, as the harness's user may use it.
pub fn config(url: &str, endpoint: &str, user: (&str, &str), folder: &std::path::Path) -> String {
    let (key, secret) = user;
    for (name, text) in [("access_key", key), ("secret_key", secret)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let folder = folder.display();
    format!(
        "stores:
  lab:
    url: {url}
    endpoint: {endpoint}
    allow_http: true
    access_key: {{file: {folder}/access_key}}
    secret_key: {{file: {folder}/secret_key}}
    retries: 6
    timeout_s: 20
cache: {{folder: {folder}/cache}}
"
    )
}
