//! `ctl plan`: the resolved job, its runs and tasks, without doing any of it.

use std::thread;

use job::resolved::{ModelSource, RunSpec};
use plan::{DependencyRule, Plan, PlannedTask};
use serde_json::{Value, json};

use crate::job_file::{JobFile, print_warnings};
use crate::output::Table;
use crate::{Common, Error};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: JobFile,
}

pub fn run(common: &Common, args: &Args) -> Result<(), Error> {
    let read = args.file.read()?;
    print_warnings(&read.reading);
    let plan = plan::plan(&read.reading.job);
    let job = to_value(&read.reading.job)?;
    let needs: Vec<Option<FitNeeds>> = plan.runs.iter().map(|run| fit_needs(&run.spec)).collect();
    let fit: Value = needs
        .iter()
        .map(|needs| needs.map_or(Value::Null, FitNeeds::json))
        .collect();
    let value = json!({"job": job, "runs": to_value(&plan.runs)?, "tasks": to_value(&plan.tasks)?, "fit": fit});
    common
        .output
        .print(&value, || for_people(&job, &plan, &needs))
}

/// What the fit task of a run will need.
#[derive(Clone, Copy)]
struct FitNeeds {
    /// However many training images there are.
    memory_bytes: u64,
    /// For each training image, of which the plan does not know how many there are.
    memory_bytes_per_image: u64,
    /// On scratch, for each training image.
    spool_bytes: u64,
}

/// An executor with OpenVINO and a small backbone loaded, before it learns: measured with MobileNetV2.
const ENGINE_BYTES: u64 = 110_000_000;

impl FitNeeds {
    fn json(self) -> Value {
        json!({
            "memory_bytes": self.memory_bytes,
            "memory_bytes_per_image": self.memory_bytes_per_image,
            "spool_bytes_per_image": self.spool_bytes,
        })
    }

    fn memory(self) -> String {
        let fixed = size(self.memory_bytes);
        match self.memory_bytes_per_image {
            0 => fixed,
            each => format!("{fixed} + {}/image", size(each)),
        }
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..100_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// `None` where nothing is trained.
fn fit_needs(run: &RunSpec) -> Option<FitNeeds> {
    let ModelSource::Train(class) = &run.model else {
        return None;
    };
    let side = |index: usize| {
        let size = run.data.init_args.get("image_size")?;
        size.get(index)?.as_u64()?.try_into().ok()
    };
    let size = side(0).zip(side(1)).map(|(height, width)| [height, width]);
    let model = models::build(&class.class_path, &class.init_args, size, run.seed).ok()?;
    let [positions, dims] = model.feature_shape().ok()?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let memory = model.fit_memory(threads).ok()?;
    Some(FitNeeds {
        memory_bytes: ENGINE_BYTES + memory.bytes,
        memory_bytes_per_image: memory.bytes_per_image,
        spool_bytes: (positions * dims * size_of::<f32>()) as u64,
    })
}

fn to_value(value: &impl serde::Serialize) -> Result<Value, Error> {
    serde_json::to_value(value)
        .map_err(|source| Error::cannot_run_because("cannot write JSON", source))
}

fn for_people(job: &Value, plan: &Plan, needs: &[Option<FitNeeds>]) -> String {
    let mut job = job.clone();
    // The runs have a table of their own; the first one in full shows every default.
    let first = job.get("runs").and_then(|runs| runs.get(0)).cloned();
    if let Some(object) = job.as_object_mut() {
        object.shift_remove("runs");
    }
    let mut text = format!("# resolved job\n{}", job::yaml(&job));
    if let Some(first) = first {
        text.push_str(&format!("\n# first run\n{}", job::yaml(&first)));
    }
    let mut runs = Table::new(&[
        ">run",
        "model",
        "dataset",
        "category",
        ">seed",
        ">fit memory",
        ">spool/image",
    ]);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for (run, needs) in plan.runs.iter().zip(needs) {
        runs.row([
            run.index.to_string(),
            run.model.clone(),
            run.dataset.clone(),
            run.category.clone(),
            run.spec.seed.to_string(),
            or_none(needs.map(FitNeeds::memory)),
            or_none(needs.map(|needs| size(needs.spool_bytes))),
        ]);
    }
    let mut tasks = Table::new(&[">task", "kind", "runs", "after"]);
    for task in &plan.tasks {
        tasks.row([
            task.index.0.to_string(),
            task.spec.kind().to_string(),
            runs_of(task),
            after(task),
        ]);
    }
    text.push_str(&format!(
        "\n{}\n\n{}\n\nScore tasks are added when a dataset has been listed.\n\
         Fit memory: predicted peak of the fit task on this machine's cores; its features lie on scratch, so many bytes for each training image.",
        runs.render(),
        tasks.render()
    ));
    text
}

fn runs_of(task: &PlannedTask) -> String {
    match (&task.spec, task.spec.run()) {
        (_, Some(run)) => run.to_string(),
        (plan::TaskSpec::List { runs }, None) => join(runs.iter().map(u32::to_string), 8),
        _ => "all".to_owned(),
    }
}

fn after(task: &PlannedTask) -> String {
    let word = |dependency: &plan::Dependency| match dependency.rule {
        DependencyRule::Success => dependency.task.0.to_string(),
        DependencyRule::Settled => format!("{} (settled)", dependency.task.0),
    };
    join(task.depends_on.iter().map(word), 6)
}

/// The first few, and how many there are besides.
fn join(items: impl ExactSizeIterator<Item = String>, most: usize) -> String {
    let count = items.len();
    let mut text = items.take(most).collect::<Vec<_>>().join(", ");
    if count > most {
        text.push_str(&format!(" and {} more", count - most));
    }
    text
}
