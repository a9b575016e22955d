//! One run: model, data, metrics and the rest, with every default written out.

use std::{collections::HashSet, path::Path};

use params::{Entry, same_name};
use serde_json::{Map, Value as Json};

use crate::{
    check,
    names::{self, Class},
    node::{At, Node, Value},
    paths,
    report::Report,
    resolved::{
        ClassSpec, JobKind, MetricsSpec, ModelSource, Normalization, RunSpec, ThresholdSpec,
        VisionTask,
    },
};

pub(crate) const METRICS_KEYS: &[&str] = &["image", "pixel", "threshold"];
const CLASS_KEYS: &[&str] = &["class_path", "init_args"];

/// Reads the runs of one job.
pub(crate) struct Reader<'a> {
    kind: JobKind,
    current_dir: &'a Path,
    /// Configurations that were built once to see whether they can be.
    tried: HashSet<String>,
}

impl<'a> Reader<'a> {
    pub fn new(kind: JobKind, current_dir: &'a Path) -> Self {
        Self {
            kind,
            current_dir,
            tried: HashSet::new(),
        }
    }

    /// `None` after saying what is wrong.
    pub fn run(
        &mut self,
        node: &Node,
        axes: Map<String, Json>,
        report: &mut Report<'_>,
    ) -> Option<RunSpec> {
        let task = task(node.get("task"), report);
        let seed = seed(node.get("seed"), report);
        let normalization = normalization(node.get("normalization"), report);
        // Whatever is wrong with the task, the rest is read as well: all errors at once.
        let data = self.data(node, task.unwrap_or(VisionTask::Segmentation), report);
        // The dataset's own task wins: one benchmark can hold datasets with and without masks.
        let task = match data
            .as_ref()
            .and_then(|data| data.init_args.get("task"))
            .and_then(Json::as_str)
        {
            Some(own) => VisionTask::parse(own),
            None => task,
        };
        let metrics = metrics(
            node.get("metrics"),
            task.unwrap_or(VisionTask::Segmentation),
            self.kind,
            self.current_dir,
            report,
        );
        let model = self.model(node, data.as_ref(), seed, report);
        Some(RunSpec {
            axes,
            model: model?,
            data: data?,
            metrics: metrics?,
            normalization: normalization?,
            task: task?,
            seed: seed?,
        })
    }

    /// What can be said only of all runs together.
    pub fn finish(&self, node: &Node, runs: &[RunSpec], report: &mut Report<'_>) {
        if let Some(pixel) = node
            .get("metrics")
            .and_then(|metrics| metrics.get("pixel"))
            .filter(|pixel| !pixel.is_null())
            && !runs.is_empty()
            && runs
                .iter()
                .all(|run| run.task == VisionTask::Classification)
        {
            report.warn(
                pixel.at,
                "metrics.pixel has no effect: the task classification has no masks",
            );
        }
    }

    fn model(
        &mut self,
        node: &Node,
        data: Option<&ClassSpec>,
        seed: Option<u64>,
        report: &mut Report<'_>,
    ) -> Option<ModelSource> {
        let Some(model) = node.get("model").filter(|model| !model.is_null()) else {
            let example = if self.kind == JobKind::Test {
                "{package: NAME}"
            } else {
                "Padim"
            };
            report.error(
                node.at,
                format!("the key `model` is missing; such as `model: {example}`"),
            );
            return None;
        };
        let package = model.entries().iter().find(|entry| entry.key == "package");
        match (self.kind, package) {
            (JobKind::Test, Some(package)) => self
                .package(model, &package.node, report)
                .map(ModelSource::Package),
            (JobKind::Test, None) => {
                report.error(model.at, "a job of kind test has a trained package: `model: {package: NAME}`, NAME@VERSION or a path to its package.json");
                None
            }
            (kind, Some(package)) => {
                report.error(package.at, format!("a job of kind {kind} trains its models; a package can be used with `kind: test`"));
                None
            }
            (_, None) => {
                let class = class(
                    "model",
                    models::REGISTRY,
                    model,
                    &[],
                    self.current_dir,
                    report,
                )?;
                let size = data
                    .and_then(|data| data.init_args.get("image_size"))
                    .and_then(size);
                self.try_model(&class, size, seed.unwrap_or_default(), model, report)?;
                Some(ModelSource::Train(class))
            }
        }
    }

