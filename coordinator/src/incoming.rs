//! Connections from the network, bounded: neither silent ones nor too many of them may take the coordinator down.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tonic::transport::server::Connected;

use crate::pace::Pace;

/// How long a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Who has connected says something within this, and ends its TLS handshake.
    pub silence: Duration,
    /// Within this a call of it is let in. Whatever else it says, pings and refused calls included, does not count.
    pub admission: Duration,
}

pub const PATIENCE: Patience = Patience {
    silence: Duration::from_secs(10),
    admission: Duration::from_secs(20),
};

/// Descriptors for everything but connections from the network.
const RESERVED: u64 = 256;
/// More than any cluster has workers and users.
const MOST: u64 = 16_384;
/// After an accept that failed: the reason is the system's, and may last.
const PAUSE: Duration = Duration::from_millis(200);

/// Raises the limit of open descriptors as far as it goes; how many of them are for connections from the network.
pub fn connections() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit
        .maximum
        .unwrap_or(MOST + RESERVED)
        .min(MOST + RESERVED);
    if limit.current.is_some_and(|current| current < most) {
        limit.current = Some(most);
        // Where it may not be raised, what there is has to do.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    let have = getrlimit(Resource::Nofile).current.unwrap_or(most);
    usize::try_from(have.saturating_sub(RESERVED).clamp(16, MOST)).unwrap_or(16)
}

/// Accepts connections while fewer than `most` are open; the others wait outside. Who tries our patience is cut off.
pub fn incoming(
    listener: TcpListener,
    most: usize,
    patience: Patience,
) -> impl Stream<Item = Result<Connection, io::Error>> {
    let places = Arc::new(Semaphore::new(most));
    stream::unfold(
        (listener, places, false),
        move |(listener, places, said): (TcpListener, Arc<Semaphore>, bool)| async move {
            let mut said = said;
            loop {
                let place = match places.clone().try_acquire_owned() {
                    Ok(place) => place,
                    Err(_) => {
                        if !std::mem::replace(&mut said, true) {
                            tracing::warn!(
                                connections = most,
                                "as many connections as there may be: others wait until one ends"
                            );
                        }
                        places.clone().acquire_owned().await.ok()?
                    }
                };
                match listener.accept().await {
                    Ok((stream, address)) => {
                        // Small messages that wait for each other; a stream that cannot be told so works all the same.
                        let _ = stream.set_nodelay(true);
                        let connection = Connection {
                            stream,
                            silent: Some(Box::pin(sleep(patience.silence))),
                            stranger: Some(Box::pin(sleep(patience.admission))),
                            peer: Peer::new(address),
                            _place: place,
                        };
                        return Some((Ok(connection), (listener, places, said)));
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut said, true) {
                            tracing::warn!(%error, "cannot accept a connection; trying on");
                        }
                        sleep(PAUSE).await;
                    }
                }
            }
        },
    )
}

/// Who is at the other end of a connection; every request that comes over it has this.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: SocketAddr,
    admitted: Arc<AtomicBool>,
    pace: Arc<Mutex<Pace>>,
}

impl Peer {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            admitted: Arc::default(),
            pace: Arc::new(Mutex::new(Pace::new(Instant::now()))),
        }
    }

    /// Whether the connection may make one more call now.
    pub fn is_in_pace(&self) -> bool {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.takes(Instant::now())
    }

    /// A call was let in: the connection may stay.
    pub fn admit(&self) {
        self.admitted.store(true, Ordering::Relaxed);
    }
}

/// A connection that counts among those that are open, and ends if its peer says nothing at first, or nothing that lets it in.
pub struct Connection {
    stream: TcpStream,
    /// Until the first bytes have come.
    silent: Option<Pin<Box<Sleep>>>,
    /// Until a call was let in.
    stranger: Option<Pin<Box<Sleep>>>,
    peer: Peer,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Looked at wherever the connection waits, so that one that never reads what it asked for ends as well.
    fn stay(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.peer.admitted.load(Ordering::Relaxed) {
            self.stranger = None;
        }
        let waits = self.stranger.as_mut();
        if waits.is_some_and(|deadline| deadline.as_mut().poll(context).is_ready()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stay(context)?;
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                self.silent = None;
                Poll::Ready(read)
            }
            Poll::Pending => {
                if let Some(silent) = &mut self.silent {
                    ready!(silent.as_mut().poll(context));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stay(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stay(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stay(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn no_more_than_so_many_are_open_at_a_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut incoming = Box::pin(incoming(listener, 2, PATIENCE));
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let first = incoming.next().await.unwrap().unwrap();
        let _second = incoming.next().await.unwrap().unwrap();
        let mut third = std::pin::pin!(incoming.next());
        let waits = tokio::time::timeout(Duration::ZERO, &mut third).await;
        assert!(waits.is_err());
        drop(first);
        assert!(third.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn who_says_nothing_is_cut_off_and_who_has_spoken_may_be_silent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let patience = Patience {
            silence: Duration::from_millis(20),
            ..PATIENCE
        };
        let mut incoming = Box::pin(incoming(listener, 2, patience));
        let _silent = TcpStream::connect(address).await.unwrap();
        let mut connection = incoming.next().await.unwrap().unwrap();
        let read = connection.read_u8().await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);

        let spoken = TcpStream::connect(address).await.unwrap();
        spoken.writable().await.unwrap();
        spoken.try_write(b"x").unwrap();
        let mut connection = incoming.next().await.unwrap().unwrap();
        connection.silent = Some(Box::pin(sleep(PATIENCE.silence)));
        assert_eq!(connection.read_u8().await.unwrap(), b'x');
        assert!(connection.silent.is_none());
    }

    #[tokio::test]
    async fn who_is_not_let_in_is_cut_off_whatever_it_says() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let patience = Patience {
            admission: Duration::from_millis(20),
            ..PATIENCE
        };
        let mut incoming = Box::pin(incoming(listener, 2, patience));
        let mut talker = TcpStream::connect(address).await.unwrap();
        let mut connection = incoming.next().await.unwrap().unwrap();
        let talks = tokio::spawn(async move { while talker.write_all(b"ping").await.is_ok() {} });
        let error = loop {
            if let Err(error) = connection.read_u8().await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let written = connection.write_u8(0).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(connection);
        talks.await.unwrap();

        let _let_in = TcpStream::connect(address).await.unwrap();
        let mut connection = incoming.next().await.unwrap().unwrap();
        connection.connect_info().admit();
        connection.silent = None;
        sleep(patience.admission * 2).await;
        connection.write_u8(0).await.unwrap();
        assert!(connection.stranger.is_none());
    }

    #[test]
    fn there_are_descriptors_left_for_the_rest() {
        let connections = connections() as u64;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        assert!(limit.current.is_none_or(|all| connections < all));
    }
}
