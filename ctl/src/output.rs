//! What goes to standard output: tables for people, JSON and YAML for programs.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// A table with more columns and whole ids
    Wide,
    /// A table as comma-separated values (RFC 4180), every column
    Csv,
    /// A table's ids or names alone, one a line
    Name,
    Json,
    Yaml,
}

impl Format {
    /// Prints `value` for programs, or what is for people.
    pub fn print<T: Into<Shown>>(
        self,
        value: &Value,
        shown: impl FnOnce() -> T,
    ) -> Result<(), Error> {
        let text = match self {
            Self::Json => serde_json::to_string_pretty(value)
                .map_err(|source| Error::cannot_run_because("cannot write JSON", source))?,
            Self::Yaml => job::yaml(value),
            Self::Table | Self::Wide | Self::Csv | Self::Name => match shown().into() {
                Shown::Table(table) => self.of_table(&table),
                Shown::Text(text) if self == Self::Table => text,
                Shown::Text(_) => return Err(no_table()),
            },
        };
        match text.is_empty() {
            true => Ok(()),
            false => line(&text),
        }
    }

    /// What is for people, of a table.
    pub fn of_table(self, table: &Table) -> String {
        match self {
            Self::Wide => table.render_wide(),
            Self::Csv => table.document(Document::Csv),
            Self::Name => table.names().join("\n"),
            Self::Table | Self::Json | Self::Yaml => table.render(),
        }
    }

    /// Whether it is laid out for a screen.
    pub fn is_screen(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// Whether a person reads it: a table's ids may be cut to what is unique.
    pub fn is_for_people(self) -> bool {
        self == Self::Table
    }
}

/// For what is asked for as a table, and is none.
pub fn no_table() -> Error {
    Error::Usage(
        "this is no table: -o wide, csv and name are for lists; table, json and yaml are for everything"
            .to_owned(),
    )
}

/// What people are shown.
pub enum Shown {
    Text(String),
    Table(Table),
}

impl From<String> for Shown {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Table> for Shown {
    fn from(table: Table) -> Self {
        Self::Table(table)
    }
}

/// `3 images`, `1 image`: the number as programs read it, too.
pub fn counted(value: u64, one: &str) -> String {
    format!("{value} {}", report::plural(value, one))
}

/// A score, a threshold or a parameter in a table; a metric is [`report::metric`].
pub fn number(value: f64) -> String {
    format!("{value:.4}")
}

static PRINTED: AtomicBool = AtomicBool::new(false);

/// Whether something stands on standard output, which cannot be taken back.
pub fn has_printed() -> bool {
    PRINTED.load(Ordering::Relaxed)
}

/// Writes text and ends it with a line feed.
pub fn line(text: &str) -> Result<(), Error> {
    PRINTED.store(true, Ordering::Relaxed);
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.trim_end_matches('\n'))
        .and_then(|()| out.flush())
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Error::OutputClosed,
            _ => Error::cannot_run_because("cannot write to standard output", error),
        })
}

/// Writes a file where nothing is yet: what is there may be the only one of its kind.
pub fn new_file(path: &Path, text: &str) -> Result<(), Error> {
    File::create_new(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => Error::Usage(format!(
                "{} is there already; name another file",
                path.display()
            )),
            _ => Error::Write {
                path: path.to_owned(),
                source,
            },
        })
}

/// Forms of a table that go into another document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Document {
    /// Comma-separated values (RFC 4180)
    Csv,
    /// A table of GitHub's Markdown
    Markdown,
    /// A `tabular` with the rules of booktabs
    Latex,
}

/// Marks what is best while columns are set: it takes no room.
const MARK: char = '\u{2060}';

/// Text in a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    /// What programs read in its place.
    exact: Option<String>,
    /// To be set in bold.
    best: bool,
}

impl Cell {
    pub fn best(text: String) -> Self {
        Self {
            best: true,
            ..Self::from(text)
        }
    }

    /// The same with another text for programs: a number with all its digits, a time that is no distance.
    pub fn exactly(self, exact: impl ToString) -> Self {
        Self {
            exact: Some(exact.to_string()),
            ..self
        }
    }

    fn for_programs(&self) -> String {
        self.exact.as_ref().unwrap_or(&self.text).clone()
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }
}

/// Names of files and of archives' entries may hold what a terminal obeys.
fn printable(text: &str) -> String {
    let commands = |c: char| c.is_control() || c == MARK;
    text.replace(commands, "\u{fffd}")
}

/// A table without frames: header in capitals, numbers to the right.
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    /// What `-o name` prints of each row; without, the first column.
    names: Option<Vec<String>>,
}

struct Column {
    name: &'static str,
    /// Not in the narrow form.
    wide: bool,
    /// Set to the right.
    right: bool,
}

