//! One connection: opened within a time, watched, and always ended.
//!
//! lapin's automatic recovery is not used. It gives up after a number of attempts, and it replays into channels whose
//! users cannot see it happen; here a link is never repaired, only replaced, so a delivery or a confirm belongs to
//! exactly one link.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_rs::Runtime;
use futures::StreamExt;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties, ErrorKind, Event};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::error::{self, BrokerError};
use crate::settings::Settings;
use crate::transport::{self, BoxedStream, Kit, Socket};

/// The smallest that RabbitMQ 4.1 and later accept; lapin sets 64 of them aside for each connection.
const FRAME_BYTES: u32 = 8192;
/// How long a polite goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(crate) enum Health {
    Open,
    /// The broker's alarm: it reads nothing that we write until it is over.
    Blocked(String),
    Ended(Arc<BrokerError>),
}

#[derive(Debug)]
pub(crate) struct Link {
    connection: Connection,
    socket: Arc<Socket>,
    health: Arc<watch::Sender<Health>>,
    events: tokio::task::JoinHandle<()>,
    address: String,
    command_timeout: Duration,
}

impl Link {
    pub(crate) async fn open(settings: &Settings) -> Result<Self, BrokerError> {
        // Known outside of the future, so that a handshake that takes too long can be ended.
        let half_open = Mutex::new(None);
        let opened = timeout(settings.connect_timeout, async {
            let (stream, socket) = transport::open(settings).await?;
            let socket = Arc::new(socket);
            *lock(&half_open) = Some(Arc::clone(&socket));
            match handshake(settings, stream).await {
                Ok(connection) => Ok((connection, socket)),
                Err(error) => Err(handshake_error(settings, error)),
            }
        })
        .await
        .unwrap_or_else(|_| {
            Err(BrokerError::TimedOut {
                address: settings.url.address(),
                what: "connect",
                after: settings.connect_timeout,
            })
        });
        let half_open = half_open.into_inner().unwrap_or_else(|e| e.into_inner());
        match opened {
            Ok((connection, socket)) => Ok(Self::watch(settings, connection, socket)),
            Err(error) => {
                if let Some(socket) = half_open {
                    socket.shut_down();
                }
                Err(error)
            }
        }
    }