    fn package(&self, model: &Node, package: &Node, report: &mut Report<'_>) -> Option<String> {
        for entry in model
            .entries()
            .iter()
            .filter(|entry| entry.key != "package")
        {
            report.error(
                entry.at,
                format!(
                    "model: beside `package` there can be no {:?}: the package has its own",
                    entry.key
                ),
            );
        }
        let Some(text) = package.text().filter(|text| !text.is_empty()) else {
            report.error(
                package.at,
                format!(
                    "model.package: expected a name, NAME@VERSION or a path, found {}",
                    package.describe()
                ),
            );
            return None;
        };
        if text.contains('/') || text.ends_with(".json") {
            return match paths::absolute(text, self.current_dir) {
                Ok(path) => Some(path),
                Err(reason) => {
                    report.error(package.at, format!("model.package: {reason}"));
                    None
                }
            };
        }
        let (name, version) = text.split_once('@').unwrap_or((text, "0"));
        if crate::read::is_name(name) && crate::read::is_name(version) {
            return Some(text.to_owned());
        }
        report.error(package.at, format!("model.package: {text:?} is neither a name, NAME@VERSION nor a path (a path has a `/`)"));
        None
    }

    fn data(
        &mut self,
        node: &Node,
        task: VisionTask,
        report: &mut Report<'_>,
    ) -> Option<ClassSpec> {
        let Some(data_node) = node.get("data").filter(|data| !data.is_null()) else {
            report.error(node.at, "the key `data` is missing; such as `data: {class_path: MVTec, init_args: {root: ./datasets, category: bottle}}`");
            return None;
        };
        let implied = [("task", Json::String(task.as_str().to_owned()))];
        let class = class(
            "data",
            data::REGISTRY,
            data_node,
            &implied,
            self.current_dir,
            report,
        )?;
        if self.first_time(&class, String::new())
            && let Err(error) = data::build(&class.class_path, &class.init_args)
        {
            let init_args = data_node.get("init_args");
            let at = match &error {
                data::DataError::Parameter { parameter, .. } => init_args
                    .and_then(|args| args.get(parameter))
                    .map(|node| node.at),
                _ => None,
            };
            report.error(at.unwrap_or(data_node.at), error.to_string());
            return None;
        }
        Some(class)
    }

    /// Builds the model once: what no single parameter's range can say (layers that the backbone lacks) is said here.
    fn try_model(
        &mut self,
        class: &ClassSpec,
        image_size: Option<[usize; 2]>,
        seed: u64,
        node: &Node,
        report: &mut Report<'_>,
    ) -> Option<()> {
        if !self.first_time(class, format!("{image_size:?}")) {
            return Some(());
        }
        match models::build(&class.class_path, &class.init_args, image_size, seed) {
            Ok(_) => Some(()),
            Err(error) => {
                let mut message = error.to_string();
                let mut source = std::error::Error::source(&error);
                while let Some(cause) = source {
                    message.push_str(&format!(": {cause}"));
                    source = cause.source();
                }
                let args = node.get("init_args");
                let at = error
                    .parameter()
                    .and_then(|parameter| args?.get(parameter))
                    .or(args)
                    .map_or(node.at, |node| node.at);
                report.error(at, message);
                None
            }
        }
    }

    fn first_time(&mut self, class: &ClassSpec, beside: String) -> bool {
        self.tried.insert(format!(
            "{} {} {beside}",
            class.class_path,
            Json::Object(class.init_args.clone())
        ))
    }
}

fn size(json: &Json) -> Option<[usize; 2]> {
    let side = |index: usize| json.get(index)?.as_u64()?.try_into().ok();
    Some([side(0)?, side(1)?])
}

