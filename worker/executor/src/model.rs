//! The run's model made ready: parameters, weights, statistics, engine, and the fastest faithful way to a score.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use engines::{Choice, CompileOptions, EngineError};
use job::resolved::{ClassSpec, EngineChoice, ModelSource, Precision, RunSpec};
use models::{BackboneUse, InputSize, Model, ModelError, StateDict, Statistics};
use plan::{Assignment, PlannedRun, ResultDetail, UsedWeights};
use types::{Device, TaskKind};
use vision::{Blur, MapFinish, Preprocess, Upsampling};

use crate::{
    attempt::Attempt,
    error::TaskError,
    fingerprint,
    kept::{ENGINE, Last, STATISTICS, WEIGHTS},
    packages,
    tasks::names,
};

/// A model with its backbone's weights and, where it has learned, its statistics.
pub struct Chosen {
    pub class: ClassSpec,
    pub model: Box<dyn Model>,
    pub weights: StateDict,
    /// Everything that the features depend on besides the image: class, parameters, sizes, seed, weights.
    pub key: String,
    /// `None`: random weights, or no backbone.
    pub origin: Option<WeightsOrigin>,
    learned: Learned,
}

/// Where what a model has learned lies.
enum Learned {
    Nothing,
    /// By the run's own fit task.
    Here {
        path: String,
        sha256: String,
    },
    Package(Box<packages::Opened>),
}

/// Where a backbone's weights are from, as packages record it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightsOrigin {
    pub backbone: String,
    pub sha256: String,
    pub licence: String,
}

impl Chosen {
    /// The model of a run that trains, without statistics.
    pub fn to_train(attempt: &Attempt) -> Result<Self, TaskError> {
        let (class, spec) = trained_class(attempt)?;
        let weights = weights_of_fit(attempt).map(|weights| weights.sha256.as_str());
        Self::new(class, spec.input_size(), spec.seed, weights)
    }

    /// The model of a run that has trained, ready to score.
    pub fn trained(attempt: &Attempt) -> Result<Self, TaskError> {
        Ok(Self {
            learned: learned(attempt)?,
            ..Self::to_train(attempt)?
        })
    }

    /// A model that has learned already.
    pub fn of_package(package: packages::Opened) -> Result<Self, TaskError> {
        let manifest = package.manifest()?;
        let sha256 = manifest
            .weights
            .as_ref()
            .map(|weights| weights.sha256.as_str());
        let chosen = Self::new(
            &packages::class(manifest),
            packages::input_size(manifest),
            manifest.model.seed,
            sha256,
        );
        let chosen = chosen.map_err(|error| match error {
            TaskError::Model(source) => TaskError::PackageModel {
                uri: package.found.uri.clone(),
                source,
            },
            other => other,
        })?;
        let ours = chosen.preprocess().hash();
        if ours != manifest.preprocessing.hash {
            return Err(TaskError::OtherPreprocessing {
                uri: package.found.uri.clone(),
                theirs: manifest.preprocessing.hash.clone(),
                ours,
            });
        }
        Ok(Self {
            learned: Learned::Package(Box::new(package)),
            ..chosen
        })
    }

    fn new(
        class: &ClassSpec,
        input: InputSize,
        seed: u64,
        expected: Option<&str>,
    ) -> Result<Self, TaskError> {
        let model = models::build(&class.class_path, &class.init_args, input, seed)?;
        let (weights, origin) = match model.backbone() {
            Some(backbone) if backbone.pre_trained => {
                let (weights, origin) = pre_trained(&backbone, expected)?;
                (weights, Some(origin))
            }
            _ => (model.random_weights()?, None),
        };
        let sha256 = origin.as_ref().map(|origin| &origin.sha256);
        let seen = model.preprocess();
        Ok(Self {
            key: serde_json::json!([class, seen.size, seen.crop, seed, sha256]).to_string(),
            class: class.clone(),
            model,
            weights,
            origin,
            learned: Learned::Nothing,
        })
    }

    /// The scorer of what the model has learned.
    pub fn scorer(&self, attempt: &Attempt) -> Result<Box<dyn models::Scorer>, TaskError> {
        let statistics = self.statistics(attempt)?;
        let scorer = self.model.scorer(&statistics);
        scorer.map_err(|source| match &self.learned {
            Learned::Package(package) => TaskError::PackageModel {
                uri: package.found.uri.clone(),
                source,
            },
            Learned::Nothing | Learned::Here { .. } => TaskError::Model(source),
        })
    }

