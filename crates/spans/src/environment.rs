//! OpenTelemetry's standard variables: where spans go, under which name, and which of them.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use tonic::{
    metadata::{AsciiMetadataKey, AsciiMetadataValue},
    transport::Uri,
};

use crate::sampler::Sampler;

/// Why nothing is exported although somebody wants it. Work goes on without.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    // Not repeated: somebody may have put a password into it.
    #[error("{name} is no address; expected http://HOST:4317 or https://HOST:4317")]
    Endpoint { name: &'static str },
    #[error("{name}={found}: only grpc is spoken here; collectors take it at port 4317")]
    Protocol { name: &'static str, found: String },
    // Not repeated: headers hold tokens.
    #[error("{name} is no list such as name=value,name=value")]
    List { name: &'static str },
    #[error("{name}={found} is no number of milliseconds above 0")]
    Milliseconds { name: &'static str, found: String },
    #[error("OTEL_TRACES_EXPORTER={0}: expected otlp or none")]
    Exporter(String),
    #[error(
        "OTEL_TRACES_SAMPLER={0}: expected always_on, always_off, traceidratio, or one of these with parentbased_ before it"
    )]
    Sampler(String),
    #[error("OTEL_TRACES_SAMPLER_ARG={0} is no number from 0 to 1")]
    Share(String),
    #[error("cannot read the authorities {}: {why}", path.display())]
    Authorities { path: PathBuf, why: String },
    #[error("cannot use the certificates for the collector: {why}")]
    Tls { why: String },
}

/// What the variables say.
#[derive(Clone, PartialEq)]
pub struct Environment {
    pub endpoint: Uri,
    pub headers: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
    pub timeout: Duration,
    /// PEM file of the authorities that the collector's certificate may come from.
    pub authorities: Option<PathBuf>,
    /// How long a span may wait for others.
    pub delay: Duration,
    pub service: Option<String>,
    pub resource: BTreeMap<String, String>,
    pub sampler: Sampler,
}

/// Headers are secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({})", self.endpoint)
    }
}

/// Of those that hold for everything, and for traces alone: the second goes first.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
const HEADERS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_HEADERS",
];
const TIMEOUTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
];
const CERTIFICATES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
];

impl Environment {
    /// `None`: nobody wants spans. An empty variable is one that is not set.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, EnvironmentError> {
        let get = |name: &'static str| {
            let value = get(name)?.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let first =
            |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, get(name)?)));
        let Some((name, endpoint)) = first(ENDPOINTS) else {
            return Ok(None);
        };
        if get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        match get("OTEL_TRACES_EXPORTER").as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(other) => return Err(EnvironmentError::Exporter(other.to_owned())),
        }
        if let Some((name, found)) = first(PROTOCOLS).filter(|(_, found)| found != "grpc") {
            return Err(EnvironmentError::Protocol { name, found });
        }
        let milliseconds = |value: Option<(&'static str, String)>, default| match value {
            None => Ok(Duration::from_millis(default)),
            Some((name, found)) => match found.parse() {
                Ok(number) if number > 0 => Ok(Duration::from_millis(number)),
                _ => Err(EnvironmentError::Milliseconds { name, found }),
            },
        };
        let delay = "OTEL_BSP_SCHEDULE_DELAY";
        let attributes = "OTEL_RESOURCE_ATTRIBUTES";
        Ok(Some(Self {
            endpoint: address(&endpoint).ok_or(EnvironmentError::Endpoint { name })?,
            headers: match first(HEADERS) {
                None => Vec::new(),
                Some((name, text)) => headers(&text).ok_or(EnvironmentError::List { name })?,
            },
            timeout: milliseconds(first(TIMEOUTS), 10_000)?,
            authorities: first(CERTIFICATES).map(|(_, path)| path.into()),
            delay: milliseconds(get(delay).map(|found| (delay, found)), 5_000)?,
            service: get("OTEL_SERVICE_NAME"),
            resource: match get(attributes) {
                None => BTreeMap::new(),
                Some(text) => list(&text)
                    .ok_or(EnvironmentError::List { name: attributes })?
                    .into_iter()
                    .collect(),
            },
            sampler: Sampler::parse(
                get("OTEL_TRACES_SAMPLER").as_deref(),
                get("OTEL_TRACES_SAMPLER_ARG").as_deref(),
            )?,
        }))
    }
}

fn address(text: &str) -> Option<Uri> {
    let address: Uri = text.parse().ok()?;
    let known = matches!(address.scheme_str(), Some("http" | "https"));
    let plain = address
        .authority()
        .is_some_and(|authority| !authority.as_str().contains('@'));
    (known && plain).then_some(address)
}

fn headers(text: &str) -> Option<Vec<(AsciiMetadataKey, AsciiMetadataValue)>> {
    let header = |(name, value): (String, String)| {
        let mut value: AsciiMetadataValue = value.parse().ok()?;
        value.set_sensitive(true);
        Some((name.to_ascii_lowercase().parse().ok()?, value))
    };
    list(text)?.into_iter().map(header).collect()
}

/// `name=value,name=value`; values may have their bytes as `%2C`.
fn list(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let name = name.trim();
        Some((name.to_owned(), decoded(value.trim())?)).filter(|_| !name.is_empty())
    };
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    pairs.map(pair).collect()
}

/// Bytes written as percent sign and two hexadecimal digits; `None` if they do not make a text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = after.split_first_chunk::<2>()?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push(u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}