impl Table {
    /// A column whose name starts with `+` is in the wide forms only; `>` (after it) sets it to the right.
    pub fn new(columns: &[&'static str]) -> Self {
        let column = |name: &&'static str| {
            let narrow = name.trim_start_matches('+');
            Column {
                name: narrow.trim_start_matches('>'),
                wide: name.starts_with('+'),
                right: narrow.starts_with('>'),
            }
        };
        Self {
            columns: columns.iter().map(column).collect(),
            rows: Vec::new(),
            names: None,
        }
    }

    /// A cell for each column.
    pub fn row<C: Into<Cell>, I: IntoIterator<Item = C>>(&mut self, cells: I) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// What `-o name` prints of each row, where it is not the first column.
    pub fn name_rows(&mut self, names: impl Iterator<Item = String>) {
        self.names = Some(names.collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn header(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().map(|column| column.name)
    }

    fn names(&self) -> Vec<String> {
        let first = |row: &Vec<Cell>| row.first().map(|cell| cell.text.clone());
        match &self.names {
            Some(names) => names.clone(),
            None => self.rows.iter().filter_map(first).collect(),
        }
    }

    /// For people; what is best is bold on a terminal.
    pub fn render(&self) -> String {
        self.on_screen(false)
    }

    fn render_wide(&self) -> String {
        self.on_screen(true)
    }

    fn on_screen(&self, wide: bool) -> String {
        let (on, off) = match io::stdout().is_terminal() {
            true => ("\u{1b}[1m", "\u{1b}[0m"),
            false => ("", ""),
        };
        self.text(wide, on, off)
    }

    fn text(&self, wide: bool, on: &str, off: &str) -> String {
        if self.is_empty() {
            return format!("no {}", self.header().next().unwrap_or("rows"));
        }
        let mut inner = comfy_table::Table::new();
        inner.load_style(comfy_table::presets::NOTHING);
        let shown = |column: &Column| wide || !column.wide;
        let columns: Vec<&Column> = self.columns.iter().filter(|column| shown(column)).collect();
        inner.set_header(columns.iter().map(|column| column.name.to_uppercase()));
        for (index, of) in columns.iter().enumerate() {
            if let Some(column) = inner.column_mut(index) {
                column.set_padding((0, 2));
                if of.right {
                    column.set_cell_alignment(comfy_table::CellAlignment::Right);
                }
            }
        }
        for row in &self.rows {
            let cells = self.columns.iter().zip(row);
            let cells = cells.filter(|(column, _)| shown(column));
            inner.add_row(
                cells.map(|(_, cell)| match (printable(&cell.text), cell.best) {
                    (text, true) => format!("{MARK}{text}{MARK}"),
                    (text, false) => text,
                }),
            );
        }
        let bold = |line: &str| {
            let parts = line.split(MARK).enumerate();
            let part = |(index, part): (usize, &str)| match index % 2 {
                0 => part.to_owned(),
                _ => format!("{on}{part}{off}"),
            };
            parts.map(part).collect::<String>()
        };
        // comfy-table pads the last column, too.
        let lines = inner.lines().map(|line| bold(line.trim_end()));
        lines.collect::<Vec<_>>().join("\n")
    }

    pub fn document(&self, form: Document) -> String {
        match form {
            Document::Csv => self.csv(),
            Document::Markdown => self.markdown(),
            Document::Latex => self.latex(),
        }
    }

    fn csv(&self) -> String {
        let header = self.header().map(str::to_owned).collect();
        // A number that is not there is nothing, not a dash, which is no number.
        let text = |(cell, column): (&Cell, &Column)| match cell.for_programs() {
            dash if column.right && dash == "-" => String::new(),
            text => text,
        };
        let texts = |row: &Vec<Cell>| row.iter().zip(&self.columns).map(text).collect();
        csv(std::iter::once(header).chain(self.rows.iter().map(texts)))
    }

    fn markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = String>| {
            format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
        };
        let escaped = |text: &str| {
            let text = text.replace(['\n', '\r'], " ");
            text.replace('\\', "\\\\").replace('|', "\\|")
        };
        let rule = |column: &Column| if column.right { "---:" } else { "---" };
        let mut lines = vec![
            line(&mut self.header().map(escaped)),
            line(&mut self.columns.iter().map(|column| rule(column).to_owned())),
        ];
        lines.extend(self.rows.iter().map(|row| {
            line(&mut row.iter().map(|cell| match cell.best {
                true => format!("**{}**", escaped(&cell.text)),
                false => escaped(&cell.text),
            }))
        }));
        lines.join("\n")
    }

    fn latex(&self) -> String {
        let escaped = |text: &str| text.chars().map(latex_char).collect::<String>();
        let side = |column: &Column| if column.right { 'r' } else { 'l' };
        let sides: String = self.columns.iter().map(side).collect();
        let line = |cells: &mut dyn Iterator<Item = String>| {
            format!("{} \\\\", cells.collect::<Vec<_>>().join(" & "))
        };
        let mut lines = vec![
            "% \\usepackage{booktabs}".to_owned(),
            format!("\\begin{{tabular}}{{{sides}}}"),
            "\\toprule".to_owned(),
            line(&mut self.header().map(escaped)),
            "\\midrule".to_owned(),
        ];
        lines.extend(self.rows.iter().map(|row| {
            line(&mut row.iter().map(|cell| match cell.best {
                true => format!("\\textbf{{{}}}", escaped(&cell.text)),
                false => escaped(&cell.text),
            }))
        }));
        lines.extend(["\\bottomrule", "\\end{tabular}"].map(str::to_owned));
        lines.join("\n")
    }
}

/// Lines of comma-separated values (RFC 4180).
pub fn csv(lines: impl Iterator<Item = Vec<String>>) -> String {
    let field = |text: &String| match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.clone(),
    };
    let line = |fields: Vec<String>| fields.iter().map(field).collect::<Vec<_>>().join(",");
    lines.map(line).collect::<Vec<_>>().join("\r\n")
}

