//! Where the broker is, who we are to it, and how long anything may take.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::error::SettingsError;

/// Everything that a connection needs. The times bound every wait of this crate.
#[derive(Debug, Clone)]
pub struct Settings {
    pub url: BrokerUrl,
    /// Certificates (PEM) to trust besides the system's, for a broker with a private authority.
    pub ca_file: Option<PathBuf>,
    /// Shown in the broker's list of connections.
    pub name: String,
    /// TCP, TLS and AMQP handshakes together.
    pub connect_timeout: Duration,
    /// One answer of the broker: open a channel, declare, consume, cancel; and the writing of an ack.
    pub command_timeout: Duration,
    /// From `publish` to its confirm.
    pub publish_timeout: Duration,
    /// A wake-up that nobody took within this is dropped by the broker.
    pub wake_up_ttl: Duration,
    /// A peer that was silent for twice this long is gone. Whole seconds; the broker may ask for less.
    pub heartbeat: Duration,
    /// A consumer that has got nothing for so long consumes anew: brokers lose consumers without telling them (RabbitMQ
    /// 3.10 does, where a deleted queue is declared again at once).
    pub renew_idle: Duration,
    pub backoff_first: Duration,
    pub backoff_longest: Duration,
}

impl Settings {
    /// The defaults keep every recovery within the 20 s after which idle workers ask by themselves.
    pub fn new(url: BrokerUrl, name: impl Into<String>) -> Self {
        Self {
            url,
            ca_file: None,
            name: name.into(),
            connect_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(5),
            publish_timeout: Duration::from_secs(5),
            wake_up_ttl: Duration::from_secs(60),
            heartbeat: Duration::from_secs(8),
            renew_idle: Duration::from_secs(15),
            backoff_first: Duration::from_millis(100),
            backoff_longest: Duration::from_secs(5),
        }
    }
}

/// `amqp://user:password@host:port/vhost` or `amqps://...`. The password is in no output of this type.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    pub user: String,
    pub(crate) password: String,
    pub vhost: String,
}

impl BrokerUrl {
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.password = password.into();
        self
    }

    /// `host:port`, with the brackets that an IPv6 address needs.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for BrokerUrl {
    type Err = SettingsError;

    /// Our own reading, for two reasons: lapin's takes an IPv6 host for `localhost` and `host/` for the virtual host
    /// with the empty name, and its error repeats the URL with the password in it.
    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let bad = |reason: &str| SettingsError::Url {
            reason: reason.to_owned(),
        };
        let url = url::Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        let (tls, port) = match url.scheme() {
            "amqp" => (false, 5672),
            "amqps" => (true, 5671),
            _ => return Err(bad("the scheme is neither amqp nor amqps")),
        };
        let host = match url.host() {
            None => return Err(bad("it names no host")),
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(host) => decode(&host.to_string())?,
        };
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad(
                "options after `?` or `#` are not read; a `?` or `#` of a password is written %3F or %23",
            ));
        }
        let vhost = match url.path().trim_start_matches('/') {
            "" => "/".to_owned(),
            path => decode(path)?,
        };
        let (user, password) = match (url.username(), url.password()) {
            ("", None) => ("guest".to_owned(), "guest".to_owned()),
            (user, password) => (decode(user)?, decode(password.unwrap_or_default())?),
        };
        Ok(Self {
            tls,
            host,
            port: url.port().unwrap_or(port),
            user,
            password,
            vhost,
        })
    }
}

/// Percent-decoding by the parser of query strings, which reads `+` as a space.
fn decode(text: &str) -> Result<String, SettingsError> {
    let query = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    let decoded = url::form_urlencoded::parse(query.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    if decoded.contains(char::REPLACEMENT_CHARACTER) {
        return Err(SettingsError::Url {
            reason: "a percent-encoded part is not UTF-8".to_owned(),
        });
    }
    Ok(decoded)
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "amqps" } else { "amqp" };
        let vhost = self.vhost.replace('/', "%2F");
        write!(f, "{scheme}://{}@{}/{vhost}", self.user, self.address())
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
