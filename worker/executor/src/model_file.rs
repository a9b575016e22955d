//! Model files of other programs, those that Anomalib exports first of all: finding one, checking it, what its outputs mean.

use std::{collections::BTreeSet, fs, sync::Arc};

use ::package::{Bounds, ChosenOn, FileMetadata, Normalization, Scale, Threshold, Thresholds};
use bytes::Bytes;
use engines::{EngineError, ImageModel, ImageSession, Output};
use job::resolved::{ONNX_FILE, OPENVINO_FILE};
use models::Scored;
use plan::{FoundFile, FoundModelFile, FoundPackage};
use store::StoreError;
use vision::{MapFinish, Preprocess, Upsampling};

use crate::{
    attempt::Attempt,
    error::{TaskError, one_line},
    kept::MODEL_FILE,
    model::Engine,
};

/// Beside the model: thresholds and the range of its scores.
const METADATA: &str = "metadata.json";
/// Outputs that have a name in the files of Anomalib 2 and in ours.
const MAP: &str = "anomaly_map";
const SCORE: &str = "pred_score";
/// A file that has this one compares normalized scores with 0.5 itself.
const LABEL: &str = "pred_label";
/// The newest ONNX operators that are known here: those of ONNX Runtime 1.30, and of OpenVINO 2026.4. A newer file may do all the
/// same, as operators seldom change.
const NEWEST_OPSET: i64 = 27;
/// Side in pixels of the image that shows what a model's outputs are, if it takes any.
const TRIED: usize = 256;

/// What is known of a model file besides its network.
#[derive(Debug, Clone)]
pub struct ModelFile {
    pub thresholds: Thresholds,
    pub normalization: Normalization,
    /// Of a file that takes images of one size.
    preprocess: Option<Preprocess>,
    found: FoundModelFile,
    uri: String,
}

/// Reads the file and what lies beside it, and tries it on an image, so that one of no use is refused before a listing.
pub fn find(attempt: &Attempt, uri: &str) -> Result<(ModelFile, FoundPackage), TaskError> {
    let model = read(attempt, uri)?;
    if model.is_empty() {
        return Err(problem_of(uri, "the file is empty"));
    }
    let mut names = vec![file_name(uri).to_owned()];
    names.extend(beside(uri, &model)?);
    let mut files = vec![found_file(&names[0], &model)];
    for name in &names[1..] {
        let beside = sibling(uri, name);
        if is_link(attempt, &beside)? {
            return Err(problem_of(
                uri,
                format!(
                    "{name} beside it, which is to hold its constants, is a link, which may lead to any file: copy the file itself there (`cp -L`)"
                ),
            ));
        }
        match read(attempt, &beside) {
            Ok(bytes) => files.push(found_file(name, &bytes)),
            Err(TaskError::Store(StoreError::NotFound { .. })) => {
                return Err(problem_of(
                    uri,
                    format!("{name} beside it, which is to hold its constants, is not there"),
                ));
            }
            Err(error) => return Err(error),
        }
    }
    let metadata = match read(attempt, &sibling(uri, METADATA)) {
        Ok(bytes) => {
            files.push(found_file(METADATA, &bytes));
            parse(uri, &bytes)?
        }
        Err(TaskError::Store(StoreError::NotFound { .. })) => FileMetadata::default(),
        Err(error) => return Err(error),
    };
    let found = FoundModelFile {
        files,
        map: None,
        has_score: false,
        decides: false,
    };
    let mut file = ModelFile::new(uri, found, metadata);
    let engine = Engine::open(attempt)?;
    let tried = file.try_on_an_image(attempt, &engine);
    tried.map_err(|error| with_newer_opset(error, &model))?;
    let found = FoundPackage {
        name: uri.to_owned(),
        version: None,
        uri: uri.to_owned(),
        sha256: file.sha256(),
        scores_sha256: None,
        model_file: Some(file.found.clone()),
    };
    Ok((file.with_decision(), found))
}

