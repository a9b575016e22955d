//! What the runs of a plan will need: memory, scratch and processor time, and from what that is concluded.
//!
//! Work is counted exactly, as products that are added up; what a processor makes of it was measured on one machine, so that
//! times are right within about a half there, and only in proportion to each other elsewhere.

use std::collections::BTreeMap;
use std::thread;

use data::{Data, ListedObject, Purpose, Split};
use job::resolved::{ModelSource, RunSpec};
use models::Model;
use plan::PlannedRun;
use serde_json::{Value, json};
use store::{Location, Scheme, Store};

use crate::output::counted;

/// An executor with OpenVINO and a small backbone loaded, before it learns: measured with MobileNetV2.
const ENGINE_BYTES: u64 = 110_000_000;

/// What the rates below were measured on.
const MEASURED_ON: &str = "one core of an AMD EPYC with AVX-512, MobileNetV2, OpenVINO";

/// Products a second that a network does, and what comes behind it.
const NETWORK_PER_S: f64 = 5e10;
const MODEL_PER_S: f64 = 4e10;

/// To read, decode and resize a byte of an image's file.
const SECONDS_PER_BYTE: f64 = 14e-9;

/// To upsample, smooth and measure a pixel of an anomaly map.
const SECONDS_PER_PIXEL: f64 = 40e-9;

/// To start, compile and write: in each run, and in each run alone that compiles the network for another engine.
const SECONDS_PER_RUN: f64 = 0.8;

/// Engines and precisions that compute the images of a certificate: the job's own once more, and two others.
const CERTIFIED: f64 = 3.0;

/// Images of a run, as they lie in its dataset now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counts {
    pub train: u64,
    pub scored: u64,
    /// Of all these files.
    pub bytes: u64,
}

/// What a dataset holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Images {
    Known(Counts),
    /// With the reason.
    Unknown(String),
}

impl Images {
    pub fn counts(&self) -> Option<Counts> {
        match self {
            Self::Known(counts) => Some(*counts),
            Self::Unknown(_) => None,
        }
    }
}

/// What one run needs.
pub struct Needs {
    pub images: Images,
    /// `None` where nothing is trained.
    pub fit: Option<Fit>,
    /// Of processors, in all its tasks; `None` where nothing is trained or the number of images is not known.
    pub cpu_s: Option<f64>,
}

/// What the fit task of a run needs.
#[derive(Clone, Copy)]
pub struct Fit {
    /// However many training images there are.
    pub memory_bytes: u64,
    /// For each training image.
    pub memory_bytes_per_image: u64,
    /// On scratch, for each training image.
    pub spool_bytes: u64,
}

impl Fit {
    /// With so many training images.
    fn memory(self, train: u64) -> u64 {
        let images = self.memory_bytes_per_image.saturating_mul(train);
        self.memory_bytes.saturating_add(images)
    }
}

/// What tasks may use.
pub struct Room {
    /// Of memory, by the job; none without.
    pub limit: Option<u64>,
    /// Of this machine.
    pub memory: Option<u64>,
    /// Where executors of this machine write.
    pub scratch: Option<u64>,
}

/// Of all runs together, in their order.
pub struct Estimate {
    pub needs: Vec<Needs>,
    cores: usize,
    /// One line each.
    pub problems: Vec<String>,
}