/// A character as LaTeX sets it.
fn latex_char(c: char) -> String {
    match c {
        '&' | '%' | '$' | '#' | '_' | '{' | '}' => format!("\\{c}"),
        '\\' => "\\textbackslash{}".to_owned(),
        '~' => "\\textasciitilde{}".to_owned(),
        '^' => "\\textasciicircum{}".to_owned(),
        '\n' | '\r' => " ".to_owned(),
        other => other.to_string(),
    }
}

/// A moment: for people how long ago it is.
pub fn moment(then_ms: i64, now_ms: i64) -> Cell {
    let exact = match time(then_ms) {
        Value::String(text) => text,
        _ => String::new(),
    };
    Cell::from(ago(then_ms, now_ms)).exactly(exact)
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
    fn what_a_terminal_obeys_is_not_passed_on_to_it() {
        let mut table = Table::new(&["uri"]);
        table.row(["a.tar!/\u{1b}[2J\nb\u{2060}.png".to_owned()]);
        assert_eq!(
            table.render(),
            "URI\na.tar!/\u{fffd}[2J\u{fffd}b\u{fffd}.png"
        );
    }

    #[test]
    fn wide_forms_have_every_column_and_names_stand_alone() {
        let mut table = Table::new(&["models", "+digest", "+>size", ">version"]);
        table.row(["cells", "ab", "9", "2"].map(str::to_owned));
        assert_eq!(table.render(), "MODELS  VERSION\ncells         2");
        assert_eq!(
            table.render_wide(),
            "MODELS  DIGEST  SIZE  VERSION\ncells   ab         9        2"
        );
        let csv = "models,digest,size,version\r\ncells,ab,9,2";
        assert_eq!(Format::Csv.of_table(&table), csv);
        assert_eq!(Format::Name.of_table(&table), "cells");
        table.name_rows(["cells@2".to_owned()].into_iter());
        assert_eq!(Format::Name.of_table(&table), "cells@2");
        let mut jobs = Table::new(&["jobs", "created", ">memory"]);
        jobs.row([
            Cell::from("ab".to_owned()),
            moment(1_000, 61_000),
            Cell::from(size(3 << 30)).exactly(3_u64 << 30),
        ]);
        assert!(
            jobs.render().ends_with("ab    1 min 0 s ago  3.0 GiB"),
            "{}",
            jobs.render()
        );
        assert!(
            Format::Csv
                .of_table(&jobs)
                .ends_with("ab,1970-01-01T00:00:01Z,3221225472"),
            "{}",
            Format::Csv.of_table(&jobs)
        );
        // Nothing is no name, and a table of columns for programs.
        let empty = Table::new(&["jobs", ">runs"]);
        assert_eq!(Format::Name.of_table(&empty), "");
        assert_eq!(Format::Csv.of_table(&empty), "jobs,runs");
        let shown = Format::Csv.print(&Value::Null, || "words".to_owned());
        assert!(matches!(shown, Err(Error::Usage(_))));
    }

    #[test]
    fn what_is_best_is_bold_in_every_form_and_keeps_its_place() {
        let mut table = Table::new(&["model", ">AUROC"]);
        table.row([
            Cell::from("a_b | c".to_owned()),
            Cell::best("0.95".to_owned()),
        ]);
        table.row(["say \"d\", 5%", "0.9"].map(str::to_owned));
        assert_eq!(
            table.text(false, "<", ">"),
            "MODEL        AUROC\na_b | c       <0.95>\nsay \"d\", 5%    0.9"
        );
        assert_eq!(
            table.document(Document::Csv),
            "model,AUROC\r\na_b | c,0.95\r\n\"say \"\"d\"\", 5%\",0.9"
        );
        assert_eq!(
            table.document(Document::Markdown),
            "| model | AUROC |\n| --- | ---: |\n| a_b \\| c | **0.95** |\n| say \"d\", 5% | 0.9 |"
        );
        let latex = table.document(Document::Latex);
        assert!(latex.contains("\\begin{tabular}{lr}"), "{latex}");
        assert!(latex.contains("a\\_b | c & \\textbf{0.95} \\\\"), "{latex}");
        assert!(latex.contains("5\\% & 0.9 \\\\"), "{latex}");
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
