//! An error told with its causes.

use std::error::Error;

/// An error and its causes, `: ` between them. What a wrapper repeats of its cause is said once.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Caused {
        text: &'static str,
        source: Option<Box<Caused>>,
    }

    fn caused(text: &'static str, source: Option<Caused>) -> Caused {
        Caused {
            text,
            source: source.map(Box::new),
        }
    }

    #[test]
    fn each_cause_is_told_once() {
        let disk = caused("no space", None);
        let wrapper = caused("write failed: no space", Some(disk));
        let error = caused("cannot store the part", Some(wrapper));
        assert_eq!(
            chain(&error),
            "cannot store the part: write failed: no space"
        );
    }
}
