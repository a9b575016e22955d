//! Labels that an operator gives to workers, and that jobs may ask for.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Names with values, such as `disk=nvme,zone=b`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, String>",
    into = "BTreeMap<String, String>"
)]
pub struct Labels(BTreeMap<String, String>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    #[error(
        "{0:?} is not a label: expected NAME=VALUE, such as zone=b, several with a comma between them"
    )]
    NotALabel(String),
    #[error("label {0:?}: expected 1 to 63 letters, digits, '-', '_' and '.'")]
    BadWord(String),
    #[error("label {0:?} is given twice")]
    Twice(String),
}

/// Of labels that an operator can still oversee.
const LONGEST_WORD: usize = 63;

impl Labels {
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), LabelError> {
        for word in [name, value] {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            if !(1..=LONGEST_WORD).contains(&word.len()) || !word.bytes().all(allowed) {
                return Err(LabelError::BadWord(word.to_owned()));
            }
        }
        match self.0.insert(name.to_owned(), value.to_owned()) {
            Some(_) => Err(LabelError::Twice(name.to_owned())),
            None => Ok(()),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// Whether all of these are among `offered`.
    pub fn are_among(&self, offered: &Self) -> bool {
        let mut wanted = self.0.iter();
        wanted.all(|(name, value)| offered.0.get(name) == Some(value))
    }

    /// Those of them that none of `offers` has.
    pub fn nowhere_among<'a>(&self, offers: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let nowhere = |(name, value): &(&String, &String)| {
            let mut offers = offers.clone();
            !offers.any(|offered| offered.0.get(*name) == Some(value))
        };
        let found = self.0.iter().filter(nowhere);
        Self(found.map(|(n, v)| (n.clone(), v.clone())).collect())
    }
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = LabelError;

    fn try_from(map: BTreeMap<String, String>) -> Result<Self, LabelError> {
        let mut labels = Self::default();
        for (name, value) in &map {
            labels.insert(name, value)?;
        }
        Ok(labels)
    }
}

impl From<Labels> for BTreeMap<String, String> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

impl FromStr for Labels {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let mut labels = Self::default();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| LabelError::NotALabel(part.to_owned()))?;
            labels.insert(name.trim(), value.trim())?;
        }
        Ok(labels)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, value)) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(f, "{comma}{name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        text.parse().unwrap()
    }

    #[test]
    fn labels_read_back_sorted() {
        assert_eq!(labels("zone=b, disk=nvme").to_string(), "disk=nvme,zone=b");
        assert!(labels("").is_empty());
    }

    #[test]
    fn what_is_no_label_is_named() {
        for (text, word) in [
            ("zone", "NAME=VALUE"),
            ("zone=", "\"\""),
            ("zo ne=b", "\"zo ne\""),
            ("a=b,a=c", "twice"),
            ("a=b=c", "\"b=c\""),
        ] {
            let error = text.parse::<Labels>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn labels_are_met_by_those_that_have_them_all() {
        let offered = labels("zone=b,disk=nvme");
        for (wanted, met) in [
            ("", true),
            ("zone=b", true),
            ("zone=a", false),
            ("zone=b,gpu=a100", false),
        ] {
            assert_eq!(labels(wanted).are_among(&offered), met, "{wanted}");
        }
        let offers = [labels("zone=a"), labels("disk=nvme")];
        let nowhere = labels("zone=b,disk=nvme").nowhere_among(offers.iter());
        assert_eq!(nowhere.to_string(), "zone=b");
    }
}
