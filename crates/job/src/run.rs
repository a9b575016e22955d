//! One run: model, data, metrics and the rest, with every default written out.

use std::{collections::HashSet, path::Path};

use metrics::{FprBounds, FprLimit};
use models::{InputSize, ModelError};
use params::{Entry, same_name};
use serde_json::{Map, Value as Json};
use types::JobId;

use crate::{
    check::{self, Arguments},
    names::{self, Found},
    node::{At, Node, Value},
    paths,
    report::Report,
    resolved::{
        ClassSpec, ErrorLimit, JobKind, Kept, MeasuredOn, MetricsSpec, ModelSource, Normalization,
        Precision, RunSpec, ThresholdSpec, VisionTask,
    },
};

pub(crate) const METRICS_KEYS: &[&str] = &["image", "pixel", "threshold"];
/// Says that a job has not what it needs, with an example that stands where the file has it.
fn missing(key: &str, example: &str, at: At, report: &mut Report<'_>) {
    let message = if report.of_sweep {
        format!(
            "the key `parameters.{key}` is missing; such as `{key}: {example}` below `parameters`, or `--set {key}.class_path=CLASS`"
        )
    } else {
        format!("the key `{key}` is missing; such as `{key}: {example}`")
    };
    report.error(at, message);
}

pub(crate) const CLASS_KEYS: &[&str] = &["class_path", "init_args"];
const THRESHOLD_KEYS: &[&str] = &["image", "pixel"];
/// Keys of a model that is a package.
const PACKAGE: &str = "package";
const NAME: &str = "name";
/// Of what a model is called: a line of a table.
const MODEL_NAME_BYTES: usize = 200;

/// Whether a model can be called that.
pub fn is_model_name(text: &str) -> bool {
    (1..=MODEL_NAME_BYTES).contains(&text.len()) && !text.contains(char::is_control)
}

