//! Listening beyond the state folder's socket: what is needed for it, checked before anything else starts.

use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::net::TcpListener;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use crate::{
    Settings,
    access::{Access, AccessError},
    incoming::PATIENCE,
};

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("--listen {address:?} is no address; expected IP:PORT, such as 0.0.0.0:7070")]
    BadAddress { address: String },
    #[error(
        "--listen {address} is reachable by others: it needs --tokens FILE (`ctl token new` makes entries)"
    )]
    NoTokens { address: SocketAddr },
    #[error(
        "--listen {address} is reachable by others: it needs --tls-cert FILE and --tls-key FILE, or --insecure, which lets everybody on the way read along"
    )]
    NoTls { address: SocketAddr },
    #[error("--tls-cert and --tls-key belong together: {missing} is missing")]
    HalfTls { missing: &'static str },
    #[error("cannot use the certificate {} with the key {}; both must be PEM and belong together", certificate.display(), key.display())]
    BadTls {
        certificate: PathBuf,
        key: PathBuf,
        source: tonic::transport::Error,
    },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("cannot listen on {address}")]
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
}

/// A network address that may be listened on, with what guards it.
pub struct Network {
    address: SocketAddr,
    pub tls: Option<ServerTlsConfig>,
    pub access: Option<Arc<Access>>,
}

impl Network {
    /// None if no address was asked for.
    pub fn of(settings: &Settings) -> Result<Option<Self>, ListenError> {
        let Some(text) = &settings.listen else {
            return Ok(None);
        };
        let address: SocketAddr = text.parse().map_err(|_| ListenError::BadAddress {
            address: text.clone(),
        })?;
        let access = settings.tokens.as_deref().map(Access::read).transpose()?;
        let tls = match (&settings.tls_cert, &settings.tls_key) {
            (Some(certificate), Some(key)) => {
                let identity = Identity::from_pem(read(certificate)?, read(key)?);
                let tls = ServerTlsConfig::new()
                    .identity(identity)
                    .timeout(PATIENCE.silence);
                // The files are looked into only when a server takes them.
                let tried = Server::builder().tls_config(tls.clone());
                tried.map_err(|source| ListenError::BadTls {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    source,
                })?;
                Some(tls)
            }
            (None, None) => None,
            (None, _) => {
                return Err(ListenError::HalfTls {
                    missing: "--tls-cert",
                });
            }
            (_, None) => {
                return Err(ListenError::HalfTls {
                    missing: "--tls-key",
                });
            }
        };
        if !address.ip().is_loopback() {
            if access.is_none() {
                return Err(ListenError::NoTokens { address });
            }
            if tls.is_none() && !settings.insecure {
                return Err(ListenError::NoTls { address });
            }
        }
        Ok(Some(Self {
            address,
            tls,
            access: access.map(Arc::new),
        }))
    }

    /// Whether other machines reach it.
    pub fn is_open(&self) -> bool {
        !self.address.ip().is_loopback()
    }

    pub async fn bind(&self) -> Result<TcpListener, ListenError> {
        let bound = TcpListener::bind(self.address)
            .await
            .map_err(|source| ListenError::Bind {
                address: self.address,
                source,
            })?;
        let address = bound.local_addr().unwrap_or(self.address);
        tracing::info!(%address, tls = self.tls.is_some(), tokens = self.access.is_some(), "listening");
        if self.tls.is_none() && self.is_open() {
            tracing::warn!(%address, "--insecure: tokens and data cross the network unencrypted");
        }
        if self.access.is_none() {
            tracing::warn!(%address, "no --tokens: every user of this machine may call");
        }
        Ok(bound)
    }
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, ListenError> {
    fs::read(path).map_err(|source| ListenError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn refused(flags: &[&str]) -> String {
        let settings = Settings::parse_from(["coordinator"].iter().chain(flags));
        match Network::of(&settings) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{flags:?} was accepted"),
        }
    }

    #[test]
    fn nothing_listens_beyond_loopback_unguarded() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = folder.path().join("tokens.yaml");
        fs::write(
            &tokens,
            format!("- {{name: a, role: user, sha256: '{}'}}\n", "0".repeat(64)),
        )
        .unwrap();
        let tokens = tokens.to_str().unwrap();
        assert!(refused(&["--listen", "0.0.0.0:0"]).contains("--tokens"));
        assert!(refused(&["--listen", "0.0.0.0:0", "--insecure"]).contains("--tokens"));
        assert!(refused(&["--listen", "0.0.0.0:0", "--tokens", tokens]).contains("--tls-cert"));
        assert!(refused(&["--listen", "[::]:0", "--tokens", tokens]).contains("--tls-cert"));
        // The tokens file is no PEM file.
        let tls = [
            "--listen",
            "127.0.0.1:0",
            "--tls-cert",
            tokens,
            "--tls-key",
            tokens,
        ];
        assert!(refused(&tls).contains("cannot use the certificate"));
        assert!(refused(&["--listen", "nowhere"]).contains("IP:PORT"));
        assert!(refused(&["--listen", "127.0.0.1:0", "--tls-cert", "x"]).contains("--tls-key"));
        let flags = [
            "coordinator",
            "--listen",
            "0.0.0.0:0",
            "--tokens",
            tokens,
            "--insecure",
        ];
        assert!(matches!(
            Network::of(&Settings::parse_from(flags)),
            Ok(Some(_))
        ));
        assert!(matches!(
            Network::of(&Settings::parse_from(["coordinator"])),
            Ok(None)
        ));
    }
}
