//! Who may call what over the network: bearer tokens with roles, kept as hashes.
//!
//! Nothing of this concerns the Unix socket, which belongs to its user alone.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::{Either, Ready, ready};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tonic::{Status, codegen::http};
use tower::{Layer, Service};

use crate::{
    incoming::Peer,
    pace::CALLS_A_SECOND,
    refusals::{Refusal, Refusals, Stranger},
};

/// What the holder of a token may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    User,
    Worker,
}

/// Calls that agents make; all others are a user's.
const OF_WORKERS: [&str; 7] = [
    "Register",
    "Claim",
    "Heartbeat",
    "Complete",
    "Fail",
    "Release",
    "Leave",
];

#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("cannot read the tokens {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {message}; `ctl token new` prints a valid entry", path.display())]
    Invalid { path: PathBuf, message: String },
}

/// One entry of the tokens file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    role: Role,
    /// SHA-256 of the token in hexadecimal. A token is 256 random bits, so that a plain hash is enough.
    sha256: String,
}

/// What is wrong is said without repeating what stands there: somebody may have named a file of secrets.
fn entry_of(entry: Value) -> Result<Entry, String> {
    let of_texts = |fields: &Map<String, Value>| fields.values().all(Value::is_string);
    if !entry.as_object().is_some_and(of_texts) {
        return Err("expected the texts name, role and sha256".to_owned());
    }
    serde_json::from_value(entry).map_err(|error| error.to_string())
}

/// Whose a token is.
#[derive(Debug, Clone)]
struct Caller {
    name: String,
    role: Role,
}

/// The tokens that are valid; read once, at start.
#[derive(Debug, Clone, Default)]
pub struct Access {
    callers: HashMap<String, Caller>,
}

impl Access {
    pub fn read(path: &Path) -> Result<Self, AccessError> {
        let text = fs::read_to_string(path).map_err(|source| AccessError::Read {
            path: path.to_owned(),
            source,
        })?;
        let invalid = |message: String| AccessError::Invalid {
            path: path.to_owned(),
            message,
        };
        let document = yaml::Document::parse(&text).map_err(|((line, column), why)| {
            invalid(format!("line {line}, column {column}: {why}"))
        })?;
        let Value::Array(entries) = document.value else {
            return Err(invalid("it is no list of entries".to_owned()));
        };
        let mut callers = HashMap::new();
        for (number, entry) in (1..).zip(entries) {
            let Entry { name, role, sha256 } =
                entry_of(entry).map_err(|why| invalid(format!("entry {number}: {why}")))?;
            let hash = sha256.to_ascii_lowercase();
            if hash.len() != 64 || !hash.chars().all(|c| c.is_ascii_hexdigit()) {
                return Err(invalid(format!(
                    "the entry {name:?} has no SHA-256 of 64 hexadecimal digits"
                )));
            }
            if callers
                .insert(
                    hash,
                    Caller {
                        name: name.clone(),
                        role,
                    },
                )
                .is_some()
            {
                return Err(invalid(format!("the token of {name:?} stands there twice")));
            }
        }
        if callers.is_empty() {
            return Err(invalid("no token".to_owned()));
        }
        Ok(Self { callers })
    }

    /// Whether a call may be made, by whom. `path` is the call's, such as `/nightshift.v1.Coordinator/Claim`.
    fn admit(&self, path: &str, authorization: Option<&str>) -> Result<&Caller, Refused> {
        let Some(token) = authorization.and_then(|value| value.strip_prefix("Bearer ")) else {
            return Err(Refused {
                whom: Stranger::WithoutToken,
                status: Status::unauthenticated(
                    "a token is needed: --token-file FILE or NIGHTSHIFT_TOKEN",
                ),
            });
        };
        let hash = hex(&Sha256::digest(token.trim()));
        let Some(caller) = self.callers.get(&hash) else {
            return Err(Refused {
                whom: Stranger::UnknownToken,
                status: Status::unauthenticated(
                    "this token is not known here; `ctl token new` makes one, and its entry belongs into the coordinator's tokens file",
                ),
            });
        };
        let call = path.rsplit('/').next().unwrap_or_default();
        let needed = if OF_WORKERS.contains(&call) {
            Role::Worker
        } else {
            Role::User
        };
        if caller.role != needed {
            return Err(Refused {
                whom: Stranger::OfOtherRole(caller.name.clone()),
                status: Status::permission_denied(format!(
                    "the token {:?} is a {}'s; {call} needs a {}'s",
                    caller.name,
                    word(caller.role),
                    word(needed)
                )),
            });
        }
        Ok(caller)
    }
}

/// A call that is not let in.
#[derive(Debug)]
struct Refused {
    whom: Stranger,
    status: Status,
}

