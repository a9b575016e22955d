//! Reaching a coordinator: the one of a state folder on this machine, or one that listens on the network.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
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
/// How long a server may take to say that it wants TLS.
const ALERT_LIMIT: Duration = Duration::from_secs(2);
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
    #[error("--ca: {} holds no certificate: expected PEM, `-----BEGIN CERTIFICATE-----`", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{place} holds no token: expected one line of letters, digits and `_`")]
    BadToken { place: String },
    #[error("cannot use the certificates for {url}")]
    Tls {
        url: String,
        source: tonic::transport::Error,
    },
    #[error("the certificate of the coordinator at {place} is not accepted: {way_out}")]
    Certificate {
        place: String,
        way_out: &'static str,
        source: tonic::transport::Error,
    },
    #[error(
        "the coordinator at {place} speaks TLS: write https:// for http://, and name its authority with --ca FILE if that is your own"
    )]
    NeedsTls { place: String },
    #[error(
        "the coordinator at {place} speaks no TLS: write http:// for https:// if it is meant to be reached unencrypted, or give it --tls-cert and --tls-key"
    )]
    NoTls {
        place: String,
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
            ca: self.ca.as_deref().map(certificates).transpose()?,
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
        let token = if let Some(path) = &self.token_file {
            Some(token_of_file(path)?)
        } else if let Ok(text) = std::env::var(TOKEN_VARIABLE) {
            let place = TOKEN_VARIABLE.to_owned();
            Some(header(&text).ok_or(ReachError::BadToken { place })?)
        } else {
            None
        };
        Ok(Bearer {
            token: Arc::new(RwLock::new(token)),
            file: self.token_file.clone(),
        })
    }
}

impl Place {
    /// Reads the file that the token came from again, for all clients that were made for this place. Whether it holds
    /// another one now.
    pub fn read_token_again(&self) -> Result<bool, ReachError> {
        let Self::Remote(Remote { token: bearer, .. }) = self else {
            return Ok(false);
        };
        let Some(path) = &bearer.file else {
            return Ok(false);
        };
        let token = Some(token_of_file(path)?);
        let mut known = bearer.token.write().unwrap_or_else(PoisonError::into_inner);
        let another = *known != token;
        *known = token;
        Ok(another)
    }
}

/// The client would take a file without any, and trust nobody.
fn certificates(path: &Path) -> Result<Vec<u8>, ReachError> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let pem = read("the certificates", path)?;
    match pem.windows(BEGIN.len()).any(|bytes| bytes == BEGIN) {
        true => Ok(pem),
        false => Err(ReachError::NoCertificate {
            path: path.to_owned(),
        }),
    }
}

fn token_of_file(path: &Path) -> Result<MetadataValue<Ascii>, ReachError> {
    let text = String::from_utf8(read("the token", path)?).unwrap_or_default();
    header(&text).ok_or_else(|| ReachError::BadToken {
        place: path.display().to_string(),
    })
}

/// What goes with every call; none if the text is no token.
fn header(text: &str) -> Option<MetadataValue<Ascii>> {
    let token = text.trim();
    let plain = !token.is_empty() && token.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let mut value: MetadataValue<Ascii> =
        plain.then(|| format!("Bearer {token}").parse().ok())??;
    value.set_sensitive(true);
    Some(value)
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
pub struct Bearer {
    /// Clones share it.
    token: Arc<RwLock<Option<MetadataValue<Ascii>>>>,
    /// Where it came from, if not from the environment.
    file: Option<PathBuf>,
}

impl Bearer {
    fn token(&self) -> Option<MetadataValue<Ascii>> {
        let token = self.token.read();
        token.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.token().is_some() {
            "Bearer(…)"
        } else {
            "no token"
        })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = self.token() {
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

/// A connected client.
pub async fn connect(place: &Place) -> Result<Client, ReachError> {
    let unreachable = |source: tonic::transport::Error| {
        let place = place.to_string();
        match way_out(&source) {
            Some(way_out) => ReachError::Certificate {
                place,
                way_out,
                source,
            },
            None if is_no_tls(&source) => ReachError::NoTls { place, source },
            None => ReachError::Connect { place, source },
        }
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
            } else if speaks_tls(&remote.url).await {
                return Err(ReachError::NeedsTls {
                    place: place.to_string(),
                });
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

/// Whether a server answers what HTTP/2 begins with by an alert of TLS. The client itself would only see that the connection
/// ends; whatever else happens here, it says so better.
async fn speaks_tls(url: &Uri) -> bool {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    /// The type of a record that holds an alert; no frame of HTTP/2 is so long that its length would begin so.
    const ALERT: u8 = 21;
    let Some(host) = url.host() else {
        return false;
    };
    let address = (
        host.trim_matches(['[', ']']).to_owned(),
        url.port_u16().unwrap_or(80),
    );
    let first_byte = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(PREFACE).await?;
        stream.read_u8().await
    };
    let answered = tokio::time::timeout(ALERT_LIMIT, first_byte).await;
    matches!(answered, Ok(Ok(ALERT)))
}

/// Whether a TLS handshake was answered by something else.
fn is_no_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut said = causes.map(ToString::to_string);
    said.any(|said| said.contains("InvalidContentType"))
}

/// What to do about a certificate that was not accepted, if that is what the error is about. TLS's own words come as text
/// only: the layers between wrap its error in their own.
fn way_out(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        let said = error.to_string();
        next = error.source();
        if !said.contains("invalid peer certificate") {
            continue;
        }
        return Some(match said {
            said if said.contains("CaUsedAsEndEntity") => {
                "it is an authority's own, as `openssl req -x509` makes them, and no server's; make a server's certificate signed by it, as docs/operations.md shows under Certificates"
            }
            said if said.contains("UnknownIssuer") => {
                "it comes from an authority that this machine does not know; name that authority's certificate with --ca FILE"
            }
            said if said.contains("not valid for name") => {
                "it is for another host name; call the coordinator by the name in its certificate, or make one with the name that you use"
            }
            said if said.contains("expired") => "it has expired, or a clock is wrong",
            _ => "see below",
        });
    }
    None
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
        let bearer = Bearer {
            token: Arc::new(RwLock::new(header("ns_0123456789abcdef\n"))),
            file: None,
        };
        assert_eq!(format!("{bearer:?}"), "Bearer(…)");
        assert!(bearer.token().is_some());
        assert!(header("two words").is_none());
        assert!(header("").is_none());
    }
}
