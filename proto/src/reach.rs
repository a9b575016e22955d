//! Reaching a coordinator: the one of a state folder on this machine, or one that listens on the network.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Uri},
};

use crate::{local, v1::coordinator_client::CoordinatorClient};

/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A connection that answers no ping for so long is given up: routers forget silently.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// The variable that holds a token.
pub const TOKEN_VARIABLE: &str = "NIGHTSHIFT_TOKEN";

pub type Client = CoordinatorClient<InterceptedService<Channel, Bearer>>;

/// Flags that say where the coordinator is; the same for every program that talks to one.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Reach {
    /// State folder of a coordinator on this machine, where its socket lies
    /// [default: $XDG_STATE_HOME/nightshift, else ~/.local/state/nightshift]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "NIGHTSHIFT_STATE",
        hide_env = true
    )]
    pub state: Option<PathBuf>,
    /// A coordinator on the network, such as `https://nightshift.example:7070`
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "NIGHTSHIFT_COORDINATOR",
        hide_env = true
    )]
    pub coordinator: Option<String>,
    /// File that holds the token for --coordinator; NIGHTSHIFT_TOKEN holds the token itself
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "NIGHTSHIFT_TOKEN_FILE",
        hide_env = true
    )]
    pub token_file: Option<PathBuf>,
    /// PEM file of the authorities that --coordinator's certificate may come from [default: the system's]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "NIGHTSHIFT_CA",
        hide_env = true
    )]
    pub ca: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    #[error(
        "neither HOME nor XDG_STATE_HOME is set; say where the state is with --state DIR, or name a --coordinator URL"
    )]
    NoHome,
    #[error(
        "{url:?} is no address of a coordinator; expected https://HOST:PORT or http://HOST:PORT"
    )]
    BadUrl { url: String },
    #[error("cannot read {what} {}", path.display())]
    Read {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{place} holds no token: expected one line of letters, digits and `_`")]
    BadToken { place: String },
    #[error("cannot use the certificates for {url}")]
    Tls {
        url: String,
        source: tonic::transport::Error,
    },
    #[error("cannot reach the coordinator at {place}")]
    Connect {
        place: String,
        source: tonic::transport::Error,
    },
}

/// Where a coordinator is, with what it takes to talk to it.
#[derive(Debug, Clone)]
pub enum Place {
    /// An absolute path.
    State(PathBuf),
    Remote(Remote),
}

#[derive(Debug, Clone)]
pub struct Remote {
    url: Uri,
    ca: Option<Vec<u8>>,
    token: Bearer,
}

impl Reach {
    /// Reads the files that the flags name.
    pub fn place(&self) -> Result<Place, ReachError> {
        let Some(url) = &self.coordinator else {
            return self.state_folder().map(Place::State);
        };
        let parsed: Option<Uri> = url.parse().ok().filter(|uri: &Uri| {
            matches!(uri.scheme_str(), Some("https" | "http"))
                && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
        });
        Ok(Place::Remote(Remote {
            // Not repeated: somebody may have put a password into it.
            url: parsed.ok_or_else(|| ReachError::BadUrl {
                url: url.split('@').next_back().unwrap_or_default().to_owned(),
            })?,
            ca: self
                .ca
                .as_deref()
                .map(|path| read("the certificates", path))
                .transpose()?,
            token: self.token()?,
        }))
    }

    /// The state folder on this machine, as an absolute path; it need not exist.
    pub fn state_folder(&self) -> Result<PathBuf, ReachError> {
        let folder = self
            .state
            .clone()
            .or_else(local::default_state_folder)
            .ok_or(ReachError::NoHome)?;
        std::path::absolute(&folder).map_err(|source| ReachError::Read {
            what: "the current folder, to which the state folder is relative:",
            path: folder,
            source,
        })
    }

    fn token(&self) -> Result<Bearer, ReachError> {
        let (place, text) = if let Some(path) = &self.token_file {
            let bytes = read("the token", path)?;
            (
                path.display().to_string(),
                String::from_utf8(bytes).unwrap_or_default(),
            )
        } else if let Ok(text) = std::env::var(TOKEN_VARIABLE) {
            (TOKEN_VARIABLE.to_owned(), text)
        } else {
            return Ok(Bearer(None));
        };
        Bearer::new(text.trim()).ok_or(ReachError::BadToken { place })
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, ReachError> {
    fs::read(path).map_err(|source| ReachError::Read {
        what,
        path: path.to_owned(),
        source,
    })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(folder) => folder.join(local::SOCKET).display().fmt(f),
            Self::Remote(remote) => remote.url.fmt(f),
        }
    }
}

/// Puts the token into every call. Never shown.
#[derive(Clone, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// None if the text is no token.
    fn new(token: &str) -> Option<Self> {
        let plain =
            !token.is_empty() && token.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let mut value: MetadataValue<Ascii> =
            plain.then(|| format!("Bearer {token}").parse().ok())??;
        value.set_sensitive(true);
        Some(Self(Some(value)))
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Bearer(…)"
        } else {
            "no token"
        })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// A connected client.
pub async fn connect(place: &Place) -> Result<Client, ReachError> {
    let unreachable = |source| ReachError::Connect {
        place: place.to_string(),
        source,
    };
    let (channel, bearer) = match place {
        Place::State(folder) => {
            let uri = format!("unix://{}", folder.join(local::SOCKET).display());
            let endpoint = Endpoint::from_shared(uri).map_err(unreachable)?;
            (
                endpoint.connect().await.map_err(unreachable)?,
                Bearer::default(),
            )
        }
        Place::Remote(remote) => {
            let mut endpoint = Endpoint::from(remote.url.clone())
                .connect_timeout(CONNECT_LIMIT)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_while_idle(true);
            if remote.url.scheme_str() == Some("https") {
                let tls = match &remote.ca {
                    Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
                    None => ClientTlsConfig::new().with_native_roots(),
                };
                endpoint = endpoint.tls_config(tls).map_err(|source| ReachError::Tls {
                    url: remote.url.to_string(),
                    source,
                })?;
            }
            (
                endpoint.connect().await.map_err(unreachable)?,
                remote.token.clone(),
            )
        }
    };
    Ok(CoordinatorClient::with_interceptor(channel, bearer)
        .max_decoding_message_size(local::MAX_MESSAGE_BYTES)
        .max_encoding_message_size(local::MAX_MESSAGE_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Result<Place, ReachError> {
        Reach {
            coordinator: Some(url.to_owned()),
            ..Reach::default()
        }
        .place()
    }

    #[test]
    fn only_addresses_of_servers_are_taken() {
        for url in ["https://a.example:7070", "http://127.0.0.1:7070"] {
            assert!(matches!(place(url), Ok(Place::Remote(_))), "{url}");
        }
        for url in [
            "a.example:7070",
            "ftp://a",
            "",
            "https://user:secret@a.example",
        ] {
            let error = place(url).unwrap_err().to_string();
            assert!(error.contains("https://HOST:PORT"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let bearer = Bearer::new("ns_0123456789abcdef").unwrap();
        assert!(!format!("{bearer:?}").contains("0123"));
        assert!(Bearer::new("two words").is_none());
        assert!(Bearer::new("").is_none());
    }
}