/// What the run's listing found; thresholds are read again, and must be the same.
pub fn open(attempt: &Attempt, uri: &str, found: &FoundModelFile) -> Result<ModelFile, TaskError> {
    let metadata = match found.files.iter().find(|file| file.name == METADATA) {
        Some(file) => parse(uri, &verified(attempt, uri, file)?)?,
        None => FileMetadata::default(),
    };
    Ok(ModelFile::new(uri, found.clone(), metadata).with_decision())
}

impl ModelFile {
    fn new(uri: &str, found: FoundModelFile, metadata: FileMetadata) -> Self {
        let threshold = |value| {
            Some(Threshold {
                value,
                chosen_on: ChosenOn::Unknown,
            })
        };
        let bounds = metadata.min.zip(metadata.max);
        let bounds = bounds.map(|(min, max)| Scale::Range(Bounds { min, max }));
        let (thresholds, normalization, preprocess) = match metadata.nightshift {
            Some(ours) => {
                let side = |size: [u32; 2]| size.map(|side| side as usize);
                let preprocessing = &ours.preprocessing;
                let preprocess =
                    Preprocess::new(side(preprocessing.resize), preprocessing.crop.map(side));
                let outside = (!ours.resized_inside).then_some(preprocess);
                (ours.thresholds, ours.normalization, outside)
            }
            None => (
                Thresholds {
                    image: metadata.image_threshold.and_then(threshold),
                    pixel: metadata.pixel_threshold.and_then(threshold),
                },
                Normalization {
                    image: bounds,
                    pixel: bounds,
                },
                None,
            ),
        };
        Self {
            thresholds,
            normalization,
            preprocess,
            found,
            uri: uri.to_owned(),
        }
    }

    /// A model that decides itself says from 0 to 1 how anomalous something is, and calls it so from a half on.
    fn with_decision(mut self) -> Self {
        if self.found.decides {
            let half = Threshold {
                value: 0.5,
                chosen_on: ChosenOn::Unknown,
            };
            let bounds = Scale::Range(Bounds { min: 0.0, max: 1.0 });
            self.thresholds = Thresholds {
                image: Some(half.clone()),
                pixel: Some(half),
            };
            self.normalization = Normalization {
                image: Some(bounds),
                pixel: Some(bounds),
            };
        }
        self
    }

    /// Of all its files: a digest of their names and digests.
    fn sha256(&self) -> String {
        let lines = self.found.files.iter();
        let lines = lines.map(|file| format!("{} {}\n", file.sha256, file.name));
        ::package::digest(lines.collect::<String>().as_bytes())
    }

    /// One session a thread; the compiled model is kept for the next task that needs it.
    pub fn sessions(
        &self,
        attempt: &Attempt,
        engine: &Engine,
    ) -> Result<Vec<FileSession>, TaskError> {
        let threads = attempt.threads;
        let key = format!("{} {threads} {}", engine.computes(), self.sha256());
        let opened = attempt.stages.load("compile", || {
            MODEL_FILE.get_or(&key, || self.open(attempt, engine, threads).map(Arc::from))
        })?;
        let session = |_| {
            Ok(FileSession {
                session: opened.session().map_err(|error| self.refused(error))?,
                model: Arc::clone(&opened),
                file: self.clone(),
                input: Vec::new(),
            })
        };
        (0..threads).map(session).collect()
    }

    /// Brings the files, as they were found, into a folder that holds nothing else.
    fn open(
        &self,
        attempt: &Attempt,
        engine: &Engine,
        sessions: usize,
    ) -> Result<Box<dyn ImageModel>, TaskError> {
        if self.uri.ends_with(OPENVINO_FILE) && engine.name() != "openvino" {
            let name = engine.name();
            return Err(self.problem(format!(
                "{name} does not read OpenVINO's files; take `resources: {{engine: openvino}}`"
            )));
        }
        let folder = attempt.scratch.join("model");
        fs::create_dir_all(&folder).map_err(TaskError::scratch(&folder))?;
        for file in &self.found.files {
            let path = folder.join(&file.name);
            let bytes = verified(attempt, &self.uri, file)?;
            fs::write(&path, bytes).map_err(TaskError::scratch(&path))?;
        }
        let model = folder.join(file_name(&self.uri));
        let opened = engine.open_file(&model, sessions);
        // Engines have read it, or hold it open.
        fs::remove_dir_all(&folder).map_err(TaskError::scratch(&folder))?;
        // It was read at a place of which nobody needs to know.
        let scratch = format!("{}/", folder.display());
        opened.map_err(|error| match self.refused(error) {
            TaskError::ModelFile { uri, problem } => TaskError::ModelFile {
                uri,
                problem: problem.replace(&scratch, ""),
            },
            other => other,
        })
    }

