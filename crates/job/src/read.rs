//! From the text of a job file to a resolved job: what holds for the job as a whole.

use std::path::Path;

use jiff::{ZonedDateTime, tz::TimeZone};
use types::PoolName;

use crate::{
    Diagnostic, Import, ReadContext, Reading, ResolvedJob, anomalib, dates, export, grid, names,
    node::{At, Entry, Node, Value},
    overrides, paths, quantity,
    report::{ENOUGH, Report},
    resolved::{EngineChoice, JobKind, Precision},
    resources, run, search, strict, write, yaml,
};

/// Keys that every run has its own value of; grids may stand in them.
pub(crate) const RUN_KEYS: &[&str] = &[
    "model",
    "data",
    "metrics",
    "normalization",
    "task",
    "seed",
    "parity",
    "precision",
    "scaled_decoding",
    "max_error_rows",
    "incremental",
    "skip",
    "maps",
    "pictures",
];
/// Keys of the job as a whole.
pub(crate) const JOB_KEYS: &[&str] = &[
    "kind",
    "name",
    "resources",
    "output",
    "priority",
    "max_failed_tasks",
    "deadline",
    "timezone",
    "export",
    "search",
];

/// Anomalib's keys, and what stands for them here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("default_root_dir", "output"),
    ("results_dir", "output"),
    ("seed_everything", "seed"),
    ("threshold", "metrics.threshold"),
    ("image_metrics", "metrics.image"),
    ("pixel_metrics", "metrics.pixel"),
];

/// Reads a job file, or one of Anomalib's. `Err` holds everything that is wrong with it, sorted by position.
pub fn read(
    source: &str,
    file_name: &str,
    overrides: &[(String, String)],
    context: &ReadContext<'_>,
) -> Result<Reading, Vec<Diagnostic>> {
    let mut report = Report::new(file_name, overrides);
    let job = parse(source, &mut report).and_then(|mut root| {
        let kind_is_set = overrides.iter().any(|(key, _)| key == "kind");
        if !kind_is_set && anomalib::is_anomalib(&root) {
            root = anomalib::translate(root, file_name, &mut report);
        }
        overrides::apply(&mut root, overrides, &mut report);
        let now = days(&mut root, context, &mut report);
        let job = job(&root, file_name, context.current_dir, &mut report)?;
        Some((job, now))
    });
    reading(job, report)
}

/// Writes one of Anomalib's files as a job file. `Err` if it does not make a job that can be read.
pub fn import_anomalib(
    source: &str,
    file_name: &str,
    context: &ReadContext<'_>,
) -> Result<Import, Vec<Diagnostic>> {
    let mut report = Report::new(file_name, &[]);
    let mut yaml = String::new();
    let job = parse(source, &mut report).and_then(|root| {
        if !anomalib::is_anomalib(&root) {
            let message = "this is no train or benchmark file of Anomalib's: it has `kind` or another key of ours, or none of theirs";
            report.error(root.at, message);
            return None;
        }
        let mut root = anomalib::translate(root, file_name, &mut report);
        yaml = write::node(&root);
        let now = days(&mut root, context, &mut report);
        let job = job(&root, file_name, context.current_dir, &mut report)?;
        Some((job, now))
    });
    reading(job, report).map(|reading| Import { yaml, reading })
}

/// Puts days into the addresses of images to be scored: the only ones that change from night to night.
fn days(root: &mut Node, context: &ReadContext<'_>, report: &mut Report<'_>) -> ZonedDateTime {
    let zone = root.get("timezone").filter(|node| !node.is_null());
    let at = zone.map_or(root.at, |zone| zone.at);
    let name = zone.map_or(Some("UTC"), Node::text);
    let named = name.ok_or_else(|| "expected the name of one, such as Europe/Berlin".to_owned());
    let now = match named.and_then(|name| dates::in_zone(context.now, name)) {
        Ok(now) => now,
        Err(reason) => {
            report.error(at, format!("timezone: {reason}"));
            context.now.to_zoned_datetime(TimeZone::UTC)
        }
    };
    let predicts = root.get("kind").and_then(Node::text) == Some(JobKind::Predict.as_str());
    if let (Value::Map(entries), true) = (&mut root.value, predicts) {
        let data = entries.iter_mut().filter(|entry| entry.key == "data");
        data.for_each(|data| {
            dates::fill_all(&mut data.node, &now, report);
            moments(&mut data.node, now.time_zone());
        });
    }
    now
}

/// Of when images were written.
fn moments(data: &mut Node, zone: &TimeZone) {
    fn entries<'n>(node: &'n mut Node, keys: &[&str]) -> impl Iterator<Item = &'n mut Node> {
        let entries = match &mut node.value {
            Value::Map(entries) => &mut entries[..],
            _ => &mut [],
        };
        let wanted = entries.iter_mut();
        wanted.filter_map(|entry| {
            let is_one = keys.contains(&entry.key.as_str());
            is_one.then_some(&mut entry.node)
        })
    }
    for init_args in entries(data, &["init_args"]) {
        for node in entries(init_args, &["modified_since", "modified_before"]) {
            if let Value::Text(text) = &mut node.value
                && let Some(moment) = dates::moment(text, zone)
            {
                *text = moment;
            }
        }
    }
}

