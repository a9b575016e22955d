//! Which trace something belongs to, and at which span of it: W3C's trace context.

use std::fmt;

use serde::{Deserialize, Serialize};

/// W3C asks that a tracestate of this size be passed on; longer ones are left out.
const MAX_STATE_BYTES: usize = 512;
/// The lowest bit of the flags.
const SAMPLED: u8 = 1;

/// Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(u128);

/// Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(u64);

/// A span, as those know it who begin others below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Headers", into = "Headers")]
pub struct TraceContext {
    pub trace: TraceId,
    pub span: SpanId,
    /// Its spans are recorded.
    pub sampled: bool,
    /// What tracing tools tell each other, passed on as it came; empty: nothing.
    state: String,
}

/// The form in JSON: the two headers' values.
#[derive(Serialize, Deserialize)]
struct Headers {
    traceparent: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    tracestate: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
pub struct TraceParentError;

impl TraceId {
    /// A trace's id from random bits.
    pub fn from_random(bits: u128) -> Self {
        Self(bits.max(1))
    }

    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Evenly spread over all traces: what a share of them is chosen by.
    pub fn low_bits(self) -> u64 {
        self.0 as u64
    }
}

impl SpanId {
    pub fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl TraceContext {
    /// The first span of a trace.
    pub fn root(trace: TraceId, sampled: bool) -> Self {
        let span = mixed(trace, 0, "root", 0);
        Self {
            trace,
            span,
            sampled,
            state: String::new(),
        }
    }

    /// A span below this one. The same name and number give the same span: who begins one that another process, or
    /// another life of this one, will end needs to write nothing down.
    pub fn child(&self, name: &str, number: u64) -> Self {
        Self {
            span: mixed(self.trace, self.span.0, name, number),
            ..self.clone()
        }
    }

    /// Reads the two headers. A state that is too long or not plain text is left out: tracing must not stop work.
    pub fn from_headers(
        traceparent: &str,
        tracestate: Option<&str>,
    ) -> Result<Self, TraceParentError> {
        let mut parts = traceparent.trim().splitn(4, '-');
        let mut part = |length| {
            let text = parts.next().filter(|text| text.len() >= length);
            text.ok_or(TraceParentError)
        };
        let (version, trace, span, rest) = (part(2)?, part(32)?, part(16)?, part(2)?);
        // Later versions may add to the end, and only there.
        let (flags, more) = rest.split_at_checked(2).ok_or(TraceParentError)?;
        let version = hexadecimal(version, 2)?;
        if version == 0xff
            || (version == 0 && !more.is_empty())
            || !(more.is_empty() || more.starts_with('-'))
        {
            return Err(TraceParentError);
        }
        let (trace, span) = (hexadecimal(trace, 32)?, hexadecimal(span, 16)?);
        let flags = hexadecimal(flags, 2)?;
        if trace == 0 || span == 0 {
            return Err(TraceParentError);
        }
        let plain = |text: &&str| {
            text.len() <= MAX_STATE_BYTES && text.bytes().all(|b| (0x20..0x7f).contains(&b))
        };
        Ok(Self {
            trace: TraceId(trace),
            span: SpanId(span as u64),
            sampled: flags & u128::from(SAMPLED) != 0,
            state: tracestate
                .filter(plain)
                .unwrap_or_default()
                .trim()
                .to_owned(),
        })
    }

    pub fn traceparent(&self) -> String {
        let flags = if self.sampled { SAMPLED } else { 0 };
        format!("00-{}-{}-{flags:02x}", self.trace, self.span)
    }

    pub fn tracestate(&self) -> Option<&str> {
        Some(self.state.as_str()).filter(|state| !state.is_empty())
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl TryFrom<Headers> for TraceContext {
    type Error = TraceParentError;

    fn try_from(headers: Headers) -> Result<Self, TraceParentError> {
        Self::from_headers(&headers.traceparent, Some(&headers.tracestate))
    }
}

impl From<TraceContext> for Headers {
    fn from(context: TraceContext) -> Self {
        Self {
            traceparent: context.traceparent(),
            tracestate: context.state,
        }
    }
}

/// W3C wants lower case, and exactly so many digits.
fn hexadecimal(text: &str, digits: usize) -> Result<u128, TraceParentError> {
    let valid =
        text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !valid {
        return Err(TraceParentError);
    }
    u128::from_str_radix(text, 16).map_err(|_| TraceParentError)
}

/// FNV-1a over the words, then SplitMix64's finalizer: spread, not secret. Of 64 bits, as span ids are.
fn mixed(trace: TraceId, parent: u64, name: &str, number: u64) -> SpanId {
    let words = [
        &trace.bytes()[..],
        &parent.to_be_bytes(),
        name.as_bytes(),
        &number.to_be_bytes(),
    ];
    let hash = words
        .into_iter()
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    SpanId((hash ^ (hash >> 31)).max(1))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn headers_are_read_and_written_as_w3c_says() {
        let context = TraceContext::from_headers(PARENT, Some("vendor=1")).unwrap();
        assert_eq!(context.traceparent(), PARENT);
        assert_eq!(context.tracestate(), Some("vendor=1"));
        assert_eq!(context.trace.to_string(), &PARENT[3..35]);
        assert!(context.sampled);
        // A later version, with more at its end, and other flags beside the one that we know.
        let later = format!("cc{}-more", PARENT[2..].replace("-01", "-03"));
        let later = TraceContext::from_headers(&later, None).unwrap();
        assert_eq!(later.traceparent(), PARENT);
        let not_sampled = PARENT.replace("-01", "-02");
        let not_sampled = TraceContext::from_headers(&not_sampled, None).unwrap();
        assert!(!not_sampled.sampled);
        assert!(not_sampled.traceparent().ends_with("-00"));
    }

    #[test]
    fn what_is_no_traceparent_is_refused_and_a_state_that_is_odd_is_left_out() {
        let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        for text in [
            "",
            "00",
            "é0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-é",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            zero,
        ] {
            assert_eq!(
                TraceContext::from_headers(text, None),
                Err(TraceParentError),
                "{text}"
            );
        }
        for state in ["x".repeat(513), "a\nb".to_owned()] {
            let context = TraceContext::from_headers(PARENT, Some(&state)).unwrap();
            assert_eq!(context.tracestate(), None);
        }
    }

    #[test]
    fn a_span_is_the_same_for_everybody_and_another_for_each_name_and_number() {
        let root = TraceContext::root(TraceId::from_random(7), true);
        assert_eq!(root.child("attempt", 3), root.child("attempt", 3));
        let mut seen = HashSet::from([root.span]);
        for number in 0..10_000 {
            for name in ["attempt", "publish"] {
                let child = root.child(name, number);
                assert_eq!((child.trace, child.sampled), (root.trace, true));
                assert!(seen.insert(child.span), "{name} {number}");
            }
        }
        let other = TraceContext::root(TraceId::from_random(8), true);
        assert_ne!(
            other.child("attempt", 3).span,
            root.child("attempt", 3).span
        );
        assert_ne!(TraceId::from_random(0).bytes(), [0; 16]);
    }
}
