//! What goes to standard output: tables for people, JSON and YAML for programs.

use std::io::{self, Write};

use serde_json::Value;

use crate::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
    Yaml,
}

impl Format {
    /// Prints `value` for programs, or what `table` makes of it for people.
    pub fn print(self, value: &Value, table: impl FnOnce() -> String) -> Result<(), Error> {
        match self {
            Self::Table => line(&table()),
            Self::Json => line(
                &serde_json::to_string_pretty(value)
                    .map_err(|source| Error::cannot_run_because("cannot write JSON", source))?,
            ),
            Self::Yaml => line(&job::yaml(value)),
        }
    }
}

/// Writes text and ends it with a line feed.
pub fn line(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.trim_end_matches('\n'))
        .and_then(|()| out.flush())
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Error::OutputClosed,
            _ => Error::cannot_run_because("cannot write to standard output", error),
        })
}

/// A table without frames: header in capitals, numbers to the right.
pub struct Table {
    inner: comfy_table::Table,
    header: Vec<&'static str>,
}

impl Table {
    /// A column whose name starts with `>` is set to the right.
    pub fn new(columns: &[&'static str]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(comfy_table::presets::NOTHING);
        let header: Vec<_> = columns
            .iter()
            .map(|name| name.trim_start_matches('>'))
            .collect();
        inner.set_header(header.iter().map(|name| name.to_uppercase()));
        for (index, name) in columns.iter().enumerate() {
            if let Some(column) = inner.column_mut(index) {
                column.set_padding((0, 2));
                if name.starts_with('>') {
                    column.set_cell_alignment(comfy_table::CellAlignment::Right);
                }
            }
        }
        Self { inner, header }
    }

    pub fn row<I: IntoIterator<Item = String>>(&mut self, cells: I) {
        self.inner.add_row(cells);
    }

    pub fn is_empty(&self) -> bool {
        self.inner.row_count() == 0
    }

    pub fn render(&self) -> String {
        if self.is_empty() {
            return format!("no {}", self.header.first().map_or("rows", |name| name));
        }
        // comfy-table pads the last column, too.
        self.inner
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// `12 s ago` and the like.
pub fn ago(then_ms: i64, now_ms: i64) -> String {
    if then_ms == 0 {
        return "-".to_owned();
    }
    format!("{} ago", span(now_ms.saturating_sub(then_ms).max(0)))
}

/// A length of time with one or two units.
pub fn span(ms: i64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// How long something took: short times with a tenth.
pub fn took(ms: i64) -> String {
    match ms {
        0..10_000 => format!("{:.1} s", ms as f64 / 1e3),
        _ => span(ms),
    }
}

/// An amount of memory, never more than there is.
pub fn size(bytes: u64) -> String {
    let gib = bytes as f64 / (1u64 << 30) as f64;
    format!("{:.1} GiB", (gib * 10.0).floor() / 10.0)
}

pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A point in time for people and programs: ISO 8601, UTC.
pub fn time(ms: i64) -> Value {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) if ms != 0 => Value::from(time.to_string()),
        _ => Value::Null,
    }
}

/// A JSON text as a value; what is not JSON stays a text.
pub fn embedded(json: &str) -> Value {
    if json.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(json).unwrap_or_else(|_| Value::from(json))
    }
}

/// The shortest prefix of each id, at least 4 long, that is no other id's prefix.
pub fn short_ids(ids: &[String]) -> Vec<String> {
    let mut sorted: Vec<&str> = ids.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let common = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    ids.iter()
        .map(|id| {
            let place = sorted.partition_point(|other| *other < id.as_str());
            let before = place
                .checked_sub(1)
                .and_then(|place| sorted.get(place))
                .map_or(0, |other| common(id, other));
            let after = sorted.get(place + 1).map_or(0, |other| common(id, other));
            let length = (before.max(after) + 1).max(4).min(id.len());
            id.get(..length).unwrap_or(id).to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_cut_to_a_unique_prefix() {
        let ids = ["abcdefgh", "abcdxxxx", "zzzz1111", "abcdefzz"].map(str::to_owned);
        assert_eq!(short_ids(&ids), ["abcdefg", "abcdx", "zzzz", "abcdefz"]);
        assert_eq!(short_ids(&["ab".to_owned()]), ["ab"]);
    }

    #[test]
    fn a_table_has_no_trailing_blanks_and_says_when_it_is_empty() {
        let mut table = Table::new(&["jobs", ">count"]);
        assert_eq!(table.render(), "no jobs");
        table.row(["abcd".to_owned(), "7".to_owned()]);
        assert_eq!(table.render(), "JOBS  COUNT\nabcd      7");
    }

    #[test]
    fn spans_use_the_units_that_people_use() {
        assert_eq!(span(12_345), "12 s");
        assert_eq!(span(125_000), "2 min 5 s");
        assert_eq!(span(7_260_000), "2 h 1 min");
        assert_eq!(size((8 << 30) - 1), "7.9 GiB");
        assert_eq!((took(437), took(12_345)), ("0.4 s".into(), "12 s".into()));
    }
}
