//! The key `search` of a job file, and whether every trial that could come of it can be begun at all.

use std::path::Path;

use data::Split;
use hpo::{Dimension, Domain, Goal, Halving, MOST_TRIALS, Method, Point, Search, Space};
use params::{Entry as ClassEntry, Kind, same_name};
use serde_json::{Map, Value as Json};

use super::{
    MOST_CORNERS, Objective, SearchSpec,
    dimensions::{self, Parameters, Written},
    parameter,
};
use crate::{
    check, grid,
    names::{self, Found},
    node::{At, Entry, Node, Value},
    read::RUN_KEYS,
    report::{ENOUGH, Report},
    resolved::{JobKind, ModelSource, RunSpec, VisionTask},
    run,
};

pub(crate) const KEYS: &[&str] = &[
    "method",
    "parameters",
    "objective",
    "trials",
    "concurrency",
    "budget",
    "seed",
    "refit",
];
pub(crate) const METHODS: &[&str] = &[
    "grid",
    "random",
    "tpe",
    "gaussian_process",
    "successive_halving",
];
/// Other names of methods: `bayes` is that of the sweep files of others.
const ALIASES: &[(&str, &str)] = &[
    ("gp", "gaussian_process"),
    ("bayes", "gaussian_process"),
    ("bayesian", "gaussian_process"),
];
const OBJECTIVE_KEYS: &[&str] = &["metric", "goal", "split"];
const BUDGET_KEYS: &[&str] = &["resource", "min", "factor"];

const TRIALS: u32 = 20;
const CONCURRENCY: u32 = 4;
const HALVING: Halving = Halving {
    min: 1.0 / 9.0,
    factor: 3,
};

/// The search with what its trials have in common. `None` after saying what is wrong.
pub(crate) fn read(
    root: &Node,
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Option<(RunSpec, SearchSpec)> {
    let of_runs = of_runs(root, report);
    let Some(node) = root.get("search").filter(|node| !node.is_null()) else {
        let message = "the key `search` is missing; such as `search: {method: tpe, objective: image_AUROC, trials: 20, parameters: {n_features: {min: 10, max: 100}}}`";
        report.error(root.at, message);
        return None;
    };
    if !matches!(node.value, Value::Map(_)) {
        let found = node.describe();
        report.error(node.at, format!("search: expected a map, found {found}"));
        return None;
    }
    known_keys("search", node, KEYS, report);
    let method = method(node, report);
    let objective = objective(node, report);
    let trials = number(node, "search.trials", "trials", 1, MOST_TRIALS, report);
    let concurrency = number(
        node,
        "search.concurrency",
        "concurrency",
        1,
        MOST_TRIALS,
        report,
    );
    let seed = seed(node, report);
    let refit = truth(node, "refit", report);
    let is_grid = method == Some(Method::Grid);
    let mut is_wrong = false;
    let written = parameters(&of_runs).and_then(|parameters| {
        let found = node.get("parameters").filter(|node| !node.is_null());
        let empty = found.is_none_or(|found| found.entries().is_empty());
        if empty {
            let at = found.map_or(node.at, |found| found.at);
            let message = "search.parameters: there is nothing to search; give at least one parameter with `values`, or with `min` and `max`";
            report.error(at, message);
            return None;
        }
        let before = report.errors.len();
        let written = dimensions::read(found?, parameters, is_grid, current_dir, report);
        is_wrong = report.errors.len() > before;
        (!written.is_empty()).then_some(written)
    });
    // All errors at once.
    let Some(written) = written else {
        let mut reader = run::Reader::new(JobKind::Hpo, current_dir);
        let mut read = |report: &mut Report<'_>| _ = reader.run(&of_runs, Map::new(), report);
        if is_wrong {
            read_rest(&of_runs, report, read);
        } else {
            read(report);
        }
        return None;
    };
    let mut space = Space {
        dimensions: written
            .iter()
            .map(|written| written.dimension.clone())
            .collect(),
    };
    if is_wrong {
        read_rest(&of_runs, report, |report| {
            corners(&of_runs, &space, &written, current_dir, report);
        });
        return None;
    }
    let trials = match (is_grid, trials?) {
        (true, trials) => grid_trials(&space, trials, node, report)?,
        (false, trials) => trials.unwrap_or(TRIALS),
    };
    let runs = corners(&of_runs, &space, &written, current_dir, report)?;
    let (objective, goal) = objective?;
    is_reachable(&objective, &runs, &of_runs, node, report)?;
    let mut template = runs.first()?.1.clone();
    template.axes = Map::new();
    measure(&mut template, &objective);
    stay_as_they_are(&mut space, &runs);
    let by = Search {
        space,
        method: method?,
        goal,
        trials,
        concurrency: concurrency?.unwrap_or(CONCURRENCY),
        seed: seed?,
    };
    if let Err(error) = by.check() {
        report.error(node.at, format!("search: {error}"));
        return None;
    }
    Some((
        template,
        SearchSpec {
            objective,
            refit: refit?,
            by,
        },
    ))
}

/// Reads what else there is, though a dimension is wrong. Without its values the model may well be incomplete: what is said of the
/// model itself then only follows.
fn read_rest(of_runs: &Node, report: &mut Report<'_>, read: impl FnOnce(&mut Report<'_>)) {
    let mut rest = report.apart();
    read(&mut rest);
    let mut model = Vec::new();
    if let Some(node) = of_runs.get("model") {
        places(node, &mut model);
    }
    report.take(rest, &model);
}

