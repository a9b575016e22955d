//! How a model, dataset or metric describes its parameters: name, type, range, default and meaning.
//!
//! One description serves the job reader (checks with line and column), the JSON schema and the documents.

/// What a parameter accepts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Bool,
    /// Both ends included.
    Int {
        min: i64,
        max: i64,
    },
    /// Both ends included.
    Float {
        min: f64,
        max: f64,
    },
    Text,
    /// A path or URI; the reader resolves relative ones against the current directory, as Anomalib does.
    Path,
    /// One of a closed set of words; compared without case, `_` and `-`.
    Enum(&'static [&'static str]),
    /// Like `Enum`, with words that are known, but refused as not built yet.
    Choice {
        built: &'static [&'static str],
        not_built: &'static [&'static str],
    },
    /// A list with at least one item.
    List(&'static Kind),
    /// One item or a list of items; always resolved to a list.
    OneOrMany(&'static Kind),
    /// `null` is accepted, too.
    Nullable(&'static Kind),
    /// An image size: one number for a square, or `[height, width]`; resolved to `[height, width]`.
    Size {
        min: u32,
        max: u32,
    },
}

impl Kind {
    /// What is expected, for people: `an integer from 0 to 10`.
    pub fn expected(&self) -> String {
        match self {
            Self::Bool => "true or false".into(),
            Self::Int { min, max: i64::MAX } => format!("an integer, at least {min}"),
            Self::Int { min, max } => format!("an integer from {min} to {max}"),
            Self::Float { min, max } if *min == f64::MIN && *max == f64::MAX => "a number".into(),
            Self::Float { min, max } if *max == f64::MAX => {
                format!("a number, at least {}", number(*min))
            }
            Self::Float { min, max } => {
                format!("a number from {} to {}", number(*min), number(*max))
            }
            Self::Text => "a text".into(),
            Self::Path => "a path".into(),
            Self::Enum([]) => "nothing".into(),
            Self::Enum(words) => format!("one of {}", words.join(", ")),
            Self::Choice { built, .. } => format!("one of {}", built.join(", ")),
            Self::List(item) => format!("a list, each item {}", item.expected()),
            Self::OneOrMany(item) => format!("{}, or a list of such", item.expected()),
            Self::Nullable(Self::Enum([])) => "null".into(),
            Self::Nullable(inner) => format!("{}, or null", inner.expected()),
            Self::Size { min, max } => {
                format!("a size from {min} to {max}: one number, or [height, width]")
            }
        }
    }
}

/// Without hundreds of digits.
fn number(value: f64) -> String {
    if value.abs() < 1e15 {
        value.to_string()
    } else {
        format!("{value:.4e}")
    }
}

/// Whether two names are the same to a job file: without case, `_` and `-`.
pub fn same_name(left: &str, right: &str) -> bool {
    let letters = |text: &'_ str| {
        text.chars()
            .filter(|c| !matches!(c, '_' | '-'))
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    letters(left) == letters(right)
}

/// What stands for a parameter that the job does not give.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Default {
    Required,
    /// A JSON text.
    Json(&'static str),
}

/// One parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Param {
    pub name: &'static str,
    pub kind: Kind,
    pub default: Default,
    /// Meaning and unit in one sentence, and where the default comes from if that is not the reference.
    pub doc: &'static str,
    /// Accepted for the sake of Anomalib's configurations, without effect here: the reader warns and says why.
    pub ignored_because: Option<&'static str>,
}

impl Param {
    pub const fn new(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Self {
        Self {
            name,
            kind,
            default,
            doc,
            ignored_because: None,
        }
    }

    pub const fn ignored(
        name: &'static str,
        kind: Kind,
        default: Default,
        because: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            default,
            doc: because,
            ignored_because: Some(because),
        }
    }
}

/// A name that job files may use.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Class name as in Anomalib, such as `Padim`.
    pub class: &'static str,
    /// Anomalib's module, such as `anomalib.models`.
    pub module: &'static str,
    /// `None`: known by name, but not built yet; a job that asks for it is refused with these words.
    pub params: Option<&'static [Param]>,
}