impl Estimate {
    pub async fn of(runs: &[PlannedRun], room: &Room) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut listed = BTreeMap::new();
        let mut needs = Vec::with_capacity(runs.len());
        for run in runs {
            let key = (
                &run.spec.data.class_path,
                json!(run.spec.data.init_args).to_string(),
            );
            let images = match listed.get(&key) {
                Some(images) => Images::clone(images),
                None => {
                    let images = list(&run.spec).await;
                    listed.insert(key, images.clone());
                    images
                }
            };
            needs.push(of_run(run, images, cores));
        }
        let problems = runs
            .iter()
            .zip(&needs)
            .flat_map(|(run, needs)| problems(run, needs, room))
            .collect();
        Self {
            needs,
            cores,
            problems,
        }
    }

    /// Of processors, in all runs of which that is known; `None`: of none.
    pub fn cpu_s(&self) -> Option<f64> {
        let known = self.needs.iter().filter_map(|needs| needs.cpu_s);
        known.reduce(|sum, one| sum + one)
    }

    /// If all cores of this machine are busy all the time.
    pub fn wall_s(&self) -> Option<f64> {
        Some(self.cpu_s()? / self.cores as f64)
    }

    /// What the numbers stand on, one line each.
    pub fn basis(&self) -> Vec<String> {
        let mut basis = vec![
            format!(
                "memory: what the model holds while it learns, and {} for an executor with its engine (measured with MobileNetV2)",
                size(ENGINE_BYTES)
            ),
            format!(
                "time: {NETWORK_PER_S:.0e} products a second in the network and {MODEL_PER_S:.0e} behind it, {:.0} ns a byte of image file, {:.0} ns a pixel of \
                 anomaly map, {SECONDS_PER_RUN} s a run; measured on {MEASURED_ON}; on {} here, all busy",
                SECONDS_PER_BYTE * 1e9,
                SECONDS_PER_PIXEL * 1e9,
                counted(self.cores as u64, "core")
            ),
        ];
        let mut unknown: Vec<String> = Vec::new();
        for needs in &self.needs {
            if let Images::Unknown(why) = &needs.images
                && !unknown.contains(why)
            {
                unknown.push(why.clone());
            }
        }
        match unknown.is_empty() {
            true => basis.push("images: the files that lie in the datasets now".to_owned()),
            false => basis.extend(
                unknown
                    .into_iter()
                    .map(|why| format!("images: not known: {why}")),
            ),
        }
        if self.needs.iter().any(|needs| needs.fit.is_none()) {
            basis.push("runs of trained packages: not known before the package is read".to_owned());
        }
        basis
    }

    pub fn json(&self) -> Value {
        let run = |needs: &Needs| {
            let counts = needs.images.counts();
            json!({
                "train": counts.map(|counts| counts.train),
                "scored": counts.map(|counts| counts.scored),
                "memory_bytes": needs.fit.zip(counts).map(|(fit, counts)| fit.memory(counts.train)),
                "spool_bytes": needs.fit.zip(counts).map(|(fit, counts)| fit.spool_bytes.saturating_mul(counts.train)),
                "cpu_s": needs.cpu_s,
            })
        };
        json!({
            "runs": self.needs.iter().map(run).collect::<Vec<_>>(),
            "cpu_s": self.cpu_s(),
            "wall_s": self.wall_s(),
            "problems": self.problems,
            "basis": self.basis(),
        })
    }
}