fn places(node: &Node, found: &mut Vec<At>) {
    found.push(node.at);
    for entry in node.entries() {
        found.push(entry.at);
        places(&entry.node, found);
    }
    if let Value::List(items) = &node.value {
        items.iter().for_each(|item| places(item, found));
    }
}

/// The keys that runs have their own value of; what is varied stands in `search`.
fn of_runs(root: &Node, report: &mut Report<'_>) -> Node {
    let entries = root.entries().iter();
    let entries = entries.filter(|entry| RUN_KEYS.contains(&entry.key.as_str()));
    let mut node = Node::new(root.at, Value::Map(entries.cloned().collect()));
    for at in grid::settle(&mut node, report) {
        report.error(
            at,
            "what a search varies stands in search.parameters, so no grid can stand here",
        );
    }
    node
}

fn known_keys(what: &str, node: &Node, known: &'static [&'static str], report: &mut Report<'_>) {
    for entry in node.entries() {
        if !known.contains(&entry.key.as_str()) {
            let message = format!(
                "{what} has no key {:?}; it has {}",
                entry.key,
                known.join(", ")
            );
            report.suggest(
                entry.at,
                message,
                names::nearest(&entry.key, known.iter().copied()),
            );
        }
    }
}

fn method(node: &Node, report: &mut Report<'_>) -> Option<Method> {
    let Some(given) = node.get("method").filter(|node| !node.is_null()) else {
        let message = format!("search.method is missing; one of {}", METHODS.join(", "));
        report.error(node.at, message);
        return None;
    };
    let alias = given
        .text()
        .and_then(|text| ALIASES.iter().find(|(alias, _)| same_name(alias, text)));
    let word = match alias {
        Some((_, word)) => Json::from(*word),
        None => check::value(
            "search.method",
            &Kind::Enum(METHODS),
            given,
            Path::new("/"),
            report,
        )?,
    };
    let budget = node.get("budget").filter(|node| !node.is_null());
    let method = match word.as_str()? {
        "grid" => Method::Grid,
        "random" => Method::Random,
        "tpe" => Method::Tpe,
        "gaussian_process" => Method::GaussianProcess,
        _ => {
            return budget
                .map_or(Some(HALVING), |budget| halving(budget, report))
                .map(Method::SuccessiveHalving);
        }
    };
    if let Some(budget) = budget {
        let message = "search.budget belongs to the method successive_halving: every other gives each trial everything";
        report.error(budget.at, message);
        return None;
    }
    Some(method)
}

