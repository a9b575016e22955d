//! What can go wrong with a broker, in the words of whoever has to act.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lapin::ErrorKind;

/// A setting that cannot be right, found before anything is connected.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Does not repeat the URL: it holds the password.
    #[error(
        "the broker's URL cannot be read: {reason}; expected amqp://user@host:5672/vhost (amqps:// with TLS)"
    )]
    Url { reason: String },
    #[error(
        "the broker's URL holds a password, where everybody may see it: put it into NIGHTSHIFT_BROKER_PASSWORD, or into a file that --broker-password-file names"
    )]
    PasswordInUrl,
    #[error("cannot read the broker's password from {path}")]
    PasswordFile { path: PathBuf, source: io::Error },
    #[error("cannot read the broker's certificates in {path}: expected PEM")]
    CaFile { path: PathBuf, source: io::Error },
}

/// Why there is no working connection.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error(
        "cannot reach the broker at {address}: is it running, and may this machine connect there?"
    )]
    Unreachable { address: String, source: io::Error },
    #[error(
        "the broker at {address} refused TLS: does that port speak TLS (usually 5671), does its certificate name this host, and is its authority in the CA file (--broker-ca)?"
    )]
    Tls { address: String, source: io::Error },
    #[error(
        "what answers at {address} does not speak AMQP: is that the broker's port, and does it speak TLS (usually 5671), which amqps:// asks for?"
    )]
    NotAmqp {
        address: String,
        source: lapin::Error,
    },
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the broker at {address} refused the login of user \"{user}\": {way_out}")]
    LoginRefused {
        address: String,
        user: String,
        way_out: &'static str,
    },
    #[error(
        "the broker at {address} refused virtual host \"{vhost}\" for user \"{user}\" ({reason}): create it (rabbitmqctl add_vhost) and give the user rights there (rabbitmqctl set_permissions)"
    )]
    VhostRefused {
        address: String,
        vhost: String,
        user: String,
        reason: String,
    },
    #[error(
        "the broker denied access to queue \"{queue}\" ({reason}): the user needs the rights configure, write and read on nightshift\\..* and write on amq\\.default"
    )]
    Denied { queue: String, reason: String },
    #[error(
        "queue \"{queue}\" exists with other arguments ({reason}): delete it (rabbitmqctl delete_queue; it holds wake-ups only, nothing is lost) and it is declared anew, or use another virtual host"
    )]
    QueueDiffers { queue: String, reason: String },
    #[error("the broker at {address} did not answer within {after:?} ({what})")]
    TimedOut {
        address: String,
        what: &'static str,
        after: Duration,
    },
    #[error(
        "queue \"{queue}\" did not answer within {after:?}; if that stays so, its replicas are gone or without a majority (rabbitmq-queues quorum_status): delete it (rabbitmqctl delete_queue; it holds wake-ups only)"
    )]
    QueueSilent { queue: String, after: Duration },
    #[error(
        "the broker stopped our consumer of queue \"{queue}\": the queue was deleted or moved, or a wake-up was held too long"
    )]
    ConsumerCancelled { queue: String },
    #[error("the broker ended it: {reason}")]
    Closed { reason: String },
    #[error("the connection to the broker is lost")]
    Lost { source: lapin::Error },
    #[error("not connected yet")]
    NotYet,
}

impl BrokerError {
    /// The broker is there and knows us not, or not for this.
    pub fn is_denial(&self) -> bool {
        matches!(
            self,
            Self::LoginRefused { .. } | Self::VhostRefused { .. } | Self::Denied { .. }
        )
    }

    /// Somebody has to change something; trying again alone does not help. A program says so at its start and leaves.
    pub fn needs_somebody(&self) -> bool {
        matches!(
            self,
            Self::Tls { .. }
                | Self::NotAmqp { .. }
                | Self::Settings(_)
                | Self::LoginRefused { .. }
                | Self::VhostRefused { .. }
                | Self::Denied { .. }
                | Self::QueueDiffers { .. }
        )
    }
}

/// What became of a wake-up that was to be published. After any of these it may have arrived all the same.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("queue \"{queue}\" does not exist; it is declared again with the next wake-up")]
    Unroutable { queue: String },
    #[error("the broker could not store the wake-up in queue \"{queue}\"")]
    Nacked { queue: String },
    #[error("no confirm within {after:?}; the connection is made anew")]
    TimedOut { after: Duration },
    #[error(
        "the broker takes no messages for now ({reason}): it lacks memory or disk; see rabbitmqctl alarms"
    )]
    Blocked { reason: String },
    /// The connection is being made anew in the background.
    #[error("not connected to the broker")]
    Disconnected(#[source] Arc<BrokerError>),
    /// The connection stands, the broker will not do this.
    #[error(transparent)]
    Refused(BrokerError),
}

/// The connection that delivered the wake-up is gone, and the ack with it. The broker delivers it again to somebody:
/// an empty claim, nothing more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the wake-up's connection is gone; the broker delivers it again")]
pub struct AckError;

/// The broker's code and words, where an error has them.
pub(crate) fn broker_reason(error: &lapin::Error) -> Option<(u16, String)> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some((error.get_id(), error.get_message().to_string())),
        _ => None,
    }
}

pub(crate) fn closed(error: lapin::Error) -> BrokerError {
    match broker_reason(&error) {
        Some((code, text)) => BrokerError::Closed {
            reason: format!("{code} {text}"),
        },
        None => BrokerError::Lost { source: error },
    }
}