    fn watch(settings: &Settings, connection: Connection, socket: Arc<Socket>) -> Self {
        let health = Arc::new(watch::Sender::new(Health::Open));
        let mut events = connection.events_listener();
        let status = connection.status().clone();
        // What happened before anybody listened.
        if status.blocked() {
            health.send_replace(Health::Blocked("reason not heard".to_owned()));
        }
        let watched = Arc::clone(&health);
        let events = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Event::ConnectionBlocked(reason) => set(&watched, Health::Blocked(reason)),
                    Event::ConnectionUnblocked => set(&watched, Health::Open),
                    // Errors of channels come here too; they are their users' business.
                    Event::Error(error) if !status.connected() => {
                        set(&watched, Health::Ended(Arc::new(error::closed(error))));
                    }
                    _ => {}
                }
            }
        });
        Self {
            connection,
            socket,
            health,
            events,
            address: settings.url.address(),
            command_timeout: settings.command_timeout,
        }
    }

    /// One answer of the broker, bounded. A peer that does not answer is not worth keeping.
    pub(crate) async fn command<T>(
        &self,
        what: &'static str,
        answer: impl Future<Output = Result<T, BrokerError>>,
    ) -> Result<T, BrokerError> {
        match timeout(self.command_timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => {
                let error = || BrokerError::TimedOut {
                    address: self.address.clone(),
                    what,
                    after: self.command_timeout,
                };
                self.end(error());
                Err(error())
            }
        }
    }

    pub(crate) async fn channel(&self) -> Result<lapin::Channel, BrokerError> {
        self.command("open a channel", async {
            self.connection
                .create_channel()
                .await
                .map_err(error::closed)
        })
        .await
    }

    /// False as soon as lapin knows, which may be before the event has come.
    pub(crate) fn connected(&self) -> bool {
        self.connection.status().connected()
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Resolves when it has ended, with the reason.
    pub(crate) async fn ended(&self) -> Arc<BrokerError> {
        let mut health = self.health();
        loop {
            if let Health::Ended(error) = &*health.borrow_and_update() {
                return Arc::clone(error);
            }
            if health.changed().await.is_err() {
                return Arc::new(BrokerError::NotYet);
            }
        }
    }

    /// Resolves while the broker blocks us, with its reason.
    pub(crate) async fn blocked(&self) -> String {
        let mut health = self.health();
        loop {
            if let Health::Blocked(reason) = &*health.borrow_and_update() {
                return reason.clone();
            }
            if health.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Ends it at once, without a word to the peer.
    pub(crate) fn end(&self, error: BrokerError) {
        self.end_with(Arc::new(error));
    }

    pub(crate) fn end_with(&self, error: Arc<BrokerError>) {
        set(&self.health, Health::Ended(error));
        self.socket.shut_down();
    }

    /// Says goodbye, for a moment only: a blocked broker does not hear it.
    pub(crate) async fn close(&self) {
        let goodbye = self.connection.close(200, "OK".into());
        let _ = timeout(CLOSE_TIMEOUT, goodbye).await;
        self.socket.shut_down();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.events.abort();
        self.socket.shut_down();
    }
}

/// The first end is the reason; what follows from it is not.
fn set(health: &watch::Sender<Health>, next: Health) {
    health.send_if_modified(|current| {
        if matches!(current, Health::Ended(_)) {
            return false;
        }
        *current = next;
        true
    });
}

async fn handshake(settings: &Settings, stream: BoxedStream) -> Result<Connection, lapin::Error> {
    let url = &settings.url;
    let uri = AMQPUri {
        // TLS, if any, is below already.
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo {
                username: url.user.clone(),
                password: url.password.clone(),
            },
            host: url.host.clone(),
            port: url.port,
        },
        vhost: url.vhost.clone(),
        query: AMQPQueryString {
            frame_max: Some(FRAME_BYTES),
            heartbeat: Some(u16::try_from(settings.heartbeat.as_secs().max(1)).unwrap_or(u16::MAX)),
            ..AMQPQueryString::default()
        },
    };
    let properties =
        ConnectionProperties::default().with_connection_name(settings.name.as_str().into());
    let stream = Mutex::new(Some(stream));
    let connect = async move |_: AMQPUri, _: Runtime<Kit>| match lock(&stream).take() {
        Some(stream) => Ok(AsyncTcpStream::Plain(stream)),
        None => Err(lapin::Error::from(std::io::Error::from(
            std::io::ErrorKind::NotConnected,
        ))),
    };
    Connection::connector(uri, Runtime::new(Kit::current()), connect, properties).await
}

fn handshake_error(settings: &Settings, error: lapin::Error) -> BrokerError {
    let url = &settings.url;
    if matches!(
        error.kind(),
        ErrorKind::ParsingError(_) | ErrorKind::InvalidProtocolVersion(_)
    ) {
        return BrokerError::NotAmqp {
            address: url.address(),
            source: error,
        };
    }
    match error::broker_reason(&error) {
        Some((403, _)) => BrokerError::LoginRefused {
            address: url.address(),
            user: url.user.clone(),
            way_out: match url.password.is_empty() {
                true => {
                    "no password was given; put it into NIGHTSHIFT_BROKER_PASSWORD, or into a file that --broker-password-file names"
                }
                false => {
                    "check the password, and that this user may log in from here (guest only from the broker's own machine)"
                }
            },
        },
        Some((530, reason)) => BrokerError::VhostRefused {
            address: url.address(),
            vhost: url.vhost.clone(),
            user: url.user.clone(),
            reason,
        },
        _ => error::closed(error),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