/// `{resource: images, min: 0.1, factor: 3}`.
fn halving(node: &Node, report: &mut Report<'_>) -> Option<Halving> {
    if !matches!(node.value, Value::Map(_)) {
        let message = format!(
            "search.budget: expected a map with {}, found {}",
            BUDGET_KEYS.join(", "),
            node.describe()
        );
        report.error(node.at, message);
        return None;
    }
    known_keys("search.budget", node, BUDGET_KEYS, report);
    let kind = Kind::Choice {
        built: &["images"],
        not_built: &[],
    };
    if let Some(resource) = node.get("resource") {
        if let Value::Text(unit) = &resource.value
            && ["epochs", "steps"].contains(&unit.as_str())
        {
            let message = format!(
                "search.budget.resource: no model here trains in {unit}, each is fitted in one pass over its images; \
                 expected images (a share of them)"
            );
            report.error(resource.at, message);
            return None;
        }
        check::value(
            "search.budget.resource",
            &kind,
            resource,
            Path::new("/"),
            report,
        )?;
    }
    let min = match node.get("min").filter(|node| !node.is_null()) {
        None => HALVING.min,
        Some(min) => {
            let share = Kind::Float {
                min: 0.001,
                max: 1.0,
            };
            check::value("search.budget.min", &share, min, Path::new("/"), report)?.as_f64()?
        }
    };
    let factor = number(node, "search.budget.factor", "factor", 2, 100, report)?;
    Some(Halving {
        min,
        factor: factor.unwrap_or(HALVING.factor),
    })
}

/// A metric by name, or `{metric, goal}`.
fn objective(search: &Node, report: &mut Report<'_>) -> Option<(Objective, Goal)> {
    let Some(node) = search.get("objective").filter(|node| !node.is_null()) else {
        report.error(
            search.at,
            "search.objective is missing; a metric on the validation split, such as image_AUROC",
        );
        return None;
    };
    let (metric, goal) = match &node.value {
        Value::Map(_) => {
            known_keys("search.objective", node, OBJECTIVE_KEYS, report);
            if let Some(split) = node.get("split").filter(|node| !node.is_null()) {
                not_test(
                    split,
                    split.text() == Some(Split::Validation.as_str()),
                    report,
                )?;
            }
            let goal = match node.get("goal").filter(|node| !node.is_null()) {
                None => Goal::Maximize,
                Some(goal) => {
                    let words = Kind::Enum(&["maximize", "minimize"]);
                    match check::value(
                        "search.objective.goal",
                        &words,
                        goal,
                        Path::new("/"),
                        report,
                    )?
                    .as_str()
                    {
                        Some("minimize") => Goal::Minimize,
                        _ => Goal::Maximize,
                    }
                }
            };
            let Some(metric) = node.get("metric") else {
                report.error(
                    node.at,
                    "search.objective.metric is missing; such as image_AUROC",
                );
                return None;
            };
            (metric, goal)
        }
        _ => (node, Goal::Maximize),
    };
    let Some(text) = metric.text() else {
        let found = metric.describe();
        report.error(
            metric.at,
            format!("search.objective: expected a metric such as image_AUROC, found {found}"),
        );
        return None;
    };
    let lower = text.to_lowercase();
    not_test(
        metric,
        !lower.split(['_', '.', '/']).any(|word| word == "test"),
        report,
    )?;
    let bare = ["validation_", "val_"]
        .iter()
        .find_map(|prefix| lower.strip_prefix(prefix).map(|_| &text[prefix.len()..]));
    let bare = bare.unwrap_or(text);
    let (level, name) = match bare.split_once('_') {
        Some((level, name)) if same_name(level, "image") => ("image", name),
        Some((level, name)) if same_name(level, "pixel") => ("pixel", name),
        _ => ("image", bare),
    };
    let entry = match names::class(metrics::REGISTRY, name) {
        Found::Built(entry) => entry,
        Found::NotBuilt(entry) => {
            let message = format!(
                "search.objective: {} is known but not built yet",
                entry.class
            );
            report.error(metric.at, message);
            return None;
        }
        Found::Unknown(nearest) => {
            let message = format!("search.objective: {name:?} is no metric");
            report.suggest(
                metric.at,
                message,
                nearest.map(|nearest| format!("{level}_{nearest}")),
            );
            return None;
        }
    };
    if level == "image" && metrics::OF_PIXELS_ONLY.contains(&entry.class) {
        let message = format!(
            "search.objective: {} is measured on masks; it is pixel_{}",
            entry.class, entry.class
        );
        report.error(metric.at, message);
        return None;
    }
    Some((
        Objective {
            level: level.to_owned(),
            metric: entry.class.to_owned(),
        },
        goal,
    ))
}

/// Whoever chooses by test images has nothing left to measure with.
fn not_test(node: &Node, right: bool, report: &mut Report<'_>) -> Option<()> {
    if !right {
        let found = node.describe();
        let message = format!(
            "search.objective: {found}: a search is measured on the split validation; chosen by test images, its best would be measured on what it was chosen by (`refit: true` measures the best once on test)"
        );
        report.error(node.at, message);
    }
    right.then_some(())
}