/// Of a package that is called otherwise than it is named.
fn model_name(node: &Node, report: &mut Report<'_>) -> Option<Option<String>> {
    let model = node
        .get("model")
        .filter(|model| model.get(PACKAGE).is_some());
    let name = model.and_then(|model| model.get(NAME));
    let Some(name) = name.filter(|name| !name.is_null()) else {
        return Some(None);
    };
    let text = name.text().unwrap_or_default();
    if is_model_name(text) {
        return Some(Some(text.to_owned()));
    }
    report.error(
        name.at,
        format!(
            "model.name: expected what the model is called, a text of 1 to {MODEL_NAME_BYTES} bytes in one line, found {}",
            name.describe()
        ),
    );
    None
}

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
        let data = self.data(node, task, report);
        // The dataset's own task wins: one benchmark can hold datasets with and without masks.
        let task = match data.as_ref().and_then(|data| data.text("task")) {
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
        let model = self.model(node, data.as_ref(), report);
        let model_name = model_name(node, report);
        let precision = precision(node.get("precision"), self.kind, report);
        let scaled_decoding = scaled_decoding(node.get("scaled_decoding"), self.kind, report);
        let is_exact = precision == Some(Precision::F32) && scaled_decoding == Some(false);
        let parity = parity(node.get("parity"), self.kind, is_exact, report);
        let max_error_rows = max_error_rows(node.get("max_error_rows"), self.kind, report);
        let incremental = incremental(node.get("incremental"), self.kind, report);
        let skip = skip(node.get("skip"), self.kind, report);
        let maps = kept("maps", node, self.kind, report);
        let pictures = kept("pictures", node, self.kind, report);
        Some(RunSpec {
            axes,
            model: model?,
            model_name: model_name?,
            data: data.filter(|data| data.arguments.right)?.spec(),
            metrics: metrics?,
            normalization: normalization?,
            task: task?,
            seed: seed?,
            parity: parity?,
            precision: precision?,
            scaled_decoding: scaled_decoding?,
            max_error_rows: max_error_rows?,
            incremental: incremental?,
            skip: skip?,
            maps: maps?,
            pictures: pictures?,
            measured_on: MeasuredOn::Test,
            train_share: None,
            chosen_on: None,
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
        data: Option<&Class>,
        report: &mut Report<'_>,
    ) -> Option<ModelSource> {
        let Some(model) = given(node, "model", report)? else {
            let example = match self.kind.takes_package() {
                true => "{package: NAME}",
                false if report.of_sweep => "{class_path: Padim}",
                false => "Padim",
            };
            missing("model", example, node.at, report);
            return None;
        };
        let package = model.entries().iter().find(|entry| entry.key == PACKAGE);
        match (self.kind.takes_package(), package) {
            (true, Some(package)) => {
                owned_by_package(node, report);
                self.package(model, &package.node, &[NAME], report)
                    .map(ModelSource::Package)
            }
            (true, None) => {
                report.error(model.at, format!("a job of kind {} has a trained package: `model: {{package: NAME}}`, NAME@VERSION or a path to its package.json", self.kind));
                None
            }
            (false, Some(package)) => {
                report.error(package.at, format!("a job of kind {} trains its models; a package can be used with `kind: test` or `kind: predict`", self.kind));
                None
            }
            (false, None) => {
                let class = class(
                    "model",
                    models::REGISTRY,
                    model,
                    &[],
                    self.current_dir,
                    report,
                )?;
                self.model_together(&class, data, (model, node.get("data")), report);
                class
                    .arguments
                    .right
                    .then(|| ModelSource::Train(class.spec()))
            }
        }
    }

    /// The trained package that a job of a kind without runs names as its `model`.
    pub fn trained(&self, root: &Node, report: &mut Report<'_>) -> Option<String> {
        let model = root.get("model").filter(|model| !model.is_null());
        let package = model.and_then(|model| Some((model, model.get(PACKAGE)?)));
        let Some((model, package)) = package else {
            let at = model.map_or(root.at, |model| model.at);
            let kind = self.kind;
            report.error(at, format!("a job of kind {kind} has a trained package: `model: {{package: NAME}}`, NAME@VERSION or a path to its package.json"));
            return None;
        };
        self.package(model, package, &[], report)
    }

    /// `beside`: what may stand beside it.
    fn package(
        &self,
        model: &Node,
        package: &Node,
        beside: &[&str],
        report: &mut Report<'_>,
    ) -> Option<String> {
        let is_known = |key: &str| key == PACKAGE || beside.contains(&key);
        for entry in model.entries().iter().filter(|entry| !is_known(&entry.key)) {
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
        let is_file = [".json", ".onnx", ".xml"]
            .iter()
            .any(|end| text.ends_with(end));
        if text.contains('/') || is_file {
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

    /// `task` is the job's; `None` if it is wrong.
    fn data(
        &mut self,
        node: &Node,
        task: Option<VisionTask>,
        report: &mut Report<'_>,
    ) -> Option<Class> {
        let Some(data_node) = given(node, "data", report)? else {
            let example = match self.kind {
                JobKind::Predict => "./images",
                _ => "{class_path: MVTec, init_args: {root: ./datasets, category: bottle}}",
            };
            missing("data", example, node.at, report);
            return None;
        };
        let spelt_out;
        let data_node = match (&data_node.value, self.kind) {
            (Value::Text(_) | Value::List(_), JobKind::Predict) => {
                spelt_out = images_at(data_node);
                &spelt_out
            }
            _ => data_node,
        };
        let own = data_node
            .get("init_args")
            .and_then(|args| args.get("task"))
            .is_some_and(|task| !task.is_null());
        let word = task.unwrap_or(VisionTask::Segmentation).as_str();
        let implied = [("task", Json::String(word.to_owned()))];
        let mut class = class(
            "data",
            data::REGISTRY,
            data_node,
            &implied,
            self.current_dir,
            report,
        )?;
        if (class.entry.class == PREDICT_DATASET) != (self.kind == JobKind::Predict) {
            let kind = self.kind;
            report.error(
                data_node.at,
                match kind {
                    JobKind::Predict => "data: a job of kind predict scores images without labels, such as `data: s3://line3/night` or a list of such; `kind: test` measures on a dataset".to_owned(),
                    _ => format!("data: {PREDICT_DATASET} has no labels, which a job of kind {kind} needs; `kind: predict` scores such images"),
                },
            );
            return None;
        }
        if task.is_none() && !own && class.arguments.values.shift_remove("task").is_some() {
            class.arguments.unreadable.push("task");
        }
        self.data_together(&mut class, data_node, report);
        Some(class)
    }

    /// What no single parameter of a dataset can say.
    fn data_together(&mut self, class: &mut Class, node: &Node, report: &mut Report<'_>) {
        let Arguments {
            values,
            unreadable,
            right,
        } = &mut class.arguments;
        if !self.first_time(class.entry, values, unreadable, String::new()) {
            return;
        }
        for problem in data::problems(class.entry.class, values, unreadable) {
            let parameter = match &problem {
                data::DataError::Parameter { parameter, .. } => Some(*parameter),
                _ => None,
            };
            *right = false;
            report.error(place(node, parameter), problem.to_string());
        }
    }

    /// What no single parameter of a model can say, such as layers that the backbone lacks.
    fn model_together(
        &mut self,
        class: &Class,
        data: Option<&Class>,
        (node, data_node): (&Node, Option<&Node>),
        report: &mut Report<'_>,
    ) {
        let Arguments {
            values, unreadable, ..
        } = &class.arguments;
        let input = data.map_or_else(InputSize::default, Class::input_size);
        if !self.first_time(class.entry, values, unreadable, format!("{input:?}")) {
            return;
        }
        for problem in models::problems(class.entry.class, values, unreadable, input) {
            let mut message = problem.to_string();
            let mut source = std::error::Error::source(&problem);
            while let Some(cause) = source {
                message.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            let of_data = match &problem {
                ModelError::Crop { .. } => Some("center_crop"),
                ModelError::ImageSize { .. } if input.crop.is_some() => Some("center_crop"),
                ModelError::ImageSize { .. } => Some("image_size"),
                _ => None,
            };
            let at = match data_node {
                Some(data_node) if of_data.is_some() => place(data_node, of_data),
                _ => place(node, problem.parameter()),
            };
            let Some((wrong, known)) = problem.unknown_name() else {
                report.error(at, message);
                continue;
            };
            // In a list it is the item that is wrong.
            let given = problem
                .parameter()
                .and_then(|parameter| node.get("init_args")?.get(parameter));
            let item = match given.map(|given| &given.value) {
                Some(Value::List(items)) => items.iter().find(|item| item.text() == Some(wrong)),
                _ => None,
            };
            report.suggest(
                item.map_or(at, |item| item.at),
                message,
                names::nearest(wrong, known.iter().map(String::as_str)),
            );
        }
    }

    fn first_time(
        &mut self,
        entry: &Entry,
        values: &Map<String, Json>,
        unreadable: &[&str],
        beside: String,
    ) -> bool {
        let values = Json::Object(values.clone());
        self.tried
            .insert(format!("{} {values} {unreadable:?} {beside}", entry.class))
    }
}

const PREDICT_DATASET: &str = "PredictDataset";

/// Plain addresses as the parameter of the class that they are meant for.
fn images_at(addresses: &Node) -> Node {
    let at = addresses.at;
    let map = |entries: Vec<(&str, Node)>| {
        let entry = |(key, node): (&str, Node)| crate::node::Entry {
            key: key.to_owned(),
            at,
            node,
        };
        Node::new(at, Value::Map(entries.into_iter().map(entry).collect()))
    };
    map(vec![
        (
            "class_path",
            Node::new(at, Value::Text(PREDICT_DATASET.to_owned())),
        ),
        ("init_args", map(vec![("path", addresses.clone())])),
    ])
}

/// Warns of values beside a package that has them itself.
fn owned_by_package(node: &Node, report: &mut Report<'_>) {
    let written = |node: Option<&Node>| Some(node.filter(|node| !node.is_null())?.at);
    if let Some(at) = written(node.get("seed")) {
        report.warn(at, "seed has no effect: the package's model has its own");
    }
    let data = node.get("data").and_then(|data| data.get("init_args"));
    for name in ["image_size", "center_crop"] {
        if let Some(at) = written(data.and_then(|data| data.get(name))) {
            let message = format!(
                "{name} is the package's own: leave it out; with another one the job fails"
            );
            report.warn(at, message);
        }
    }
}

/// The value of a key that must be there; `None` if everything is said of it.
fn given<'n>(node: &'n Node, key: &str, report: &Report<'_>) -> Option<Option<&'n Node>> {
    match node.get(key) {
        Some(value) if report.is_muted(value.at) => None,
        value => Some(value.filter(|value| !value.is_null())),
    }
}

/// Where a parameter of a class stands, else its parameters, else the class.
fn place(node: &Node, parameter: Option<&str>) -> At {
    let args = node.get("init_args").filter(|args| !args.is_null());
    parameter
        .and_then(|parameter| args?.get(parameter))
        .or(args)
        .map_or(node.at, |node| node.at)
}

/// A class of a registry with its parameters as far as they could be read.
struct Class {
    entry: &'static Entry,
    arguments: Arguments,
}

impl Class {
    fn text(&self, parameter: &str) -> Option<&str> {
        self.arguments.values.get(parameter)?.as_str()
    }

    /// Of a dataset: how images are brought to the model's size. Where one of the two sizes is wrong, nothing that follows from the
    /// other is: whatever else is wrong with it is told once that is mended.
    fn input_size(&self) -> InputSize {
        let names = ["image_size", "center_crop"];
        if names
            .iter()
            .any(|name| self.arguments.unreadable.contains(name))
        {
            return InputSize::default();
        }
        let size = |json: &Json| {
            let side = |index: usize| json.get(index)?.as_u64()?.try_into().ok();
            Some([side(0)?, side(1)?])
        };
        let [resized, crop] = names.map(|name| size(self.arguments.values.get(name)?));
        InputSize { resized, crop }
    }

    fn spec(self) -> ClassSpec {
        ClassSpec {
            class_path: self.entry.class.to_owned(),
            init_args: self.arguments.values,
        }
    }
}

/// Reads a class: its name alone, or `{class_path, init_args}`.
fn class(
    what: &str,
    registry: &'static [Entry],
    node: &Node,
    implied: &[(&str, Json)],
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Option<Class> {
    let (path, init_args) = class_path(what, node, report)?;
    let entry = find(what, registry, path, report)?;
    let arguments = check::arguments(entry, init_args, node.at, implied, current_dir, report);
    Some(Class { entry, arguments })
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
        Found::Built(entry) => Some(entry),
        Found::NotBuilt(entry) => {
            report.error(
                path.at,
                format!(
                    "{what}: {} is known but not built yet; built: {}",
                    entry.class,
                    built(registry)
                ),
            );
            None
        }
        Found::Unknown(suggestion) => {
            let mut message = format!("unknown {what} {text:?}");
            if suggestion.is_none() {
                message.push_str(&format!("; expected one of {}", built(registry)));
            }
            report.suggest(path.at, message, suggestion);
            None
        }
    }
}

fn built(registry: &[Entry]) -> String {
    let built: Vec<&str> = registry
        .iter()
        .filter(|entry| entry.params.is_some())
        .map(|entry| entry.class)
        .collect();
    built.join(", ")
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

/// Images on which engines are compared where the job does not say: enough to see an engine that is wrong.
pub(crate) const PARITY_IMAGES: u32 = 16;
/// Far more than tells anything new.
pub(crate) const MOST_PARITY_IMAGES: u32 = 1000;

fn parity(
    node: Option<&Node>,
    kind: JobKind,
    is_exact: bool,
    report: &mut Report<'_>,
) -> Option<u32> {
    let has_effect = !kind.takes_package() || !is_exact;
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Some(if has_effect { PARITY_IMAGES } else { 0 });
    };
    // Nobody computes less exactly without being told what that does.
    let (least, without) = match kind.takes_package() && has_effect {
        true => (1, ""),
        false => (0, " (no certificate)"),
    };
    if let Value::Int(images) = node.value
        && let Ok(images) = u32::try_from(images)
        && (least..=MOST_PARITY_IMAGES).contains(&images)
    {
        if has_effect {
            return Some(images);
        }
        report.warn(
            node.at,
            "parity has no effect: the package has its certificate from when it was trained",
        );
        return Some(0);
    }
    report.error(
        node.at,
        format!(
            "parity: expected a number of images from {least}{without} to {MOST_PARITY_IMAGES}, found {}",
            node.describe()
        ),
    );
    None
}

/// Of jobs that score by a package alone: what is learned and chosen from exact scores holds for exact ones.
fn precision(node: Option<&Node>, kind: JobKind, report: &mut Report<'_>) -> Option<Precision> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Some(Precision::F32);
    };
    let text = node.text().map(str::to_lowercase);
    let precision = match text.as_deref() {
        Some("int8") => {
            report.error(
                node.at,
                "precision: int8 is known but not built; bf16 is, which was the faster one",
            );
            return None;
        }
        text => text.and_then(Precision::parse),
    };
    let Some(precision) = precision else {
        let words = Precision::ALL.map(Precision::as_str);
        let message = format!(
            "precision: expected one of {}, found {}",
            words.join(", "),
            node.describe()
        );
        let nearest = text.and_then(|text| names::nearest(&text, words));
        report.suggest(node.at, message, nearest);
        return None;
    };
    if precision != Precision::F32 && !scores_by_package(kind) {
        report.error(node.at, only_by_package("precision", kind));
        return None;
    }
    Some(precision)
}

/// As `precision`.
fn scaled_decoding(node: Option<&Node>, kind: JobKind, report: &mut Report<'_>) -> Option<bool> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Some(false);
    };
    match node.value {
        Value::Bool(true) if !scores_by_package(kind) => {
            report.error(node.at, only_by_package("scaled_decoding", kind));
            None
        }
        Value::Bool(scaled) => Some(scaled),
        _ => {
            report.error(
                node.at,
                format!(
                    "scaled_decoding: expected true or false, found {}",
                    node.describe()
                ),
            );
            None
        }
    }
}

fn scores_by_package(kind: JobKind) -> bool {
    matches!(kind, JobKind::Test | JobKind::Predict)
}

fn only_by_package(key: &str, kind: JobKind) -> String {
    format!(
        "{key} is of jobs of the kinds predict and test; a job of kind {kind} computes exactly, since packages, thresholds and measured results stand on it"
    )
}

/// A number of rows, or a share such as `1%`.
fn max_error_rows(
    node: Option<&Node>,
    kind: JobKind,
    report: &mut Report<'_>,
) -> Option<Option<ErrorLimit>> {
    let node = node.filter(|node| !node.is_null());
    if kind != JobKind::Predict {
        if let Some(node) = node {
            report.error(
                node.at,
                format!("max_error_rows is of jobs of kind predict; in a job of kind {kind} every image that cannot be scored is said with its metrics"),
            );
        }
        return Some(None);
    }
    let Some(node) = node else {
        return Some(Some(ErrorLimit::STANDARD));
    };
    let found = match &node.value {
        Value::Int(rows) => u64::try_from(*rows).ok().map(ErrorLimit::Rows),
        Value::Text(text) => percent(text).map(ErrorLimit::Share),
        _ => None,
    };
    if found.is_none() {
        let found = node.describe();
        let message = format!(
            "max_error_rows: expected a number of images or a share such as 1%, found {found}"
        );
        report.error(node.at, message);
    }
    found.map(Some)
}

fn incremental(node: Option<&Node>, kind: JobKind, report: &mut Report<'_>) -> Option<bool> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Some(false);
    };
    match node.value {
        Value::Bool(true) if kind != JobKind::Predict => {
            report.error(
                node.at,
                format!("incremental is of jobs of kind predict; a job of kind {kind} measures on all of its images"),
            );
            None
        }
        Value::Bool(given) => Some(given),
        _ => {
            let found = node.describe();
            report.error(
                node.at,
                format!("incremental: expected true or false, found {found}"),
            );
            None
        }
    }
}

/// The job whose images are not scored again.
fn skip(node: Option<&Node>, kind: JobKind, report: &mut Report<'_>) -> Option<Option<JobId>> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Some(None);
    };
    let problem = match node.text().map(str::parse) {
        Some(Ok(job)) if kind == JobKind::Predict && node.text() != Some(NEWEST) => {
            return Some(Some(job));
        }
        Some(Ok(_)) if kind == JobKind::Predict => format!(
            "skip: {NEWEST:?} may be another job tomorrow; name one by its id, or use `ctl predict --skip {NEWEST}`"
        ),
        Some(Ok(_)) => format!(
            "skip is of jobs of kind predict; a job of kind {kind} measures on all of its images"
        ),
        _ => format!(
            "skip: expected the id of a job, such as 7k2m9x4c, found {}",
            node.describe()
        ),
    };
    report.error(node.at, problem);
    None
}

/// What commands call the newest job.
const NEWEST: &str = "last";

/// Of which images something is kept: `maps` or `pictures`.
fn kept(key: &str, run: &Node, kind: JobKind, report: &mut Report<'_>) -> Option<Kept> {
    let Some(node) = run.get(key).filter(|node| !node.is_null()) else {
        return Some(Kept::None);
    };
    let words = Kept::ALL.map(Kept::as_str);
    let Some(kept) = node.text().and_then(Kept::parse) else {
        let nearest = node.text().and_then(|text| names::nearest(text, words));
        let (words, found) = (words.join(", "), node.describe());
        report.suggest(
            node.at,
            format!("{key}: expected one of {words}, found {found}"),
            nearest,
        );
        return None;
    };
    if kind == JobKind::Predict || kept == Kept::None {
        return Some(kept);
    }
    report.error(
        node.at,
        format!("{key} is of jobs of kind predict; a job of kind {kind} keeps pictures of the images that its report shows"),
    );
    None
}

/// `2.5%` is 0.025; nothing outside 0 to 100 %.
fn percent(text: &str) -> Option<f64> {
    let percent: f64 = text.strip_suffix('%')?.trim_end().parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

/// `min_max`, `cdf`, `none`, or Anomalib's `{normalization_method: min_max}`.
fn normalization(node: Option<&Node>, report: &mut Report<'_>) -> Option<Normalization> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Some(Normalization::MinMax);
    };
    let word = match node.entries() {
        [only] if only.key == "normalization_method" => &only.node,
        _ => node,
    };
    let kind = params::Kind::Choice {
        built: &["min_max", "cdf", "none"],
        not_built: &[],
    };
    match check::value("normalization", &kind, word, Path::new("/"), report)?.as_str()? {
        "min_max" => Some(Normalization::MinMax),
        "cdf" => Some(Normalization::Cdf),
        _ => Some(Normalization::None),
    }
}

const DEFAULT_METRICS: [&str; 2] = ["AUROC", "F1Score"];

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
    if kind == JobKind::Predict {
        return thresholds_alone(node, current_dir, report);
    }
    let image = metric_list(Scored::Images, node.get("image"), current_dir, report);
    // Read even if it has no effect, so that a wrong name is an error in any case.
    let pixel = metric_list(Scored::Pixels, node.get("pixel"), current_dir, report);
    let (image_threshold, pixel_threshold) =
        thresholds(node.get("threshold"), kind, current_dir, report)?;
    let pixel = match task {
        VisionTask::Segmentation => pixel?,
        VisionTask::Classification => pixel.map(|_| Metrics::default())?,
    };
    Some(MetricsSpec {
        image: image?.names,
        fpr_limit: pixel.fpr_limit.unwrap_or_default().rate(),
        fpr_bounds: {
            let bounds = pixel.fpr_bounds.unwrap_or_default();
            [bounds.lower(), bounds.upper()]
        },
        pixel: pixel.names,
        image_threshold,
        pixel_threshold,
    })
}