    /// How an image of this size becomes the model's input.
    fn input(&self, model: &dyn ImageModel, own: [usize; 2]) -> Preprocess {
        match (model.image_size(), self.preprocess) {
            (None, _) => Preprocess::new(own, None),
            (Some(size), Some(ours)) if ours.output() == size => ours,
            (Some(size), _) => Preprocess::new(size, None),
        }
    }

    /// The geometry of its maps, which show the whole image; of the images of a model that has none, whatever it is.
    pub fn preprocess(&self) -> Preprocess {
        match (self.preprocess, self.found.map) {
            (Some(ours), Some(map)) if ours.output() == map => ours,
            (_, map) => Preprocess::new(map.unwrap_or([TRIED; 2]), None),
        }
    }

    /// Maps are as they come.
    pub fn map(&self) -> Option<MapFinish> {
        let size = self.found.map?;
        Some(MapFinish::new(size, size, Upsampling::Nearest, None))
    }

    /// What makes scores of the values that [`FileSession::look`] gives.
    pub fn scorer(&self) -> impl models::Scorer + use<> {
        FileScorer {
            has_map: self.found.map.is_some(),
            has_score: self.found.has_score,
        }
    }

    /// Learns what its outputs are.
    fn try_on_an_image(&mut self, attempt: &Attempt, engine: &Engine) -> Result<(), TaskError> {
        let opened = self.open(attempt, engine, 1)?;
        let size = self.input(opened.as_ref(), [TRIED; 2]).output();
        let outputs = opened
            .session()
            .and_then(|mut session| session.run(&vec![0.5; 3 * size[0] * size[1]], size))
            .map_err(|error| self.refused(error))?;
        let said = Said::of(&outputs).map_err(|problem| self.problem(problem))?;
        self.found.map = said.map.map(|(size, _)| size);
        self.found.has_score = said.score.is_some();
        // What is no f32 is not among the outputs; names tell.
        self.found.decides = opened.output_names().iter().any(|name| name == LABEL);
        Ok(())
    }

    fn refused(&self, error: EngineError) -> TaskError {
        match error {
            EngineError::Native { .. }
            | EngineError::NoImageInput { .. }
            | EngineError::ImageSize { .. }
            | EngineError::NoModelFiles { .. } => self.problem(one_line(&error)),
            other => other.into(),
        }
    }

    fn problem(&self, problem: impl Into<String>) -> TaskError {
        problem_of(&self.uri, problem)
    }
}

/// One thread's session and buffer.
pub struct FileSession {
    session: Box<dyn ImageSession>,
    model: Arc<dyn ImageModel>,
    file: ModelFile,
    input: Vec<f32>,
}

impl FileSession {
    /// How the image is to be written into [`Self::buffer`].
    pub fn input(&self, own: [usize; 2]) -> Preprocess {
        self.file.input(self.model.as_ref(), own)
    }

    /// Height, width to which images are resized whatever their size; `None`: the model takes them as they are.
    pub fn resized(&self) -> Option<[usize; 2]> {
        self.model.image_size()?;
        Some(self.input([TRIED; 2]).size)
    }

    /// Room for an image's numbers.
    pub fn buffer(&mut self, preprocess: &Preprocess) -> &mut [f32] {
        let [height, width] = preprocess.output();
        self.input.resize(3 * height * width, 0.0);
        &mut self.input
    }

    /// Fills `values` with the score, if the model has one of its own, and the map, if it has any, of the image in the buffer.
    pub fn look(
        &mut self,
        preprocess: &Preprocess,
        values: &mut Vec<f32>,
    ) -> Result<(), TaskError> {
        let outputs = self.session.run(&self.input, preprocess.output());
        let outputs = outputs.map_err(|error| self.file.refused(error))?;
        let said = Said::of(&outputs).map_err(|problem| self.file.problem(problem))?;
        let found = &self.file.found;
        let (size, map) = said.map.unzip();
        if size != found.map || said.score.is_some() != found.has_score {
            return Err(self
                .file
                .problem("its outputs are of another size for another image"));
        }
        values.clear();
        values.extend(said.score);
        values.extend(map.into_iter().flatten());
        Ok(())
    }
}