/// `Some(None)`: it is not given.
fn number(
    node: &Node,
    what: &str,
    key: &str,
    min: u32,
    max: u32,
    report: &mut Report<'_>,
) -> Option<Option<u32>> {
    let Some(node) = node.get(key).filter(|node| !node.is_null()) else {
        return Some(None);
    };
    match node.value {
        Value::Int(value) if (i128::from(min)..=i128::from(max)).contains(&value) => {
            Some(u32::try_from(value).ok())
        }
        _ => {
            let found = node.describe();
            report.error(
                node.at,
                format!("{what}: expected an integer from {min} to {max}, found {found}"),
            );
            None
        }
    }
}

fn seed(node: &Node, report: &mut Report<'_>) -> Option<u64> {
    let Some(node) = node.get("seed").filter(|node| !node.is_null()) else {
        return Some(0);
    };
    let found = match node.value {
        Value::Int(value) => u64::try_from(value).ok(),
        _ => None,
    };
    if found.is_none() {
        let message = format!(
            "search.seed: expected an integer from 0 to {}, found {}",
            u64::MAX,
            node.describe()
        );
        report.error(node.at, message);
    }
    found
}

fn truth(node: &Node, key: &str, report: &mut Report<'_>) -> Option<bool> {
    match node.get(key).filter(|node| !node.is_null()) {
        None => Some(false),
        Some(node) => check::value(
            &format!("search.{key}"),
            &Kind::Bool,
            node,
            Path::new("/"),
            report,
        )?
        .as_bool(),
    }
}

/// What the job's classes may be varied in; `None` if one is not known, which the reader of runs says.
fn parameters(of_runs: &Node) -> Option<Parameters> {
    let class = |key: &str, registry: &'static [ClassEntry]| {
        let node = of_runs.get(key)?;
        let path = node.get("class_path").unwrap_or(node).text()?;
        match names::class(registry, path) {
            Found::Built(entry) => Some(entry),
            Found::NotBuilt(_) | Found::Unknown(_) => None,
        }
    };
    Some(Parameters {
        model: class("model", models::REGISTRY)?,
        data: class("data", data::REGISTRY)?,
    })
}

fn grid_trials(
    space: &Space,
    trials: Option<u32>,
    node: &Node,
    report: &mut Report<'_>,
) -> Option<u32> {
    let at = node.get("parameters").map_or(node.at, |node| node.at);
    let Some(points) = hpo::grid_points(space, MOST_TRIALS as usize) else {
        let message = format!(
            "search.parameters: the grid has more than {MOST_TRIALS} points; take fewer values, or another method with `trials`"
        );
        report.error(at, message);
        return None;
    };
    let points = points.len() as u32;
    match trials {
        Some(trials) if trials < points => {
            report.warn(
                at,
                format!("the grid has {points} points, of which only the first {trials} are tried"),
            );
            Some(trials)
        }
        _ => Some(points),
    }
}

/// Runs at the corners of the space, read like any run: errors point at the values that make them.
fn corners(
    of_runs: &Node,
    space: &Space,
    written: &[Written],
    current_dir: &Path,
    report: &mut Report<'_>,
) -> Option<Vec<(Point, RunSpec)>> {
    let mut reader = run::Reader::new(JobKind::Hpo, current_dir);
    let (mut runs, before) = (Vec::new(), report.errors.len());
    for point in space.corners(MOST_CORNERS) {
        let mut node = of_runs.clone();
        for (written, place) in written.iter().zip(&point.0) {
            let Some(place) = place else { continue };
            let value = match written.dimension.domain {
                Domain::Values(_) => written.nodes.get(*place as usize),
                Domain::Integer { .. } | Domain::Float { .. } => {
                    written.nodes.get(usize::from(*place > 0))
                }
            };
            if let Some(value) = value {
                put(&mut node, &written.dimension.name, value.clone());
            }
        }
        let run = reader.run(&node, Map::new(), report);
        runs.extend(run.map(|run| (point, run)));
        if report.errors.len() > ENOUGH {
            break;
        }
    }
    (report.errors.len() == before && !runs.is_empty()).then_some(runs)
}

