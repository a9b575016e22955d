//! `PredictDataset`: images without labels, wherever they lie, for a trained package to score.

mod place;

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use jiff::{Timestamp, civil::Date};
use params::{Default, Kind, Param};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use place::{Format, ListedAddress, Place, is_archive, listed_address};

use crate::{
    DataError,
    layout::{IMAGE_EXTENSIONS, UNREAD_EXTENSIONS, ends_with, is_hidden},
    parameters,
    registry::parse,
};

const BYTES: Kind = Kind::Nullable(&Kind::Int {
    min: 0,
    max: i64::MAX,
});

pub(crate) const PARAMS: &[Param] = &[
    Param::new(
        "path",
        Kind::OneOrMany(&Kind::Path),
        Default::Required,
        "Where the images are: folders or prefixes (at any depth), single images, globs (`*` within a name, `**` over folders), archives \
         (`.tar`, `.tar.gz`, `.tgz`, `.zip`), single images in them (`ARCHIVE!/place/in/it.png`), lists of addresses (`.txt`: one a line; `.csv`, `.parquet`: a column).",
    ),
    Param::new(
        "name",
        Kind::Text,
        Default::Json("\"predict\""),
        "Ours: the name in tables.",
    ),
    Param::new(
        "uri_column",
        Kind::Text,
        Default::Json("\"uri\""),
        "Ours: the column of CSV and Parquet lists that has the addresses; relative ones begin at the list's own folder.",
    ),
    Param::new(
        "extensions",
        Kind::Nullable(&Kind::OneOrMany(&Kind::Text)),
        Default::Json("null"),
        "Ours: endings of image names in folders, globs and archives, such as `.png`; null: all usual ones.",
    ),
    Param::new(
        "min_bytes",
        BYTES,
        Default::Json("null"),
        "Ours: smaller objects are left out, in bytes.",
    ),
    Param::new(
        "max_bytes",
        BYTES,
        Default::Json("null"),
        "Ours: larger objects are left out, in bytes.",
    ),
    Param::new(
        "modified_since",
        Kind::Nullable(&Kind::Text),
        Default::Json("null"),
        "Ours: objects that were last written before this are left out; such as `2026-11-27` (its midnight), `2026-11-27T22:00` (both in the job's `timezone`, UTC without one) or `2026-11-27T22:00:00+01:00`.",
    ),
    Param::new(
        "modified_before",
        Kind::Nullable(&Kind::Text),
        Default::Json("null"),
        "Ours: objects that were written then or later are left out.",
    ),
    Param::new(
        "listed",
        Kind::Bool,
        Default::Json("false"),
        "Ours: `path` names images one by one, as a list does: nothing in an address is a wildcard, and what is not there is a row with the error `not_found`.",
    ),
    parameters::IMAGE_SIZE,
    parameters::CENTER_CROP,
    parameters::TRANSFORM,
];

#[derive(Debug, Deserialize)]
struct Parameters {
    path: Vec<String>,
    name: String,
    uri_column: String,
    extensions: Option<Vec<String>>,
    min_bytes: Option<u64>,
    max_bytes: Option<u64>,
    modified_since: Option<String>,
    modified_before: Option<String>,
    listed: bool,
}

/// Images of which nobody has said what they show.
#[derive(Debug, Clone)]
pub struct Unlabelled {
    name: String,
    places: Vec<Place>,
    listed: Vec<ListedAddress>,
    uri_column: String,
    extensions: Option<Vec<String>>,
    bytes: RangeInclusive<u64>,
    since_ms: i64,
    before_ms: i64,
}

impl Unlabelled {
    /// What tables say in the place of a label.
    pub const LABEL: &str = "unknown";