struct FileScorer {
    has_map: bool,
    has_score: bool,
}

impl models::Scorer for FileScorer {
    fn image(&self, values: &[f32], _distances: Vec<f32>) -> Scored {
        let (score, map) = values.split_at(usize::from(self.has_score));
        match (score.first(), self.has_map) {
            (Some(score), true) => Scored::MapAndScore(map.to_vec(), *score),
            (Some(score), false) => Scored::Score(*score),
            (None, _) => Scored::Map(map.to_vec()),
        }
    }
}

/// A model's outputs for one image, understood.
#[derive(Debug, PartialEq)]
struct Said<'a> {
    score: Option<f32>,
    /// Height, width and values, row by row.
    map: Option<([usize; 2], &'a [f32])>,
}

impl<'a> Said<'a> {
    /// By their names; else one number is the score, and the rest the map. Masks and labels say nothing that these do not.
    fn of(outputs: &'a [Output]) -> Result<Self, String> {
        let named = |name: &str| outputs.iter().find(|output| output.name == name);
        let (score, map) = match (named(SCORE), named(MAP)) {
            (None, None) => {
                let is_number = |output: &&Output| output.values.len() == 1;
                let (numbers, others): (Vec<_>, Vec<_>) = outputs.iter().partition(is_number);
                match (&numbers[..], &others[..]) {
                    ([], []) | ([_, _, ..], _) | (_, [_, _, ..]) => return Err(unclear(outputs)),
                    (score, map) => (score.first().copied(), map.first().copied()),
                }
            }
            named => named,
        };
        let score = match score.map(|output| &output.values[..]) {
            None => None,
            Some([score]) => Some(*score),
            Some(_) => return Err(unclear(outputs)),
        };
        let map = match map {
            None => None,
            Some(output) => match output.shape[..] {
                // Extents of which one is 0 may be any others.
                // A matrix without the map's name has a row of numbers for each image: probabilities, an embedding.
                [ref before @ .., height, width]
                    if (!before.is_empty() || output.name == MAP)
                        && height.checked_mul(width) == Some(output.values.len())
                        && !output.values.is_empty() =>
                {
                    Some(([height, width], &output.values[..]))
                }
                _ => return Err(unclear(outputs)),
            },
        };
        Ok(Self { score, map })
    }
}

fn unclear(outputs: &[Output]) -> String {
    let outputs: Vec<String> = outputs
        .iter()
        .map(|output| format!("{:?} {:?}", output.name, output.shape))
        .collect();
    let are = match &outputs[..] {
        [] => "none of its outputs is of f32".to_owned(),
        outputs => format!("its outputs of f32 are: {}", outputs.join(", ")),
    };
    format!("it should give an image's score, its anomaly map [1, 1, H, W], or both, but {are}")
}

/// What an engine says of operators that it does not know is not always that it does not know them.
fn with_newer_opset(error: TaskError, model: &[u8]) -> TaskError {
    let (uri, problem) = match error {
        TaskError::ModelFile { uri, problem } if uri.ends_with(ONNX_FILE) => (uri, problem),
        other => return other,
    };
    let newer = graph::onnx::opset(model).ok().flatten();
    let hint = newer
        .filter(|opset| *opset > NEWEST_OPSET)
        .map(|opset| {
            format!(
                "; it is of ONNX opset {opset}, and those up to {NEWEST_OPSET} are known here: write it with an older one (`opset_version` of torch.onnx.export)"
            )
        })
        .unwrap_or_default();
    TaskError::ModelFile {
        uri,
        problem: problem + &hint,
    }
}

fn parse(uri: &str, bytes: &[u8]) -> Result<FileMetadata, TaskError> {
    FileMetadata::from_json(bytes).map_err(|error| {
        let error = one_line(&error);
        problem_of(uri, format!("{METADATA} beside it: {error}"))
    })
}

