//! What a remote store's failure means: its own error code, or what the connection died of, as a typed error.

use std::{error::Error, fmt, io};

use crate::{StoreError, remote::Remote};

/// Longest piece of a server's message that is shown.
const MAX_MESSAGE: usize = 300;

/// Why, in words that hold no secret: the client's own errors print addresses and whole answers, which may.
#[derive(Debug)]
struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Cause {}

/// Turns the failure of one call into an error; `expected` is the etag that the call insisted on.
pub(crate) fn explain(
    remote: &Remote,
    action: &'static str,
    uri: String,
    expected: Option<&str>,
    error: &object_store::Error,
) -> StoreError {
    use object_store::Error as E;
    let answer = Answer::of(error);
    let (store, endpoint) = (remote.name.clone(), remote.endpoint.clone());
    match (answer.code.as_deref(), error) {
        (Some("NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted"), _) => {
            StoreError::NoBucket {
                uri,
                bucket: remote.bucket.clone(),
                store,
                endpoint,
            }
        }
        (Some("RequestTimeTooSkewed" | "RequestExpired"), _) => StoreError::Clock {
            action,
            uri,
            endpoint,
            source: answer.cause(remote, None),
        },
        (Some("AuthenticationFailed"), _) if answer.message.contains("date header") => {
            StoreError::Clock {
                action,
                uri,
                endpoint,
                source: answer.cause(remote, None),
            }
        }
        (_, E::Precondition { .. }) => StoreError::Changed {
            uri,
            expected: expected.unwrap_or_default().to_owned(),
        },
        (_, E::NotFound { .. }) => StoreError::NotFound { uri },
        (code, E::PermissionDenied { .. } | E::Unauthenticated { .. }) => StoreError::Denied {
            action,
            uri,
            source: answer.cause(remote, Some(denied_hint(code))),
        },
        (Some("InvalidAccessKeyId" | "InvalidTokenId" | "ExpiredToken"), _) => StoreError::Denied {
            action,
            uri,
            source: answer.cause(remote, Some(denied_hint(answer.code.as_deref()))),
        },
        (_, E::InvalidPath { source }) => StoreError::InvalidUri {
            uri,
            reason: source.to_string(),
        },
        (Some("InvalidBucketName" | "InvalidResourceName"), _) => StoreError::InvalidUri {
            uri,
            reason: answer.message,
        },
        _ if answer.no_token => StoreError::Denied {
            action,
            uri,
            source: answer.cause(
                remote,
                Some("the machine's own credentials were asked for and refused: `credentials: ambient` needs an identity that its cloud gives to it"),
            ),
        },
        // For a list the client names no kind, whatever the server answered.
        (code, _) if answer.forbidden => StoreError::Denied {
            action,
            uri,
            source: answer.cause(remote, Some(denied_hint(code))),
        },
        _ if answer.is_certificate() => StoreError::Certificate {
            action,
            uri,
            store,
            endpoint,
            source: answer.cause(remote, None),
        },
        _ => {
            let hint = if answer.refused {
                Some("nobody listens there: is `endpoint` right, and is the server running?")
            } else if answer.is_not_tls() {
                Some(
                    "what answers there does not speak TLS: if `endpoint` is right, it begins with http://, beside `allow_http: true`",
                )
            } else {
                None
            };
            StoreError::Unavailable {
                action,
                uri,
                source: answer.cause(remote, hint),
            }
        }
    }
}

fn denied_hint(code: Option<&str>) -> &'static str {
    match code {
        Some("SignatureDoesNotMatch" | "AuthenticationFailed") => {
            "the secret does not belong to the key"
        }
        Some("InvalidAccessKeyId" | "InvalidTokenId" | "ExpiredToken") => {
            "the key is unknown or expired"
        }
        _ => "its credentials lack this right; docs/operations.md lists those that are needed",
    }
}

#[derive(Debug, Default)]
struct Answer {
    /// Of the server, such as `NoSuchBucket`.
    code: Option<String>,
    message: String,
    refused: bool,
    /// By its status: 401 or 403.
    forbidden: bool,
    /// Not the store refused: who gives tokens to this machine or pod did, and would again.
    no_token: bool,
}

