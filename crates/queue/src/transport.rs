//! The socket below lapin: TCP or TLS, opened by us so that we can bound, name and end it.
//!
//! lapin's own TLS would bring some thirty crates for client certificates in PKCS#12, and a connection attempt of its
//! own cannot be abandoned: its thread would wait for a silent peer for ever. So a ready stream is handed to it, and
//! a second handle to the socket stays here, whose shutdown ends every wait inside.

use std::fmt;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_compat::{Compat, CompatExt};
use async_rs::Tokio;
use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::Task;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use crate::error::{BrokerError, SettingsError};
use crate::settings::Settings;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(crate) type BoxedStream = Compat<Box<dyn Stream>>;

/// The second handle: what is shut down through it ends for lapin too.
pub(crate) struct Socket(std::net::TcpStream);

impl Socket {
    pub(crate) fn shut_down(&self) {
        // Fails only where the peer has already done so.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Socket")
    }
}

/// TCP and, for `amqps`, TLS. The caller bounds the time.
pub(crate) async fn open(settings: &Settings) -> Result<(BoxedStream, Socket), BrokerError> {
    let address = settings.url.address();
    let connector = match settings.url.tls {
        true => Some(tls_connector(settings).await?),
        false => None,
    };
    let unreachable = |source| BrokerError::Unreachable {
        address: address.clone(),
        source,
    };
    let stream = TcpStream::connect((settings.url.host.as_str(), settings.url.port))
        .await
        .map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let stream = stream.into_std().map_err(unreachable)?;
    let socket = Socket(stream.try_clone().map_err(unreachable)?);
    let stream = TcpStream::from_std(stream).map_err(unreachable)?;
    let Some(connector) = connector else {
        return Ok((boxed(stream), socket));
    };
    let refused = |source| BrokerError::Tls {
        address: address.clone(),
        source,
    };
    let name = ServerName::try_from(settings.url.host.clone())
        .map_err(|error| refused(io::Error::other(error)))?;
    let stream = connector.connect(name, stream).await.map_err(refused)?;
    Ok((boxed(stream), socket))
}

fn boxed(stream: impl Stream + 'static) -> BoxedStream {
    (Box::new(stream) as Box<dyn Stream>).compat()
}

/// The certificates of a file.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, SettingsError> {
    let failed = |source| SettingsError::CaFile {
        path: path.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(path).map_err(failed)?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| failed(io::Error::other(e)))?;
        roots
            .add(certificate)
            .map_err(|e| failed(io::Error::other(e)))?;
    }
    if roots.is_empty() {
        return Err(failed(io::Error::other("no certificate in it")));
    }
    Ok(roots)
}

async fn tls_connector(settings: &Settings) -> Result<TlsConnector, BrokerError> {
    let mut roots = match settings.ca_file.clone() {
        Some(path) => {
            let read = tokio::task::spawn_blocking(move || authorities(&path)).await;
            read.map_err(|error| BrokerError::Tls {
                address: settings.url.address(),
                source: error.into(),
            })??
        }
        None => RootCertStore::empty(),
    };
    // A machine without system certificates is fine where the CA file is enough; the handshake says so otherwise.
    let system = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    if let Ok(system) = system {
        roots.add_parsable_certificates(system.certs);
    }
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| BrokerError::Tls {
                address: settings.url.address(),
                source: io::Error::other(error),
            })?
            .with_root_certificates(roots)
            .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// tokio as lapin wants to see it, with our stream as its kind of TCP stream.
#[derive(Debug, Clone)]
pub(crate) struct Kit(Tokio);

impl Kit {
    pub(crate) fn current() -> Self {
        Self(Tokio::current())
    }
}

impl RuntimeKit for Kit {}

impl Executor for Kit {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, f: F) -> T {
        self.0.block_on(f)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        f: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn(f)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        f: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(f)
    }
}

impl Reactor for Kit {
    type TcpStream = BoxedStream;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// Never asked: lapin opens no other descriptor.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _socket: H,
    ) -> io::Result<impl futures::AsyncRead + futures::AsyncWrite + Send + Unpin + 'static> {
        Err::<BoxedStream, _>(io::Error::from(io::ErrorKind::Unsupported))
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(
        &self,
        duration: Duration,
    ) -> impl futures::Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    /// Never asked: lapin is handed a stream.
    fn tcp_connect_addr(
        &self,
        _address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        std::future::ready(Err(io::Error::from(io::ErrorKind::Unsupported)))
    }
}
