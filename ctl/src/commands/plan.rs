//! `ctl plan`: the resolved job, its runs and tasks, without doing any of it.

use plan::{DependencyRule, Plan, PlannedTask};
use serde_json::{Value, json};

use crate::estimate::{Estimate, Fit, Room, size};
use crate::job_file::{JobFile, print_warnings};
use crate::output::Table;
use crate::{Common, Error, machine, places};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: JobFile,
}

pub async fn run(common: &Common, args: &Args) -> Result<(), Error> {
    let read = args.file.read()?;
    print_warnings(&read.reading);
    let plan = plan::plan(&read.reading.job);
    let job = to_value(&read.reading.job)?;
    let room = Room {
        limit: read.reading.job.resources.memory_bytes,
        memory: machine::memory_bytes().map(|(all, _)| all),
        // Where the workers of this machine write unless they are told another place.
        scratch: machine::free_disk(&places::state_folder(common)?),
    };
    let estimate = Estimate::of(&plan.runs, &room).await;
    let fit: Value = estimate
        .needs
        .iter()
        .map(|needs| needs.fit.as_ref().map_or(Value::Null, fit_json))
        .collect();
    let value = json!({
        "job": job, "runs": to_value(&plan.runs)?, "tasks": to_value(&plan.tasks)?, "fit": fit, "estimate": estimate.json(),
    });
    common
        .output
        .print(&value, || for_people(&job, &plan, &estimate))
}

/// The form in which people read what learning takes.
fn memory(fit: &Fit) -> String {
    let fixed = size(fit.memory_bytes);
    match fit.memory_bytes_per_image {
        0 => fixed,
        each => format!("{fixed} + {}/image", size(each)),
    }
}

fn fit_json(fit: &Fit) -> Value {
    json!({
        "memory_bytes": fit.memory_bytes,
        "memory_bytes_per_image": fit.memory_bytes_per_image,
        "spool_bytes_per_image": fit.spool_bytes,
    })
}

fn to_value(value: &impl serde::Serialize) -> Result<Value, Error> {
    serde_json::to_value(value)
        .map_err(|source| Error::cannot_run_because("cannot write JSON", source))
}

fn for_people(job: &Value, plan: &Plan, estimate: &Estimate) -> String {
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
        ">train",
        ">scored",
        ">fit memory",
        ">spool/image",
        ">CPU s",
    ]);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for (run, needs) in plan.runs.iter().zip(&estimate.needs) {
        let (counts, fit) = (needs.images.counts(), needs.fit.as_ref());
        runs.row([
            run.index.to_string(),
            run.model.clone(),
            run.dataset.clone(),
            run.category.clone(),
            run.spec.seed.to_string(),
            or_none(counts.map(|counts| counts.train.to_string())),
            or_none(counts.map(|counts| counts.scored.to_string())),
            or_none(fit.map(memory)),
            or_none(fit.map(|fit| size(fit.spool_bytes))),
            or_none(needs.cpu_s.map(|seconds| format!("{seconds:.1}"))),
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
    if let Some((cpu_s, wall_s)) = estimate.cpu_s().zip(estimate.wall_s()) {
        text.push_str(&format!(
            "\nAll together: about {cpu_s:.0} s of processor time, {wall_s:.0} s on this machine with nothing else to do."
        ));
    }
    for line in estimate.basis() {
        text.push_str(&format!("\nBasis, {line}."));
    }
    for problem in &estimate.problems {
        text.push_str(&format!("\nWill not fit: {problem}."));
    }
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