/// The files that hold the model's constants.
fn beside(uri: &str, model: &[u8]) -> Result<BTreeSet<String>, TaskError> {
    let name = file_name(uri);
    if let Some(stem) = name.strip_suffix(OPENVINO_FILE) {
        return Ok([format!("{stem}.bin")].into());
    }
    let files = graph::onnx::external_files(model)
        .map_err(|error| problem_of(uri, format!("it is no ONNX file, or damaged: {error}")))?;
    for file in &files {
        // Engines would follow it anywhere on the worker's disk.
        let plain = !file.is_empty()
            && !matches!(file.as_str(), "." | ".." | METADATA)
            && file != name
            && !file.contains(['/', '\\', '\0', '%', ':']);
        if !plain {
            return Err(problem_of(
                uri,
                format!(
                    "its constants are said to be in {file:?}, which is no other file beside it"
                ),
            ));
        }
    }
    Ok(files)
}

fn found_file(name: &str, bytes: &[u8]) -> FoundFile {
    FoundFile {
        name: name.to_owned(),
        sha256: ::package::digest(bytes),
        size: bytes.len() as u64,
    }
}

fn verified(attempt: &Attempt, model: &str, file: &FoundFile) -> Result<Bytes, TaskError> {
    let uri = sibling(model, &file.name);
    let bytes = read(attempt, &uri)?;
    if ::package::digest(&bytes) == file.sha256 {
        Ok(bytes)
    } else {
        Err(TaskError::Damaged { uri })
    }
}

fn is_link(attempt: &Attempt, uri: &str) -> Result<bool, TaskError> {
    let (store, path) = attempt.stores.locate(uri)?;
    let metadata = store.local_path(&path).map(fs::symlink_metadata);
    Ok(matches!(metadata, Some(Ok(metadata)) if metadata.is_symlink()))
}

fn read(attempt: &Attempt, uri: &str) -> Result<Bytes, TaskError> {
    let (store, path) = attempt.stores.locate(uri)?;
    Ok(attempt.runtime.block_on(store.get(&path, None))?)
}

fn file_name(uri: &str) -> &str {
    uri.rsplit_once('/').map_or(uri, |(_, name)| name)
}

fn sibling(uri: &str, name: &str) -> String {
    match uri.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.to_owned(),
    }
}