    pub(crate) fn build(init_args: &Map<String, Value>) -> Result<Self, DataError> {
        if let Some(problem) = problems(init_args, &[]).into_iter().next() {
            return Err(problem);
        }
        let given: Parameters = parse(init_args)?;
        let time = |text: &Option<String>, parameter| {
            let text = text.as_deref();
            text.map(|text| milliseconds(parameter, text)).transpose()
        };
        let path = given.path.iter().map(String::as_str);
        let (places, listed) = match given.listed {
            true => (Vec::new(), path.map(listed_address).collect()),
            false => (
                path.map(Place::parse).collect::<Result<_, _>>()?,
                Vec::new(),
            ),
        };
        Ok(Self {
            places,
            listed,
            name: given.name,
            uri_column: given.uri_column,
            extensions: given.extensions,
            bytes: given.min_bytes.unwrap_or(0)..=given.max_bytes.unwrap_or(u64::MAX),
            since_ms: time(&given.modified_since, "modified_since")?.unwrap_or(i64::MIN),
            before_ms: time(&given.modified_before, "modified_before")?.unwrap_or(i64::MAX),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Images that the job names one by one, in the place of places.
    pub fn listed(&self) -> &[ListedAddress] {
        &self.listed
    }

    /// Of lists with columns.
    pub fn uri_column(&self) -> &str {
        &self.uri_column
    }

    /// Whether an object that a listing found is wanted; `below` is its path from the listed folder on. Hidden ones are not.
    pub fn wants(&self, below: &str, size: u64, modified_ms: i64) -> bool {
        !is_hidden(below) && self.names(below) && self.wants_file(size, modified_ms)
    }

    /// Whether a listed object is an image by its name.
    pub fn names(&self, below: &str) -> bool {
        match &self.extensions {
            Some(extensions) => ends_with(below, extensions),
            None => ends_with(below, IMAGE_EXTENSIONS),
        }
    }

    /// Whether a listed object is an image by its name, and none of those that `extensions` names.
    pub fn is_other_image(&self, below: &str) -> bool {
        self.extensions.is_some() && !self.names(below) && ends_with(below, IMAGE_EXTENSIONS)
    }

    /// With which ending of images that nothing here reads a listed object is left out.
    pub fn unread(&self, below: &str) -> Option<&'static str> {
        let mut endings = UNREAD_EXTENSIONS.iter().copied();
        let of_all = self.extensions.is_none();
        endings.find(|ending| of_all && ends_with(below, &[ending]))
    }

    /// Whether an object that was named is wanted.
    pub fn wants_file(&self, size: u64, modified_ms: i64) -> bool {
        self.bytes.contains(&size) && (self.since_ms..self.before_ms).contains(&modified_ms)
    }
}

/// What no single parameter's range can say.
pub(crate) fn problems(init_args: &Map<String, Value>, unreadable: &[&str]) -> Vec<DataError> {
    let mut problems = Vec::new();
    let readable = |name: &str| !unreadable.contains(&name);
    let texts = |name: &str| {
        let items = init_args.get(name).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str)
    };
    let is_listed = init_args.get("listed") == Some(&Value::Bool(true));
    for path in texts("path").filter(|_| !is_listed) {
        problems.extend(Place::parse(path).err());
    }
    for bad in texts("extensions").filter(|extension| !extension.starts_with('.')) {
        problems.push(DataError::Parameter {
            parameter: "extensions",
            reason: format!("{bad:?} does not begin with a dot"),
        });
    }
    let mut range = |low: &'static str, high: &'static str, ends: [Option<i64>; 2]| {
        if let [Some(from), Some(to)] = ends
            && from > to
            && readable(low)
            && readable(high)
        {
            problems.push(DataError::Parameter {
                parameter: high,
                reason: format!("nothing can be left: {low} is above it"),
            });
        }
    };
    let bytes = ["min_bytes", "max_bytes"];
    let number = |name: &str| init_args.get(name).and_then(Value::as_i64);
    range(bytes[0], bytes[1], bytes.map(number));
    let times = ["modified_since", "modified_before"];
    let read = times.map(|parameter| {
        let text = init_args.get(parameter).and_then(Value::as_str);
        text.map(|text| milliseconds(parameter, text))
    });
    let ends = [&read[0], &read[1]].map(|read| read.as_ref().and_then(|read| read.as_ref().ok()));
    range(times[0], times[1], ends.map(|end| end.copied()));
    problems.extend(read.into_iter().flatten().filter_map(Result::err));
    problems
}

/// Since 1970; of a day its midnight in UTC. Job files are read with the midnights of their own zone in place of days.
fn milliseconds(parameter: &'static str, text: &str) -> Result<i64, DataError> {
    let time = text.parse::<Timestamp>().or_else(|error| {
        // Else a time without an offset would be taken for its whole day.
        let day = text
            .parse::<Date>()
            .ok()
            .filter(|day| day.to_string() == text);
        let day = day.ok_or(error)?;
        format!("{day}T00:00:00Z").parse::<Timestamp>()
    });
    time.map(Timestamp::as_millisecond)
        .map_err(|_| DataError::Parameter {
            parameter,
            reason: format!(
                "{text:?} is no day, such as 2026-11-27, and no time, such as 2026-11-27T22:00 or 2026-11-27T22:00:00+01:00"
            ),
        })
}