    /// What the model has learned; its digest is checked before it is parsed. The process that learned it has it still.
    pub fn statistics(&self, attempt: &Attempt) -> Result<Statistics, TaskError> {
        match &self.learned {
            Learned::Nothing => Err(TaskError::Assignment(
                "its model has learned nothing".to_owned(),
            )),
            Learned::Package(package) => package.statistics(attempt),
            Learned::Here { path, sha256 } => STATISTICS.get_or(sha256, || {
                let bytes = attempt.read(path)?;
                if *sha256 == weights::digest(&bytes) {
                    Ok(weights::read_safetensors(&bytes)?)
                } else {
                    Err(TaskError::Damaged {
                        uri: attempt.store.uri(path),
                    })
                }
            }),
        }
    }

    /// Everything that scores depend on besides features.
    pub fn learned_key(&self) -> String {
        let sha256 = match &self.learned {
            Learned::Nothing => "",
            Learned::Here { sha256, .. } => sha256,
            Learned::Package(package) => &package.found.sha256,
        };
        format!("{sha256} {}", self.key)
    }

    pub fn preprocess(&self) -> Preprocess {
        preprocess(self.model.as_ref())
    }

    /// Numbers of one image at the graph's input.
    pub fn input_len(&self) -> usize {
        let [height, width] = self.model.preprocess().output();
        3 * height * width
    }
}

fn preprocess(model: &dyn Model) -> Preprocess {
    let transform = model.preprocess();
    Preprocess::new(transform.size, transform.crop)
}

/// How the values on a model's grid become its anomaly map, if it has any.
pub fn map_finish(model: &dyn Model) -> Option<MapFinish> {
    let finish = model.map()?;
    let upsampling = match finish.upsampling {
        models::Upsampling::Nearest => Upsampling::Nearest,
        models::Upsampling::Bilinear => Upsampling::Bilinear,
    };
    let blur = finish.blur.map(|blur| Blur {
        sigma: blur.sigma,
        kernel: blur.kernel,
    });
    Some(MapFinish::new(finish.grid, finish.size, upsampling, blur))
}

/// How a model sees images and where it shows what is unusual in them.
pub struct Sight {
    pub preprocess: Preprocess,
    /// `None`: it has no maps.
    pub map: Option<MapFinish>,
}

/// Of the run's model, whatever it has learned; no weights are read.
pub fn sight(run: &PlannedRun, given: Option<&packages::Opened>) -> Result<Sight, TaskError> {
    if let Some(packages::Contents::File(file)) = given.map(|given| &given.contents) {
        return Ok(Sight {
            preprocess: file.preprocess(),
            map: file.map(),
        });
    }
    let (class, input, seed) = match (&run.spec.model, given) {
        (_, Some(package)) => {
            let manifest = package.manifest()?;
            (
                packages::class(manifest),
                packages::input_size(manifest),
                manifest.model.seed,
            )
        }
        (ModelSource::Train(class), None) => (class.clone(), run.spec.input_size(), run.spec.seed),
        (ModelSource::Package(name), None) => {
            return Err(TaskError::Assignment(format!(
                "the package {name} was not opened"
            )));
        }
    };
    let model = models::build(&class.class_path, &class.init_args, input, seed)?;
    Ok(Sight {
        preprocess: preprocess(model.as_ref()),
        map: map_finish(model.as_ref()),
    })
}

fn trained_class(attempt: &Attempt) -> Result<(&ClassSpec, &RunSpec), TaskError> {
    let spec = &attempt.run()?.spec;
    match &spec.model {
        ModelSource::Train(class) => Ok((class, spec)),
        ModelSource::Package(_) => Err(TaskError::Assignment(
            "its model is a package, which has learned already".to_owned(),
        )),
    }
}

/// The weights that the run's fit task has learned with; `None` before it has, and where they are random.
pub fn weights_of_fit(attempt: &Attempt) -> Option<&UsedWeights> {
    match &attempt.accepted(TaskKind::Fit).next()?.result.detail {
        ResultDetail::Fit { weights, .. } => weights.as_ref(),
        _ => None,
    }
}