/// A class of a registry: its name alone, or `{class_path, init_args}`.
fn class(
    what: &str,
    registry: &'static [Entry],
    node: &Node,
    implied: &[(&str, Json)],
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Option<ClassSpec> {
    let (path, init_args) = class_path(what, node, report)?;
    let entry = find(what, registry, path, report)?;
    let init_args = check::arguments(entry, init_args, node.at, implied, current_dir, report)?;
    Some(ClassSpec {
        class_path: entry.class.to_owned(),
        init_args,
    })
}

/// The node that holds the class path, and the one that holds the parameters.
fn class_path<'n>(
    what: &str,
    node: &'n Node,
    report: &mut Report<'_>,
) -> Option<(&'n Node, Option<&'n Node>)> {
    if matches!(node.value, Value::Text(_)) {
        return Some((node, None));
    }
    if !matches!(node.value, Value::Map(_)) {
        report.error(
            node.at,
            format!(
                "{what}: expected a class name, or a map with class_path and init_args, found {}",
                node.describe()
            ),
        );
        return None;
    }
    for entry in node
        .entries()
        .iter()
        .filter(|entry| !CLASS_KEYS.contains(&entry.key.as_str()))
    {
        let suggestion = names::nearest(&entry.key, CLASS_KEYS.iter().copied());
        let message = format!(
            "{what}: unknown key {:?}; parameters stand below init_args",
            entry.key
        );
        report.suggest(entry.at, message, suggestion);
    }
    match node.get("class_path") {
        Some(path) => Some((path, node.get("init_args"))),
        None => {
            report.error(node.at, format!("{what}: class_path is missing"));
            None
        }
    }
}

fn find(
    what: &str,
    registry: &'static [Entry],
    path: &Node,
    report: &mut Report<'_>,
) -> Option<&'static Entry> {
    let Some(text) = path.text() else {
        report.error(
            path.at,
            format!("{what}: expected a class name, found {}", path.describe()),
        );
        return None;
    };
    match names::class(registry, text) {
        Class::Built(entry) => Some(entry),
        Class::NotBuilt(entry) => {
            let built: Vec<&str> = registry
                .iter()
                .filter(|entry| entry.params.is_some())
                .map(|entry| entry.class)
                .collect();
            report.error(
                path.at,
                format!(
                    "{what}: {} is known but not built yet; built: {}",
                    entry.class,
                    built.join(", ")
                ),
            );
            None
        }
        Class::Unknown(suggestion) => {
            report.suggest(path.at, format!("unknown {what} {text:?}"), suggestion);
            None
        }
    }
}

fn task(node: Option<&Node>, report: &mut Report<'_>) -> Option<VisionTask> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Some(VisionTask::Segmentation);
    };
    let kind = params::Kind::Choice {
        built: &["classification", "segmentation"],
        not_built: &["detection"],
    };
    check::value("task", &kind, node, Path::new("/"), report)
        .and_then(|word| VisionTask::parse(word.as_str()?))
}

fn seed(node: Option<&Node>, report: &mut Report<'_>) -> Option<u64> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Some(0);
    };
    if let Value::Int(seed) = node.value
        && let Ok(seed) = u64::try_from(seed)
    {
        return Some(seed);
    }
    report.error(
        node.at,
        format!(
            "seed: expected an integer from 0 to {}, found {}",
            u64::MAX,
            node.describe()
        ),
    );
    None
}

/// `min_max`, `none`, or Anomalib's `{normalization_method: min_max}`.
fn normalization(node: Option<&Node>, report: &mut Report<'_>) -> Option<Normalization> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Some(Normalization::MinMax);
    };
    let word = match node.entries() {
        [only] if only.key == "normalization_method" => &only.node,
        _ => node,
    };
    let kind = params::Kind::Choice {
        built: &["min_max", "none"],
        not_built: &["cdf"],
    };
    match check::value("normalization", &kind, word, Path::new("/"), report)?.as_str()? {
        "min_max" => Some(Normalization::MinMax),
        _ => Some(Normalization::None),
    }
}

const DEFAULT_METRICS: &[&str] = &["AUROC", "F1Score"];