/// Puts a value in the place of a parameter; a class that is a name alone becomes a map.
fn put(root: &mut Node, path: &str, value: Node) {
    let mut node = root;
    for key in path.split('.') {
        if !matches!(node.value, Value::Map(_)) {
            let name = std::mem::replace(&mut node.value, Value::Null);
            let entries = match name {
                Value::Text(name) => vec![Entry {
                    key: "class_path".to_owned(),
                    at: node.at,
                    node: Node::new(node.at, Value::Text(name)),
                }],
                _ => Vec::new(),
            };
            node.value = Value::Map(entries);
        }
        let at = node.at;
        let Value::Map(entries) = &mut node.value else {
            return;
        };
        let place = entries.iter().position(|entry| entry.key == key);
        let place = place.unwrap_or_else(|| {
            entries.push(Entry {
                key: key.to_owned(),
                at,
                node: Node::new(at, Value::Null),
            });
            entries.len() - 1
        });
        node = &mut entries[place].node;
    }
    *node = value;
}

/// Whether at least the data and the model can give the metric.
fn is_reachable(
    objective: &Objective,
    runs: &[(Point, RunSpec)],
    of_runs: &Node,
    search: &Node,
    report: &mut Report<'_>,
) -> Option<()> {
    let at = search.get("objective").map_or(search.at, |node| node.at);
    for (_, run) in runs {
        if objective.level == "pixel" && run.task == VisionTask::Classification {
            let message = format!(
                "search.objective: no trial can reach {objective}: the task classification has no masks"
            );
            report.error(at, message);
            return None;
        }
        if objective.level == "pixel" && !has_map(run) {
            let ModelSource::Train(class) = &run.model else {
                continue;
            };
            let message = format!(
                "search.objective: no trial can reach {objective}: {} scores images only",
                class.class_path
            );
            report.error(at, message);
            return None;
        }
        let built = data::build(&run.data.class_path, &run.data.init_args).ok()?;
        let mode = run
            .data
            .init_args
            .get("val_split_mode")
            .and_then(Json::as_str)
            .unwrap_or("none");
        let wrong = match (built.threshold_split(), mode) {
            (Some(Split::Validation), "from_train") => {
                Some("keeps normal images only, of which no such metric can be measured")
            }
            (Some(Split::Validation), _) => None,
            _ => Some("keeps no images apart for it"),
        };
        if let Some(wrong) = wrong {
            let place: Option<&Node> = of_runs
                .get("data")
                .and_then(|data| data.get("init_args")?.get("val_split_mode"));
            let at: At = place
                .or(of_runs.get("data"))
                .map_or(of_runs.at, |node| node.at);
            let message = format!(
                "a search is measured on the split validation, and val_split_mode {mode} {wrong}; take from_test, from_dir or synthetic"
            );
            report.error(at, message);
            return None;
        }
    }
    Some(())
}

fn has_map(run: &RunSpec) -> bool {
    let ModelSource::Train(class) = &run.model else {
        return false;
    };
    let model = models::build(
        &class.class_path,
        &class.init_args,
        run.input_size(),
        run.seed,
    );
    model.is_ok_and(|model| model.map().is_some())
}

/// Trials measure what they are compared by.
fn measure(template: &mut RunSpec, objective: &Objective) {
    let metrics = match objective.level.as_str() {
        "pixel" => &mut template.metrics.pixel,
        _ => &mut template.metrics.image,
    };
    if !metrics.contains(&objective.metric) {
        metrics.push(objective.metric.clone());
    }
}

/// A parameter that is not varied everywhere has the file's own value elsewhere.
fn stay_as_they_are(space: &mut Space, runs: &[(Point, RunSpec)]) {
    let mut names: Vec<String> = space
        .dimensions
        .iter()
        .map(|dimension| dimension.name.clone())
        .collect();
    names.dedup();
    for name in names {
        let is_varied = |point: &Point| {
            let mut places = space.dimensions.iter().zip(&point.0);
            places.any(|(dimension, place)| dimension.name == name && place.is_some())
        };
        let Some((_, run)) = runs.iter().find(|(point, _)| !is_varied(point)) else {
            continue;
        };
        if let Some(value) = parameter(&mut run.clone(), &name) {
            space.dimensions.push(Dimension {
                name,
                domain: Domain::Values(vec![value.clone()]),
                when: Vec::new(),
            });
        }
    }
}