/// What the run's fit task left behind.
fn learned(attempt: &Attempt) -> Result<Learned, TaskError> {
    let fit = attempt.input(TaskKind::Fit)?;
    let path = fit.path(names::STATISTICS);
    let damaged = || TaskError::Damaged {
        uri: attempt.store.uri(&path),
    };
    let object = fit
        .outputs
        .iter()
        .find(|object| object.path == names::STATISTICS)
        .ok_or_else(damaged)?;
    let sha256 = object.sha256.clone();
    Ok(Learned::Here { path, sha256 })
}

fn pre_trained(
    backbone: &BackboneUse,
    expected: Option<&str>,
) -> Result<(StateDict, WeightsOrigin), TaskError> {
    let folder = weights::WeightsFolder::new(weights_folder());
    // A file that was replaced has another time or size.
    let path = folder.find(backbone.name)?;
    let file = path
        .metadata()
        .ok()
        .map(|meta| (meta.modified().ok(), meta.len()));
    let key = format!("{} {} {file:?}", backbone.name, path.display());
    let loaded = WEIGHTS.get_or(&key, || folder.load(backbone.name).map(Arc::new))?;
    if let Some(expected) = expected.filter(|expected| *expected != loaded.sha256) {
        return Err(TaskError::OtherWeights {
            backbone: backbone.name.to_owned(),
            expected: expected.to_owned(),
            found: loaded.sha256.clone(),
        });
    }
    let origin = WeightsOrigin {
        backbone: backbone.name.to_owned(),
        sha256: loaded.sha256.clone(),
        licence: loaded.licence.clone(),
    };
    // Tensors share their numbers.
    Ok((loaded.state.clone(), origin))
}

/// `NIGHTSHIFT_WEIGHTS`, else `weights` beside the programs' folder, else the user's data folder.
pub fn weights_folder() -> PathBuf {
    if let Some(folder) = env::var_os("NIGHTSHIFT_WEIGHTS") {
        return folder.into();
    }
    let beside = env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.parent()?.join("weights")));
    if let Some(folder) = beside.filter(|folder| folder.is_dir()) {
        return folder;
    }
    let data = env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/share")));
    data.unwrap_or_default().join("nightshift/weights")
}

/// Whether the task needs an engine of the executor's.
pub fn uses_engine(assignment: &Assignment) -> bool {
    match assignment.spec.kind() {
        TaskKind::Fit | TaskKind::Score => true,
        // What is written here is computed elsewhere; torch writes its own files.
        TaskKind::Export => assignment.engine == EngineChoice::TorchCpu,
        TaskKind::Evaluate => assignment
            .runs
            .iter()
            .any(|run| run.spec.measures_parity() || !run.spec.is_exact()),
        // A model file is tried before images are listed.
        TaskKind::List => assignment.runs.iter().any(|run| run.spec.model.is_file()),
        TaskKind::Reduce => false,
    }
}

/// `engine: openvino` with `precision: bf16`.
pub const OPENVINO_BF16: &str = "openvino-bf16";

/// The engine that the task is to compute with, or another one, and the numbers that it is to compute with.
#[derive(Clone)]
pub struct Engine {
    engine: Arc<dyn engines::Engine>,
    precision: engines::Precision,
}

impl Engine {
    /// As exact as it can.
    pub fn open(attempt: &Attempt) -> Result<Self, TaskError> {
        let choice = match attempt.assignment.engine {
            EngineChoice::Auto => Choice::Auto,
            EngineChoice::Openvino => Choice::OpenVino,
            EngineChoice::Onnxruntime => Choice::OnnxRuntime,
            EngineChoice::TorchCpu => Choice::TorchCpu,
            EngineChoice::TorchCuda => Choice::TorchCuda,
        };
        let open = || engines::open(choice).map(Arc::from);
        let engine = attempt
            .stages
            .load("load", || ENGINE.get_or(choice.name(), open))?;
        Ok(Self {
            engine,
            precision: engines::Precision::F32,
        })
    }