fn problem_of(uri: &str, problem: impl Into<String>) -> TaskError {
    TaskError::ModelFile {
        uri: uri.to_owned(),
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use ::package::ChosenOn;
    use engines::Output;
    use graph::onnx;
    use plan::FoundModelFile;

    use super::{ModelFile, Said, beside, parse, problem_of, with_newer_opset};

    fn output(name: &str, shape: &[usize]) -> Output {
        let len = match shape.contains(&0) {
            true => 0,
            false => shape.iter().product(),
        };
        Output {
            name: name.to_owned(),
            shape: shape.to_vec(),
            values: (0..len).map(|index| index as f32).collect(),
        }
    }

    #[test]
    fn outputs_are_understood_by_name_else_by_shape() {
        let map = output("output", &[1, 1, 2, 3]);
        let maps = [map.clone()];
        let said = Said::of(&maps).unwrap();
        assert_eq!((said.score, said.map.unwrap().0), (None, [2, 3]));
        let scores = [output("output", &[1])];
        let said = Said::of(&scores).unwrap();
        assert_eq!((said.score, said.map), (Some(0.0), None));
        let both = [output("x", &[1, 1]), map.clone()];
        let said = Said::of(&both).unwrap();
        assert_eq!((said.score, said.map.unwrap().0), (Some(0.0), [2, 3]));
        // Of one pixel, but by name a map.
        let named = [
            output("pred_score", &[1, 1]),
            output("anomaly_map", &[1, 1, 1, 1]),
            output("pred_mask", &[4]),
        ];
        let matrix = [output("anomaly_map", &[2, 3])];
        assert_eq!(Said::of(&matrix).unwrap().map.unwrap().0, [2, 3]);
        let said = Said::of(&named).unwrap();
        assert_eq!((said.score, said.map.unwrap().0), (Some(0.0), [1, 1]));
    }

    #[test]
    fn outputs_that_mean_nothing_are_named() {
        let map = output("a", &[1, 1, 2, 3]);
        let score = output("b", &[1]);
        for outputs in [
            vec![],
            vec![map.clone(), map.clone()],
            vec![score.clone(), score, map.clone()],
            vec![output("embedding", &[6])],
            vec![output("probs", &[1, 3])],
            vec![output("features", &[1, 4, 2, 3])],
            vec![output("pred_score", &[2])],
            vec![output("anomaly_map", &[1, 3, 2, 2])],
            vec![output("anomaly_map", &[0, usize::MAX, usize::MAX])],
        ] {
            let problem = Said::of(&outputs).unwrap_err();
            for output in &outputs {
                assert!(problem.contains(&output.name), "{problem}");
            }
        }
    }

    #[test]
    fn metadata_without_thresholds_has_none_and_nonsense_is_refused() {
        let none = parse("m.xml", br#"{"task": "segmentation", "transform": {}}"#).unwrap();
        assert_eq!((none.image_threshold, none.min), (None, None));
        for wrong in [
            "",
            "[]",
            "{",
            r#"{"image_threshold": "high"}"#,
            r#"{"min": 3, "max": 2}"#,
            r#"{"max": 1e60}"#,
        ] {
            let error = parse("m.xml", wrong.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("metadata.json"), "{error}");
        }
    }

    #[test]
    fn nobody_knows_what_chose_the_thresholds_of_another_program() {
        let opened = |decides, metadata: &str| {
            let found = FoundModelFile {
                files: Vec::new(),
                map: None,
                has_score: true,
                decides,
            };
            let metadata = parse("m.xml", metadata.as_bytes()).unwrap();
            let thresholds = ModelFile::new("m.xml", found, metadata)
                .with_decision()
                .thresholds;
            let image = thresholds.image.unwrap();
            (image.value, image.chosen_on)
        };
        let anomalib = r#"{"image_threshold": 12, "pixel_threshold": 11}"#;
        assert_eq!(opened(false, anomalib), (12.0, ChosenOn::Unknown));
        assert_eq!(opened(true, "{}"), (0.5, ChosenOn::Unknown));
    }

    #[test]
    fn a_file_of_a_newer_opset_is_told_which_are_known() {
        let said = |uri: &str, opset: u8| {
            // Field 8 of the file: a set of operators, its version in field 2.
            let model = [0x42, 2, 0x10, opset];
            with_newer_opset(problem_of(uri, "it fails"), &model).to_string()
        };
        let newer = said("m.onnx", 99);
        assert!(newer.contains("it fails; it is of ONNX opset 99, and those up to 27"));
        for (uri, opset) in [("m.onnx", 27), ("m.onnx", 17), ("m.xml", 99)] {
            let error = said(uri, opset);
            assert!(!error.contains("opset"), "{error}");
        }
    }

    #[test]
    fn constants_lie_beside_the_model() {
        let graph = {
            let mut builder = graph::Builder::new();
            let image = builder
                .input("image", &[graph::Dim::Batch, graph::Dim::Fixed(4096)])
                .unwrap();
            let weight = builder
                .constant("w", graph::Tensor::vector(vec![1.0; 4096]))
                .unwrap();
            let sum = builder.add(image, weight).unwrap();
            builder.output("sum", sum).unwrap();
            builder.finish().unwrap()
        };
        let written = |name: &str| {
            let form = onnx::Form {
                beside: Some((0, name)),
                ..onnx::Form::default()
            };
            onnx::files(&graph, &form).unwrap().model
        };
        let of = |name: &str| beside("s3://b/m.onnx", &written(name));
        assert!(of("m.onnx.data").unwrap().iter().eq(["m.onnx.data"]));
        for name in [
            "../secret",
            "/etc/shadow",
            "a/b",
            "..",
            "m.onnx",
            "metadata.json",
            "%2e",
            "c:x",
        ] {
            let error = of(name).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        let whole = written("d");
        assert!(beside("m.onnx", &whole[..whole.len() - 1]).is_err());
        assert!(
            beside("dir/model.xml", b"")
                .unwrap()
                .iter()
                .eq(["model.bin"])
        );
    }
}