fn word(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Worker => "worker",
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lets in who may come; without `access` everybody.
#[derive(Clone)]
pub struct Guard {
    access: Option<Arc<Access>>,
    refusals: Refusals,
}

impl Guard {
    pub fn new(access: Option<Arc<Access>>, refusals: Refusals) -> Self {
        Self { access, refusals }
    }

    /// Whether the request goes on. Its connection may stay then.
    fn admit<B>(&self, request: &http::Request<B>) -> Result<(), Status> {
        let peer = request.extensions().get::<Peer>();
        // Before anything else is done for it.
        if let Some(peer) = peer.filter(|peer| !peer.is_in_pace()) {
            let why = format!(
                "more than {CALLS_A_SECOND} calls a second over one connection; call less often"
            );
            let refusal = Refusal {
                call: request.uri().path().to_owned(),
                from: Some(peer.address),
                why: why.clone(),
            };
            self.refusals.note(Stranger::TooFast, refusal);
            return Err(Status::resource_exhausted(why));
        }
        if let Some(access) = &self.access {
            let call = request.uri().path();
            let authorization = request
                .headers()
                .get("authorization")
                .and_then(|value| value.to_str().ok());
            match access.admit(call, authorization) {
                Ok(caller) => tracing::debug!(caller = caller.name, call, "let in"),
                Err(Refused { whom, status }) => {
                    self.refusals.note(
                        whom,
                        Refusal {
                            call: call.to_owned(),
                            from: peer.map(|peer| peer.address),
                            why: status.message().to_owned(),
                        },
                    );
                    return Err(status);
                }
            }
        }
        if let Some(peer) = peer {
            peer.admit();
        }
        Ok(())
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;
    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            guard: self.clone(),
        }
    }
}

#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    guard: Guard,
}

impl<S, B> Service<http::Request<B>> for Guarded<S>
where
    S: Service<http::Request<B>, Response = http::Response<tonic::body::Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        match self.guard.admit(&request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn access(entries: &str) -> Result<Access, AccessError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.yaml");
        fs::write(&path, entries).unwrap();
        Access::read(&path)
    }

    fn entry(name: &str, role: &str, token: &str) -> String {
        format!(
            "- {{name: {name}, role: {role}, sha256: {}}}\n",
            hex(&Sha256::digest(token))
        )
    }

    #[test]
    fn each_role_calls_its_own() {
        let access =
            access(&(entry("ann", "user", "ns_a") + &entry("w1", "worker", "ns_w"))).unwrap();
        let code = |call: &str, token: Option<&str>| {
            let header = token.map(|token| format!("Bearer {token}"));
            access
                .admit(
                    &format!("/nightshift.v1.Coordinator/{call}"),
                    header.as_deref(),
                )
                .map(|caller| caller.name.clone())
                .map_err(|refused| refused.status.code())
        };
        assert_eq!(code("Submit", Some("ns_a")), Ok("ann".to_owned()));
        assert_eq!(code("Claim", Some("ns_w")), Ok("w1".to_owned()));
        assert_eq!(code("Claim", Some("ns_a")), Err(Code::PermissionDenied));
        assert_eq!(code("Submit", Some("ns_w")), Err(Code::PermissionDenied));
        assert_eq!(code("Submit", Some("ns_b")), Err(Code::Unauthenticated));
        assert_eq!(code("Submit", None), Err(Code::Unauthenticated));
    }

    #[tokio::test]
    async fn who_calls_too_often_is_told_so_and_others_are_not() {
        let refusals = Refusals::default();
        let guard = Guard::new(None, refusals.clone());
        let from = |peer: &Peer| {
            let mut request = http::Request::new(());
            request.extensions_mut().insert(peer.clone());
            request
        };
        let [hasty, other] = [1, 2].map(|port| Peer::new(([127, 0, 0, 1], port).into()));
        let refused = loop {
            if let Err(status) = guard.admit(&from(&hasty)) {
                break status;
            }
        };
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(refused.message().contains("1000 calls a second"));
        assert!(refusals.numbers().any(|number| number == ("too_fast", 1)));
        guard.admit(&from(&other)).unwrap();
        // The socket's callers are this machine's own.
        for _ in 0..10_000 {
            guard.admit(&http::Request::new(())).unwrap();
        }
    }

    #[test]
    fn calls_of_workers_are_calls_of_the_service() {
        let described = include_str!("../../proto/proto/nightshift/v1/coordinator.proto");
        let workers = &described[described.find("// workers").unwrap()..];
        for call in workers
            .lines()
            .filter_map(|line| line.trim().strip_prefix("rpc "))
        {
            let name = call.split('(').next().unwrap();
            assert!(OF_WORKERS.contains(&name), "{name} is called by workers");
        }
    }

    #[test]
    fn a_bad_tokens_file_is_refused_without_showing_what_it_holds() {
        for (text, word) in [
            ("[]", "no token"),
            ("ns_secret", "no list"),
            ("- ns_secret", "entry 1: expected the texts"),
            ("- [ns_secret]", "entry 1: expected the texts"),
            (
                "- {name: a, role: user, sha256: [ns_secret]}",
                "entry 1: expected the texts",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nns_secret+/==\n-----END PRIVATE KEY-----\n",
                "no list",
            ),
            ("- {name: a, role: admin, sha256: '00'}", "admin"),
            (
                "- {name: a, role: user, sha256: 'abc'}",
                "64 hexadecimal digits",
            ),
        ] {
            let error = access(text).unwrap_err().to_string();
            assert!(
                error.contains(word)
                    && error.contains("ctl token new")
                    && !error.contains("ns_secret"),
                "{error}"
            );
        }
    }
}