/// Of images without labels nothing can be measured, only decided.
fn thresholds_alone(
    node: &Node,
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Option<MetricsSpec> {
    for level in ["image", "pixel"] {
        if let Some(metrics) = node.get(level).filter(|metrics| !metrics.is_null()) {
            report.error(metrics.at, format!("metrics.{level}: a job of kind predict has no labels to measure with; `kind: test` has"));
        }
    }
    let threshold = node.get("threshold");
    let (image_threshold, pixel_threshold) =
        thresholds(threshold, JobKind::Predict, current_dir, report)?;
    for chosen in [image_threshold, pixel_threshold] {
        if !chosen.is_given() {
            let at = threshold.map_or(node.at, |threshold| threshold.at);
            report.error(at, "metrics.threshold: there are no labels to choose one by; leave it out (the package has its own) or give a number");
            return None;
        }
    }
    Some(MetricsSpec {
        image: Vec::new(),
        pixel: Vec::new(),
        fpr_limit: FprLimit::STANDARD.rate(),
        fpr_bounds: {
            let bounds = FprBounds::STANDARD;
            [bounds.lower(), bounds.upper()]
        },
        image_threshold,
        pixel_threshold,
    })
}

/// What a list of metrics is of.
#[derive(Clone, Copy, PartialEq)]
enum Scored {
    Images,
    Pixels,
}

/// A list of metrics, each once.
#[derive(Default)]
struct Metrics {
    names: Vec<String>,
    fpr_limit: Option<FprLimit>,
    fpr_bounds: Option<FprBounds>,
}

/// Notes a parameter that a run has one value of; false if it has another one already.
fn is_only<T: PartialEq>(known: &mut Option<T>, value: Option<T>) -> bool {
    match (&known, value) {
        (Some(known), Some(value)) => *known == value,
        (_, None) => true,
        (None, value) => {
            *known = value;
            true
        }
    }
}

/// One name, a list, or a map from name to `{class_path, init_args}`.
fn metric_list(
    scored: Scored,
    node: Option<&Node>,
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Option<Metrics> {
    let what = match scored {
        Scored::Images => "metrics.image",
        Scored::Pixels => "metrics.pixel",
    };
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Some(Metrics {
            names: DEFAULT_METRICS.map(str::to_owned).to_vec(),
            ..Metrics::default()
        });
    };
    let (mut fpr_limit, mut fpr_bounds) = (None, None);
    let mut metric = |node: &Node, report: &mut Report<'_>| {
        if let Some(threshold) = threshold_class(node) {
            let message =
                format!("{what}: {threshold} is no metric; it belongs below metrics.threshold");
            report.error(node.at, message);
            return None;
        }
        let class = class(what, metrics::REGISTRY, node, &[], current_dir, report)?;
        let name = class.entry.class;
        if scored == Scored::Images && metrics::OF_PIXELS_ONLY.contains(&name) {
            let message =
                format!("{what}: {name} is measured on masks; it belongs below metrics.pixel");
            report.error(node.at, message);
            return None;
        }
        let values = &class.arguments.values;
        let limit = values.get("fpr_limit").and_then(Json::as_f64);
        let bounds = values.get("fpr_bounds").and_then(Json::as_array);
        let bounds = bounds.map(|rates| rates.iter().filter_map(Json::as_f64).collect::<Vec<_>>());
        if let Some(rates) = bounds
            .as_ref()
            .filter(|rates| FprBounds::of(rates).is_none())
        {
            let message = format!(
                "{what}: fpr_bounds of {name}: expected two rates, the lower one first, found {rates:?}"
            );
            report.error(node.at, message);
            return None;
        }
        let twice = [
            (
                "fpr_limit",
                is_only(&mut fpr_limit, limit.and_then(FprLimit::new)),
            ),
            (
                "fpr_bounds",
                is_only(&mut fpr_bounds, bounds.as_deref().and_then(FprBounds::of)),
            ),
        ];
        if let Some((parameter, _)) = twice.iter().find(|(_, only)| !only) {
            let message = format!(
                "{what}: {name} has two values of {parameter}; a run has one, and a benchmark may have a grid of them"
            );
            report.error(node.at, message);
            return None;
        }
        Some(name.to_owned())
    };
    let single = matches!(&node.value, Value::Map(entries) if entries.iter().any(|entry| entry.key == "class_path"));
    let found: Vec<Option<String>> = match &node.value {
        Value::List(items) => items.iter().map(|item| metric(item, report)).collect(),
        Value::Map(entries) if !single => entries
            .iter()
            .map(|entry| match entry.node.value {
                Value::Null => metric(&Node::new(entry.at, Value::Text(entry.key.clone())), report),
                _ => {
                    let found = metric(&entry.node, report);
                    if let Some(name) = found.as_ref().filter(|name| !same_name(name, &entry.key)) {
                        let message = format!(
                            "{what}: the name {:?} has no effect: results say {name}",
                            entry.key
                        );
                        report.warn(entry.at, message);
                    }
                    found
                }
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
    Some(Metrics {
        names,
        fpr_limit,
        fpr_bounds,
    })
}

/// The threshold that stands where a metric should.
fn threshold_class(node: &Node) -> Option<&'static str> {
    let path = node.get("class_path").unwrap_or(node).text()?;
    match names::class(metrics::THRESHOLDS, path) {
        Found::Built(entry) | Found::NotBuilt(entry) => Some(entry.class),
        Found::Unknown(_) => None,
    }
}

/// Of image and pixel: one for both, a list of two, or a map with `image` and `pixel`.
fn thresholds(
    node: Option<&Node>,
    kind: JobKind,
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Option<(ThresholdSpec, ThresholdSpec)> {
    let standard = if kind.takes_package() {
        ThresholdSpec::Package
    } else {
        ThresholdSpec::F1Adaptive
    };
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Some((standard, standard));
    };
    let mut one = |node: &Node| threshold(node, current_dir, &mut *report);
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
                && !entries
                    .iter()
                    .any(|entry| CLASS_KEYS.contains(&entry.key.as_str())) =>
        {
            let image = node.get("image").map_or(Some(standard), &mut one);
            let pixel = node.get("pixel").map_or(Some(standard), one);
            let mut right = true;
            for entry in entries
                .iter()
                .filter(|entry| !THRESHOLD_KEYS.contains(&entry.key.as_str()))
            {
                right = false;
                let message = format!(
                    "metrics.threshold has no key {:?}; it has {}, or as one for both {}",
                    entry.key,
                    THRESHOLD_KEYS.join(", "),
                    CLASS_KEYS.join(", ")
                );
                let known = THRESHOLD_KEYS.iter().chain(CLASS_KEYS).copied();
                report.suggest(entry.at, message, names::nearest(&entry.key, known));
            }
            image.zip(pixel).filter(|_| right)
        }
        _ => one(node).map(|both| (both, both)),
    }
}

fn threshold(node: &Node, current_dir: &Path, report: &mut Report<'_>) -> Option<ThresholdSpec> {
    // A plain number is a threshold that the user has chosen.
    if let (Value::Int(_) | Value::Float(_), Some(kind)) = (&node.value, threshold_number(MANUAL)) {
        let value = check::value("metrics.threshold", kind, node, current_dir, report)?;
        return Some(ThresholdSpec::Manual {
            value: value.as_f64()?,
        });
    }
    let class = class(
        "metrics.threshold",
        metrics::THRESHOLDS,
        node,
        &[],
        current_dir,
        report,
    )?;
    match class.entry.class {
        MANUAL => {
            let value = class.arguments.values.get("default_value")?.as_f64()?;
            Some(ThresholdSpec::Manual { value })
        }
        FALSE_POSITIVE_RATE => {
            let rate = class.arguments.values.get("rate")?.as_f64()?;
            Some(ThresholdSpec::FalsePositiveRate { rate })
        }
        _ => Some(ThresholdSpec::F1Adaptive),
    }
}

pub(crate) const MANUAL: &str = "ManualThreshold";
pub(crate) const FALSE_POSITIVE_RATE: &str = "FalsePositiveRate";

/// What the number may be that a threshold of this class is made from.
pub(crate) fn threshold_number(class: &str) -> Option<&'static params::Kind> {
    let entry = metrics::THRESHOLDS
        .iter()
        .find(|entry| entry.class == class)?;
    entry.params?.first().map(|param| &param.kind)
}