    /// With the precision that the run asks for.
    pub fn of_run(attempt: &Attempt, run: &RunSpec) -> Result<Self, TaskError> {
        let exact = Self::open(attempt)?;
        let precision = match run.precision {
            Precision::F32 => engines::Precision::F32,
            Precision::Bf16 => engines::Precision::Bf16,
        };
        Ok(Self { precision, ..exact })
    }

    /// The same with other numbers.
    pub fn with(&self, precision: engines::Precision) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            precision,
        }
    }

    pub fn precision(&self) -> engines::Precision {
        self.precision
    }

    /// The name, with the precision where that is no matter of course.
    pub fn computes(&self) -> String {
        match self.precision {
            engines::Precision::F32 => self.name().to_owned(),
            other => format!("{}-{}", self.name(), other.name()),
        }
    }

    fn options(&self, sessions: usize) -> CompileOptions {
        CompileOptions {
            batch: 1,
            sessions,
            precision: self.precision,
        }
    }

    /// Another one than the job's.
    pub fn choose(choice: Choice) -> Result<Self, EngineError> {
        Ok(Self {
            engine: Arc::from(engines::open(choice)?),
            precision: engines::Precision::F32,
        })
    }

    /// What jobs may ask for that is less exact, by its name.
    pub fn less_exact(&self) -> Vec<(&'static str, Result<Self, EngineError>)> {
        let openvino = match self.name() == Choice::OpenVino.name() {
            true => Ok(self.with(engines::Precision::F32)),
            false => engines::open(Choice::OpenVino).map(|engine| Self {
                engine: Arc::from(engine),
                precision: engines::Precision::F32,
            }),
        };
        let bf16 = openvino.map(|exact| exact.with(engines::Precision::Bf16));
        vec![(OPENVINO_BF16, bf16)]
    }

    /// Of every other one that a package may be scored by here, in order of their names; nothing is opened.
    pub fn other_choices(&self, device: Device) -> Vec<(Choice, &'static str)> {
        let is_other = |(choice, name): &(Choice, &'static str)| match choice {
            Choice::Auto => false,
            Choice::TorchCuda if device == Device::Cpu => false,
            _ => *name != self.name(),
        };
        let mut others: Vec<_> = Choice::ALL.into_iter().filter(is_other).collect();
        others.sort_by_key(|(_, name)| *name);
        others
    }

    pub fn name(&self) -> &'static str {
        self.engine.name()
    }

    /// Whether it computes on anything but processors here.
    pub fn has_gpu(&self) -> bool {
        self.engine
            .devices()
            .iter()
            .any(|device| device != engines::CPU)
    }

    pub fn device(&self) -> String {
        self.engine.device()
    }

    pub fn version(&self) -> String {
        self.engine.version()
    }

    /// Writes a graph as a file of the engine's own.
    pub fn write_file(&self, graph: &graph::Graph, file: &Path) -> Result<(), EngineError> {
        self.engine.write_file(graph, file)
    }

    /// Prepares a model file of another program.
    pub fn open_file(
        &self,
        file: &Path,
        sessions: usize,
    ) -> Result<Box<dyn engines::ImageModel>, EngineError> {
        self.engine.open_file(file, &self.options(sessions))
    }

    pub fn fingerprint(&self, threads: usize) -> String {
        let engine = (self.name(), &*self.version());
        fingerprint::fingerprint(engine, &self.device(), self.precision, threads)
    }

    /// One session a thread, each for one image at a time: larger batches leave the caches and gain nothing. `kept` has the
    /// compiled graph if it was made for the same `key`.
    pub fn sessions(
        &self,
        attempt: &Attempt,
        kept: &Last<Arc<dyn engines::Compiled>>,
        key: &str,
        graph: impl FnOnce() -> Result<graph::Graph, ModelError>,
    ) -> Result<Vec<Box<dyn engines::Session>>, TaskError> {
        let sessions = attempt.threads;
        let key = format!("{} {sessions} {key}", self.computes());
        attempt.stages.load("compile", || {
            let compiled = kept.get_or(&key, || {
                let graph = graph::rewrite::fold_batch_norm(&graph()?);
                let compiled = self.engine.compile(&graph, &self.options(sessions))?;
                Ok::<_, TaskError>(Arc::from(compiled))
            })?;
            (0..sessions).map(|_| Ok(compiled.session()?)).collect()
        })
    }
}