pub fn size(bytes: u64) -> String {
    match bytes {
        0..100_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        100_000..10_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

fn model_of(spec: &RunSpec) -> Option<Box<dyn Model>> {
    let ModelSource::Train(class) = &spec.model else {
        return None;
    };
    models::build(
        &class.class_path,
        &class.init_args,
        spec.image_size(),
        spec.seed,
    )
    .ok()
}

fn of_run(run: &PlannedRun, images: Images, cores: usize) -> Needs {
    let model = model_of(&run.spec);
    let cpu_s = model
        .as_deref()
        .zip(images.counts())
        .and_then(|(model, counts)| seconds(run, model, counts));
    Needs {
        images,
        fit: model.as_deref().and_then(|model| fit(model, cores)),
        cpu_s,
    }
}

fn fit(model: &dyn Model, threads: usize) -> Option<Fit> {
    let [positions, dims] = model.feature_shape().ok()?;
    let memory = model.fit_memory(threads).ok()?;
    Some(Fit {
        memory_bytes: ENGINE_BYTES + memory.bytes,
        memory_bytes_per_image: memory.bytes_per_image,
        spool_bytes: (positions * dims * size_of::<f32>()) as u64,
    })
}

fn seconds(run: &PlannedRun, model: &dyn Model, counts: Counts) -> Option<f64> {
    let work = model.work(counts.train).ok()?;
    let network = model.backbone().map_or(0.0, |used| {
        used.products(model.preprocess().output()) as f64 / NETWORK_PER_S
    });
    let (train, mut scored) = (counts.train as f64, counts.scored as f64);
    if run.spec.scores_training_images() {
        scored += train;
    }
    let pixels = model.map().map_or(0, |map| map.size[0] * map.size[1]) as f64;
    let score = work.score / MODEL_PER_S + pixels * SECONDS_PER_PIXEL;
    // Where runs share a pass, the first looks at the images.
    let is_first = run.joint.as_ref().is_none_or(|joint| joint.place == 0);
    let looking = (train + counts.scored as f64) * network + counts.bytes as f64 * SECONDS_PER_BYTE;
    let certified = match run.spec.measures_parity() {
        true => f64::from(run.spec.parity).min(scored) * CERTIFIED,
        false => 0.0,
    };
    Some(
        if is_first { looking } else { 0.0 }
            + work.fit / MODEL_PER_S
            + scored * score
            + certified * (network + score)
            + SECONDS_PER_RUN,
    )
}

/// What the run will not find here.
fn problems(run: &PlannedRun, needs: &Needs, room: &Room) -> Vec<String> {
    let Some((fit, counts)) = needs.fit.zip(needs.images.counts()) else {
        return Vec::new();
    };
    let (memory, spool) = (
        fit.memory(counts.train),
        fit.spool_bytes.saturating_mul(counts.train),
    );
    let of = format!(
        "run {} ({}, {} training images)",
        run.index, run.model, counts.train
    );
    let way_out = "train on fewer or smaller images, or ask for less of the model (PatchCore: coreset_budget; PaDiM: n_features)";
    let mut problems = Vec::new();
    match room.limit {
        Some(limit) if memory > limit => problems.push(format!(
            "{of}: learning takes {} of memory, `resources.memory` allows {}; raise it, {way_out}",
            size(memory),
            size(limit)
        )),
        _ => {}
    }
    match room.memory {
        Some(has) if memory > has => problems.push(format!(
            "{of}: learning takes {} of memory, this machine has {}; take a larger one, {way_out}",
            size(memory),
            size(has)
        )),
        _ => {}
    }
    match room.scratch {
        Some(free) if spool > free => problems.push(format!(
            "{of}: its features take {} of scratch, {} are free here; make room, or give workers another folder by --scratch",
            size(spool),
            size(free)
        )),
        _ => {}
    }
    problems
}

/// What lies in the run's dataset now.
async fn list(spec: &RunSpec) -> Images {
    match counts(spec).await {
        Ok(counts) => Images::Known(counts),
        Err(why) => Images::Unknown(why),
    }
}

async fn counts(spec: &RunSpec) -> Result<Counts, String> {
    let data = data::build(&spec.data.class_path, &spec.data.init_args);
    let dataset = match data.map_err(|error| error.to_string())? {
        Data::Labelled(dataset) => dataset,
        Data::Unlabelled(_) => {
            return Err("images without labels are counted when they are listed".to_owned());
        }
    };
    let objects = objects(&dataset.roots()).await?;
    let purpose = match spec.model {
        ModelSource::Train(_) => Purpose::Train,
        ModelSource::Package(_) => Purpose::Test,
    };
    let listing = dataset.samples(&objects, purpose);
    let samples = listing.map_err(|error| error.to_string())?.samples;
    let train = samples.iter().filter(|one| one.split == Split::Train);
    let train = train.count() as u64;
    Ok(Counts {
        train,
        scored: samples.len() as u64 - train,
        bytes: samples.iter().map(|sample| sample.size).sum(),
    })
}

/// Everything below these folders, if they are on this machine.
async fn objects(roots: &[String]) -> Result<Vec<ListedObject>, String> {
    let mut objects = Vec::new();
    for root in roots {
        let location = Location::parse(root).map_err(|error| error.to_string())?;
        if location.scheme != Scheme::File {
            return Err(format!("{root} is not on this machine"));
        }
        let store = Store::open(root).map_err(|error| error.to_string())?;
        let listed = store.list("").await.map_err(|error| error.to_string())?;
        objects.extend(listed.into_iter().map(|info| ListedObject {
            path: format!("{root}/{}", info.path),
            uri: store.uri(&info.path),
            etag: info.etag,
            size: info.size,
            modified_ms: 0,
        }));
    }
    Ok(objects)
}