fn parse(source: &str, report: &mut Report<'_>) -> Option<Node> {
    let (root, errors) = yaml::parse(source, |line, column| At::File { line, column });
    errors
        .into_iter()
        .for_each(|(at, message)| report.error(at, message));
    root
}

fn reading(
    job: Option<(ResolvedJob, ZonedDateTime)>,
    report: Report<'_>,
) -> Result<Reading, Vec<Diagnostic>> {
    match job {
        Some((job, now)) if report.errors.is_empty() => Ok(Reading {
            job,
            now,
            warnings: report.warnings.into_iter().collect(),
        }),
        _ => Err(report.into_errors()),
    }
}

fn job(
    root: &Node,
    file_name: &str,
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Option<ResolvedJob> {
    if !matches!(root.value, Value::Map(_)) {
        report.error(
            root.at,
            format!(
                "expected a map with the key `kind`, found {}",
                root.describe()
            ),
        );
        return None;
    }
    let kind = kind(root, report);
    // Whatever is wrong with the kind, the rest is read as well: all errors at once.
    let of_kind = kind.unwrap_or_else(|| likely_kind(root));
    for entry in root.entries() {
        unknown_key(entry, report);
    }
    let name = name(root, file_name, report);
    let output = output(root, current_dir, report);
    let mut resources = resources::read(root.get("resources"), report);
    let priority = integer(root, "priority", i32::MIN.into(), i32::MAX.into(), report)
        .map_or(Some(0), |value| value.try_into().ok());
    let max_failed_tasks = integer(root, "max_failed_tasks", 0, u32::MAX.into(), report)
        .and_then(|value| value.try_into().ok());
    let deadline_s = deadline(root, report);
    for (key, owner) in [("export", JobKind::Export), ("search", JobKind::Hpo)] {
        let other = root
            .get(key)
            .filter(|node| !node.is_null() && of_kind != owner);
        if let Some(node) = other {
            let message = format!("a job of kind {of_kind} has no `{key}`; use `kind: {owner}`");
            report.error(node.at, message);
        }
    }
    let (runs, export, search) = match of_kind {
        JobKind::Export => {
            let export = export::read(root, current_dir, resources.as_mut(), report);
            (Vec::new(), Some(export?), None)
        }
        JobKind::Hpo => {
            let (run, search) = search::read(root, current_dir, report)?;
            (vec![run], None, Some(search))
        }
        JobKind::Train | JobKind::Test | JobKind::Predict | JobKind::Benchmark => {
            (runs(root, of_kind, current_dir, report), None, None)
        }
    };
    if let (Some(resources), Some(run)) = (resources.as_mut(), runs.first())
        && resources.engine == EngineChoice::Auto
        && run.precision == Precision::Bf16
    {
        // No other computes so.
        resources.engine = EngineChoice::Openvino;
    }
    if let (Some(resources), Some(run)) = (&resources, runs.first())
        && !strict::computes_in(resources.engine, run.precision)
    {
        let at = root.get("precision").map_or(root.at, |node| node.at);
        let (precision, engine) = (run.precision.as_str(), resources.engine.as_str());
        let message = format!(
            "precision: the engine {engine} computes in f32 only; {precision} needs `resources: {{engine: openvino}}`"
        );
        report.error(at, message);
    }
    Some(ResolvedJob {
        format: ResolvedJob::FORMAT,
        kind: kind?,
        name: name?,
        resources: resources?,
        output: output?,
        priority: priority?,
        max_failed_tasks,
        deadline_s,
        runs,
        export,
        search,
    })
}

/// What a job of a misspelt kind probably is: of the kind that allows the most.
fn likely_kind(root: &Node) -> JobKind {
    match root.get("model").and_then(|model| model.get("package")) {
        Some(_) if root.get("export").is_some() => JobKind::Export,
        Some(_) => JobKind::Test,
        None if root.get("search").is_some() => JobKind::Hpo,
        None => JobKind::Benchmark,
    }
}

fn kind(root: &Node, report: &mut Report<'_>) -> Option<JobKind> {
    let Some(node) = root.get("kind") else {
        report.error(
            At::START,
            "there is no key `kind`, and the file is not one of Anomalib's; \
             add `kind: train`, `kind: test`, `kind: predict`, `kind: benchmark` or `kind: hpo`",
        );
        return None;
    };
    let words = JobKind::ALL.map(JobKind::as_str);
    match node.text() {
        Some(text) if JobKind::parse(text).is_some() => return JobKind::parse(text),
        text => {
            let suggestion = text.and_then(|text| names::nearest(text, words));
            report.suggest(
                node.at,
                format!(
                    "kind: expected one of {}, found {}",
                    words.join(", "),
                    node.describe()
                ),
                suggestion,
            );
        }
    }
    None
}

fn unknown_key(entry: &Entry, report: &mut Report<'_>) {
    let known = || JOB_KEYS.iter().chain(RUN_KEYS).copied();
    if known().any(|key| key == entry.key) {
        return;
    }
    let message = format!(
        "unknown key {:?}; a job has {}",
        entry.key,
        known().collect::<Vec<_>>().join(", ")
    );
    let elsewhere = ELSEWHERE
        .iter()
        .find(|(theirs, _)| *theirs == entry.key)
        .map(|(_, ours)| (*ours).to_owned());
    report.suggest(
        entry.at,
        message,
        elsewhere.or_else(|| names::nearest(&entry.key, known())),
    );
}

/// The name given, else the file's: `demo.yaml` is the job `demo`.
fn name(root: &Node, file_name: &str, report: &mut Report<'_>) -> Option<String> {
    let expected = "1 to 128 letters, digits, '-', '_' and '.', the first not '.'";
    match root.get("name").filter(|node| !node.is_null()) {
        Some(node) => match node.text() {
            Some(text) if is_name(text) => Some(text.to_owned()),
            _ => {
                report.error(
                    node.at,
                    format!("name: expected {expected}, found {}", node.describe()),
                );
                None
            }
        },
        None => {
            let stem = Path::new(file_name)
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default();
            if is_name(&stem) {
                return Some(stem);
            }
            report.error(root.at, format!("there is no key `name`, and the file's own name does not do for one: {expected}"));
            None
        }
    }
}

/// Names become path segments; a pool's name has the same rule.
pub(crate) fn is_name(text: &str) -> bool {
    text.parse::<PoolName>().is_ok()
}

fn output(root: &Node, current_dir: &Path, report: &mut Report<'_>) -> Option<String> {
    let (at, text) = match root.get("output").filter(|node| !node.is_null()) {
        None => (root.at, "./results"),
        Some(node) => match node.text() {
            Some(text) => (node.at, text),
            None => {
                report.error(
                    node.at,
                    format!("output: expected a path, found {}", node.describe()),
                );
                return None;
            }
        },
    };
    match paths::absolute(text, current_dir) {
        Ok(path) => Some(paths::uri(&path)),
        Err(reason) => {
            report.error(at, format!("output: {reason}"));
            None
        }
    }
}

fn deadline(root: &Node, report: &mut Report<'_>) -> Option<u64> {
    let node = root.get("deadline").filter(|node| !node.is_null())?;
    let seconds = node.text().and_then(quantity::seconds);
    if seconds.is_none() {
        let found = node.describe();
        let message =
            format!("deadline: expected a time with its unit, such as 30m or 8h, found {found}");
        report.error(node.at, message);
    }
    seconds
}

fn integer(root: &Node, key: &str, min: i128, max: i128, report: &mut Report<'_>) -> Option<i128> {
    let node = root.get(key).filter(|node| !node.is_null())?;
    match node.value {
        Value::Int(value) if (min..=max).contains(&value) => Some(value),
        _ => {
            report.error(
                node.at,
                format!(
                    "{key}: expected an integer from {min} to {max}, found {}",
                    node.describe()
                ),
            );
            None
        }
    }
}

/// The runs: one, or in a benchmark every point of its grids.
fn runs(
    root: &Node,
    kind: JobKind,
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Vec<crate::resolved::RunSpec> {
    let (of_runs, of_job): (Vec<_>, Vec<_>) = root
        .entries()
        .iter()
        .cloned()
        .partition(|entry| RUN_KEYS.contains(&entry.key.as_str()));
    let misplaced: Vec<At> = of_job
        .into_iter()
        .flat_map(|mut entry| grid::settle(&mut entry.node, report))
        .collect();
    for at in misplaced {
        report.error(
            at,
            format!(
                "a grid cannot stand here, only below {}",
                RUN_KEYS.join(", ")
            ),
        );
    }
    let mut of_runs = Node::new(root.at, Value::Map(of_runs));
    let grids = grid::settle(&mut of_runs, report);
    if kind != JobKind::Benchmark {
        for at in grids {
            report.error(at, format!("a job of kind {kind} has one run, so no grid can stand here; use `kind: benchmark`"));
        }
    }
    let mut reader = run::Reader::new(kind, current_dir);
    let mut runs = Vec::new();
    let grids = grid::Grids::new(&of_runs);
    match grids.points() {
        Ok(points) => {
            for (node, axes) in points {
                runs.extend(reader.run(&node, axes, report));
                if report.errors.len() > ENOUGH {
                    break;
                }
            }
            reader.finish(&of_runs, &runs, report);
        }
        Err((at, message)) => {
            report.error(at, message);
            for (node, axes) in grids.once() {
                reader.run(&node, axes, report);
                if report.errors.len() > ENOUGH {
                    break;
                }
            }
        }
    }
    runs
}