impl Answer {
    fn of(error: &object_store::Error) -> Self {
        let (mut refused, mut deepest) = (false, String::new());
        let mut next: Option<&(dyn Error + 'static)> = Some(error);
        let mut whole = String::new();
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                refused |= error.kind() == io::ErrorKind::ConnectionRefused;
            }
            deepest = error.to_string();
            if whole.is_empty() || !whole.contains(&deepest) {
                whole.push_str(&deepest);
                whole.push('\n');
            }
            next = error.source();
        }
        let status = whole.split_once("status code: ").map(|(_, status)| {
            let end = status.find([':', '\n', '<']).unwrap_or(status.len());
            status[..end].trim()
        });
        let is_one_of = |codes: &[&str]| {
            let has = |code: &&str| status.is_some_and(|status| status.starts_with(code));
            codes.iter().any(has)
        };
        let forbidden = is_one_of(&["401", "403"]);
        if let Some(code) = element(&whole, "Code") {
            return Self {
                code: Some(short(code)),
                message: short(element(&whole, "Message").unwrap_or_default()),
                refused,
                forbidden,
                no_token: false,
            };
        }
        // An answer without a code, such as that to HEAD: the status is all there is.
        let message = match status {
            Some(status) => format!("the server answered {status}"),
            None => deepest,
        };
        Self {
            code: None,
            message: short(&message),
            refused,
            forbidden,
            no_token: whole.contains("performing token request")
                && is_one_of(&["400", "401", "403", "404"]),
        }
    }

    fn is_certificate(&self) -> bool {
        self.code.is_none()
            && (self.message.contains("certificate") || self.message.contains("UnknownIssuer"))
    }

    /// In the words of rustls.
    fn is_not_tls(&self) -> bool {
        self.code.is_none() && self.message.contains("InvalidContentType")
    }

    fn cause(&self, remote: &Remote, hint: Option<&str>) -> Box<dyn Error + Send + Sync> {
        let mut text = format!("store {} at {}: ", remote.name, remote.endpoint);
        match &self.code {
            Some(code) if self.message.is_empty() => text.push_str(code),
            Some(code) => text.push_str(&format!("{code}: {}", self.message)),
            None => text.push_str(&self.message),
        }
        if let Some(hint) = hint {
            text.push_str("; ");
            text.push_str(hint);
        }
        Box::new(Cause(text))
    }
}

/// Content of the first XML element of that name.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content.trim())
}

/// One line of bounded length.
fn short(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_MESSAGE)
        .collect();
    line.trim_end_matches(['.', ' ']).to_owned()
}

/// Whether a multipart upload was closed already: by an earlier try whose answer was lost, or by the server's housekeeping.
pub(crate) fn upload_is_gone(error: &object_store::Error) -> bool {
    Answer::of(error).code.as_deref() == Some("NoSuchUpload")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the client words what a machine's metadata server answered.
    fn of_metadata_server(answer: &str) -> StoreError {
        explained(format!(
            "Error performing token request: Error performing GET http://metadata.internal/token in 1ms - Server returned non-2xx status code: {answer}: "
        ))
    }

    /// As the client words what a store answered to a list.
    fn of_list(answer: &str) -> StoreError {
        explained(format!(
            "Error performing list request: Error performing GET http://lab/?list-type=2 in 1ms - Server returned non-2xx status code: {answer}"
        ))
    }

    /// Of an error to which the client gives no kind.
    fn explained(text: String) -> StoreError {
        let error = object_store::Error::Generic {
            store: "any",
            source: Box::new(Cause(text)),
        };
        let remote = Remote {
            name: "lab".to_owned(),
            endpoint: "the gs service".to_owned(),
            bucket: "gs://lab".to_owned(),
            conditional: tokio::sync::OnceCell::new(),
        };
        explain(&remote, "write", "gs://lab/a".to_owned(), None, &error)
    }

    #[test]
    fn a_machine_that_gets_no_token_is_denied_and_one_that_waits_for_it_is_not() {
        for answer in ["403 Forbidden", "404 Not Found"] {
            let error = of_metadata_server(answer);
            assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
            assert!(types::chain(&error).contains("`credentials: ambient`"));
        }
        let error = of_metadata_server("503 Service Unavailable");
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    }

    #[test]
    fn a_list_that_is_not_allowed_is_denied_as_a_write_is() {
        let of_code = |code: &str| {
            format!("403 Forbidden: <Error><Code>{code}</Code><Message>x</Message></Error>")
        };
        for (answer, hint) in [
            (
                of_code("SignatureDoesNotMatch"),
                "the secret does not belong to the key",
            ),
            (of_code("AccessDenied"), "its credentials lack this right"),
            (
                of_code("AuthorizationPermissionMismatch"),
                "its credentials lack this right",
            ),
            (
                of_code("InvalidAccessKeyId"),
                "the key is unknown or expired",
            ),
            (
                "401 Unauthorized: ".to_owned(),
                "its credentials lack this right",
            ),
        ] {
            let error = of_list(&answer);
            assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
            assert!(types::chain(&error).contains(hint), "{error:?}");
        }
        for (answer, expected) in [
            (of_code("RequestTimeTooSkewed"), "Clock"),
            (
                of_code("SlowDown").replace("403 Forbidden", "503 Service Unavailable"),
                "Unavailable",
            ),
        ] {
            let error = of_list(&answer);
            assert!(format!("{error:?}").starts_with(expected), "{error:?}");
        }
    }
}