fn metrics(
    node: Option<&Node>,
    task: VisionTask,
    kind: JobKind,
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Option<MetricsSpec> {
    let standard = Node::new(At::START, Value::Map(Vec::new()));
    let node = node.filter(|node| !node.is_null()).unwrap_or(&standard);
    if !matches!(node.value, Value::Map(_)) {
        report.error(
            node.at,
            format!(
                "metrics: expected a map with {}, found {}",
                METRICS_KEYS.join(", "),
                node.describe()
            ),
        );
        return None;
    }
    for entry in node
        .entries()
        .iter()
        .filter(|entry| !METRICS_KEYS.contains(&entry.key.as_str()))
    {
        let message = format!(
            "metrics has no key {:?}; it has {}",
            entry.key,
            METRICS_KEYS.join(", ")
        );
        report.suggest(
            entry.at,
            message,
            names::nearest(&entry.key, METRICS_KEYS.iter().copied()),
        );
    }
    let image = metric_names("metrics.image", node.get("image"), current_dir, report);
    // Read even if it has no effect, so that a wrong name is an error in any case.
    let pixel = metric_names("metrics.pixel", node.get("pixel"), current_dir, report);
    let (image_threshold, pixel_threshold) =
        thresholds(node.get("threshold"), kind, current_dir, report)?;
    let pixel = match task {
        VisionTask::Segmentation => pixel?,
        VisionTask::Classification => pixel.map(|_| Vec::new())?,
    };
    Some(MetricsSpec {
        image: image?,
        pixel,
        image_threshold,
        pixel_threshold,
    })
}

/// One name, a list, or a map from name to `{class_path, init_args}`.
fn metric_names(
    what: &str,
    node: Option<&Node>,
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Option<Vec<String>> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Some(
            DEFAULT_METRICS
                .iter()
                .map(|name| (*name).to_owned())
                .collect(),
        );
    };
    let metric = |node: &Node, report: &mut Report<'_>| {
        class(what, metrics::REGISTRY, node, &[], current_dir, report).map(|class| class.class_path)
    };
    let single = matches!(&node.value, Value::Map(entries) if entries.iter().any(|entry| entry.key == "class_path"));
    let found: Vec<Option<String>> = match &node.value {
        Value::List(items) => items.iter().map(|item| metric(item, report)).collect(),
        Value::Map(entries) if !single => entries
            .iter()
            .map(|entry| match entry.node.value {
                Value::Null => metric(&Node::new(entry.at, Value::Text(entry.key.clone())), report),
                _ => metric(&entry.node, report),
            })
            .collect(),
        _ => vec![metric(node, report)],
    };
    let mut names: Vec<String> = Vec::with_capacity(found.len());
    for name in found.into_iter().collect::<Option<Vec<_>>>()? {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Some(names)
}

/// Of image and pixel: one for both, a list of two, or a map with `image` and `pixel`.
fn thresholds(
    node: Option<&Node>,
    kind: JobKind,
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Option<(ThresholdSpec, ThresholdSpec)> {
    let standard = if kind == JobKind::Test {
        ThresholdSpec::Package
    } else {
        ThresholdSpec::F1Adaptive
    };
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Some((standard, standard));
    };
    let mut one = |node: &Node| threshold(node, current_dir, report);
    match &node.value {
        Value::List(items) => match items.as_slice() {
            [both] => one(both).map(|both| (both, both)),
            [image, pixel] => one(image).zip(one(pixel)),
            _ => {
                report.error(node.at, "metrics.threshold: a list has one threshold for both levels, or two: image, pixel");
                None
            }
        },
        Value::Map(entries)
            if !entries.is_empty()
                && entries.iter().all(|entry| {
                    same_name(&entry.key, "image") || same_name(&entry.key, "pixel")
                }) =>
        {
            let image = node.get("image").map_or(Some(standard), &mut one);
            image.zip(node.get("pixel").map_or(Some(standard), one))
        }
        _ => one(node).map(|both| (both, both)),
    }
}

fn threshold(node: &Node, current_dir: &Path, report: &mut Report<'_>) -> Option<ThresholdSpec> {
    // A plain number is a threshold that the user has chosen.
    let number = match node.value {
        Value::Int(value) => Some(value as f64),
        Value::Float(value) => Some(value),
        _ => None,
    };
    if let Some(value) = number {
        if value.is_finite() {
            return Some(ThresholdSpec::Manual { value: value + 0.0 });
        }
        report.error(node.at, "metrics.threshold: expected a finite number");
        return None;
    }
    let class = class(
        "metrics.threshold",
        metrics::THRESHOLDS,
        node,
        &[],
        current_dir,
        report,
    )?;
    match class.class_path.as_str() {
        "ManualThreshold" => {
            let value = class
                .init_args
                .get("default_value")
                .and_then(Json::as_f64)
                .unwrap_or(0.5);
            Some(ThresholdSpec::Manual { value })
        }
        _ => Some(ThresholdSpec::F1Adaptive),
    }
}
