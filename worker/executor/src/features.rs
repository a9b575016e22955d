//! From a sample to its features: an engine looks at the image, or another run of the job has had it look.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use engines::{Compiled, Session};
use models::{JointPass, Start};
use plan::{Joint, Reused};
use store::LocalCache;
use tables::SampleRow;
use vision::Decoding;

use crate::{
    attempt::Attempt,
    error::TaskError,
    images::{BadImage, Images, Seen},
    kept::{COMPILED, COMPILED_TAIL, Last},
    model::{Chosen, Engine},
    model_file::{FileSession, ModelFile},
    spool::{as_bytes, as_bytes_mut},
    stages::lock,
};

/// One for each thread.
type Sessions = Vec<Box<dyn Session>>;

/// Makes features of samples for one attempt; shared by its threads.
pub struct Features<'a> {
    attempt: &'a Attempt,
    pub images: Images<'a>,
    /// If the run shares its pass over the backbone with others.
    shared: Option<Shared<'a>>,
}

struct Shared<'a> {
    joint: Joint,
    /// Everything that the maps depend on besides the image.
    key: String,
    /// Where the model's own layers lie in the maps of all, one after the other.
    places: Vec<Range<usize>>,
    /// Numbers in each layer's map.
    lengths: Vec<usize>,
    /// Whether maps are looked for and kept: the cache has room for those of all the run's images.
    kept: bool,
    reused: Mutex<Reused>,
    /// Sessions from the image to the maps, for threads that have none yet.
    maps: Mutex<Sessions>,
    make: Box<dyn Fn() -> Result<Sessions, TaskError> + Send + Sync + 'a>,
}

/// For whom the graphs are kept that are compiled for looking.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    ForTasks,
    ForNobody,
}

impl Keep {
    fn sessions(
        self,
        kept: &Last<Arc<dyn Compiled>>,
        make: impl FnOnce(&Last<Arc<dyn Compiled>>) -> Result<Sessions, TaskError>,
    ) -> Result<Sessions, TaskError> {
        match self {
            Self::ForTasks => make(kept),
            Self::ForNobody => make(&Last::empty()),
        }
    }
}

/// One thread's sessions and buffers.
pub enum Looker {
    Alone(Alone),
    Sharing(Box<Sharing>),
    /// By the model file of another program.
    File(Box<FileSession>),
}

/// In two steps, with buffers that serve every image.
pub struct Sharing {
    /// From the image to the maps that runs share; `None` until there is an image whose maps nobody has kept.
    maps: Option<Box<dyn Session>>,
    input: Vec<f32>,
    /// From maps to features.
    tail: Box<dyn Session>,
    /// As the engine gives them, one a layer.
    layers: Vec<Vec<f32>>,
    /// The maps of all layers, one after the other.
    values: Vec<f32>,
    /// What is kept of an image.
    bytes: Vec<u8>,
}

/// From an image to what a graph makes of it.
pub struct Alone {
    session: Box<dyn Session>,
    input: Vec<f32>,
}

/// What is known of a sample besides its features.
#[derive(Debug, Clone, Copy)]
pub struct Looked {
    pub seen: Seen,
    /// In the engine, whichever run had it look.
    pub infer_us: u64,
}

impl<'a> Features<'a> {
    /// With the tools of each thread.
    pub fn open(
        attempt: &'a Attempt,
        chosen: &Chosen,
        engine: &Engine,
        decoding: Decoding,
        keep: Keep,
    ) -> Result<(Self, Vec<Looker>), TaskError> {
        let images = Images::new(attempt, chosen.preprocess().decoding(decoding));
        let model = chosen.model.as_ref();
        let shared = attempt.run()?.joint.as_ref().zip(model.backbone());
        let Some((joint, backbone)) = shared else {
            let graph = || model.feature_graph(Start::Image(&chosen.weights));
            let make = |kept: &_| engine.sessions(attempt, kept, &chosen.key, graph);
            let sessions = keep.sessions(&COMPILED, make)?;
            let looker = |session| {
                Looker::Alone(Alone {
                    session,
                    input: vec![0.0; chosen.input_len()],
                })
            };
            let lookers = sessions.into_iter().map(looker).collect();
            let features = Self {
                attempt,
                images,
                shared: None,
            };
            return Ok((features, lookers));
        };
        let size = model.preprocess().output();
        let pass = JointPass::new(backbone.name, &joint.layers, size)?;
        let weights = match &chosen.origin {
            Some(origin) => origin.sha256.clone(),
            None => format!("random {}", attempt.run()?.spec.seed),
        };
        let key =
            serde_json::json!(["maps/2", backbone.name, weights, joint.layers, size]).to_string();
        let make = |kept: &_| {
            let graph = || model.feature_graph(Start::Maps);
            engine.sessions(attempt, kept, &chosen.key, graph)
        };
        let tails = keep.sessions(&COMPILED_TAIL, make)?;
        let looker = |tail| {
            Looker::Sharing(Box::new(Sharing {
                maps: None,
                input: vec![0.0; chosen.input_len()],
                tail,
                layers: vec![Vec::new(); joint.layers.len()],
                values: Vec::new(),
                bytes: Vec::new(),
            }))
        };
        let lookers = tails.into_iter().map(looker).collect();
        let places = pass.places(&backbone).ok_or_else(|| {
            TaskError::Assignment("a layer of the run is not in its shared pass".to_owned())
        })?;
        let lengths: Vec<usize> = pass.lengths().collect();
        let bytes = Record::bytes(&lengths) as u64 * images_of_run(attempt)?;
        let (engine_of_maps, weights, key_of_maps) =
            (engine.clone(), chosen.weights.clone(), key.clone());
        let make = move || {
            let make = |kept: &_| {
                engine_of_maps.sessions(attempt, kept, &key_of_maps, || pass.graph(&weights))
            };
            keep.sessions(&COMPILED, make)
        };
        // Tasks have use for it from run to run; others may find all maps.
        let ready = match keep {
            Keep::ForTasks => make()?,
            Keep::ForNobody => Vec::new(),
        };
        let cache = images.cache.as_ref();
        let shared = Shared {
            joint: joint.clone(),
            key: format!(
                "{key} {} {}",
                images.preprocess.hash(),
                engine.fingerprint(attempt.threads)
            ),
            places,
            lengths,
            kept: cache.is_some_and(|cache| cache.has_room_for(bytes)),
            maps: Mutex::new(ready),
            make: Box::new(make),
            reused: Mutex::default(),
        };
        let features = Self {
            attempt,
            images,
            shared: Some(shared),
        };
        Ok((features, lookers))
    }

    /// Of another program's model: what it says of an image stands for features.
    pub fn of_file(
        attempt: &'a Attempt,
        file: &ModelFile,
        engine: &Engine,
        decoding: Decoding,
    ) -> Result<(Self, Vec<Looker>), TaskError> {
        let sessions = file.sessions(attempt, engine)?;
        let features = Self {
            attempt,
            images: Images::new(attempt, file.preprocess().decoding(decoding)),
            shared: None,
        };
        Ok((
            features,
            sessions
                .into_iter()
                .map(|session| Looker::File(Box::new(session)))
                .collect(),
        ))
    }

    /// At which of so many items the attempt begins.
    pub fn first_of(&self, items: usize) -> usize {
        let shared = self.shared.as_ref().filter(|shared| shared.kept);
        shared.map_or(0, |shared| shared.joint.first_of(items))
    }

    /// Fills `values` with the sample's features [positions, dims].
    pub fn look(
        &self,
        looker: &mut Looker,
        sample: &SampleRow,
        values: &mut Vec<f32>,
    ) -> Result<Result<Looked, BadImage>, TaskError> {
        match looker {
            Looker::Alone(Alone { session, input }) => {
                let seen = match self.images.read(sample, input)? {
                    Ok(seen) => seen,
                    Err(bad) => return Ok(Err(bad)),
                };
                let start = Instant::now();
                self.run(session, &[input], values)?;
                Ok(Ok(Looked {
                    seen,
                    infer_us: micros(start.elapsed()),
                }))
            }
            Looker::Sharing(looker) => match &self.shared {
                Some(shared) => self.look_at_maps(shared, looker, sample, values),
                None => Err(TaskError::Assignment(
                    "a thread shares maps of a run that shares none".to_owned(),
                )),
            },
            Looker::File(session) => {
                let (seen, preprocess) = match self.images.read_for(sample, session)? {
                    Ok(read) => read,
                    Err(bad) => return Ok(Err(bad)),
                };
                let start = Instant::now();
                let stages = &self.attempt.stages;
                stages.time("infer", 0, || session.look(&preprocess, values))?;
                Ok(Ok(Looked {
                    seen,
                    infer_us: micros(start.elapsed()),
                }))
            }
        }
    }

    fn look_at_maps(
        &self,
        shared: &Shared<'_>,
        looker: &mut Sharing,
        sample: &SampleRow,
        values: &mut Vec<f32>,
    ) -> Result<Result<Looked, BadImage>, TaskError> {
        let Sharing {
            maps: session,
            input,
            tail,
            layers,
            values: maps,
            bytes,
        } = looker;
        let synthetic = sample.synthetic.map(|seed| seed.to_string());
        let key = shared.key_of(sample, synthetic.as_deref());
        let cache = self.cache(shared, sample).map(|cache| (cache, &key));
        let (seen, infer_us) = match self.found(shared, cache, maps) {
            Some(record) => (record.seen, record.infer_us),
            None => {
                let begun = Instant::now();
                let seen = match self.images.read(sample, input)? {
                    Ok(seen) => seen,
                    Err(bad) => return Ok(Err(bad)),
                };
                let session = match session {
                    Some(session) => session,
                    None => session.insert(shared.session()?),
                };
                let start = Instant::now();
                let stages = &self.attempt.stages;
                stages.time("infer", 4 * input.len() as u64, || {
                    session.run(&[input], layers)
                })?;
                let infer_us = micros(start.elapsed());
                maps.clear();
                layers.iter().for_each(|layer| maps.extend(layer));
                if let Some((cache, key)) = cache {
                    let record = Record {
                        seen,
                        infer_us,
                        cost_us: micros(begun.elapsed()),
                    };
                    record.write(maps, bytes);
                    stages.time("keep", bytes.len() as u64, || cache.keep(key, bytes));
                }
                (seen, infer_us)
            }
        };
        let start = Instant::now();
        let inputs: Vec<&[f32]> = shared.places.iter().map(|at| &maps[at.clone()]).collect();
        self.run(tail, &inputs, values)?;
        Ok(Ok(Looked {
            seen,
            infer_us: infer_us + micros(start.elapsed()),
        }))
    }

    fn run(
        &self,
        session: &mut Box<dyn Session>,
        inputs: &[&[f32]],
        values: &mut Vec<f32>,
    ) -> Result<(), TaskError> {
        let bytes = inputs.iter().map(|input| 4 * input.len() as u64).sum();
        let mut outputs = [std::mem::take(values)];
        self.attempt
            .stages
            .time("infer", bytes, || session.run(inputs, &mut outputs))?;
        [*values] = outputs;
        Ok(())
    }

    /// Fills `maps` with what another attempt has kept.
    fn found(
        &self,
        shared: &Shared<'_>,
        cache: Option<(&LocalCache, &[&str; 4])>,
        maps: &mut Vec<f32>,
    ) -> Option<Record> {
        let start = Instant::now();
        lock(&shared.reused).of += 1;
        let (cache, key) = cache?;
        let bytes = cache.find(key)?;
        let record = Record::read(&bytes, shared.lengths.iter().sum(), maps)?;
        let took = start.elapsed();
        self.attempt
            .stages
            .add("reuse", took, 1, bytes.len() as u64);
        let saved = Duration::from_micros(record.cost_us).as_secs_f64() - took.as_secs_f64();
        let mut reused = lock(&shared.reused);
        reused.images += 1;
        reused.saved_s += saved / self.attempt.threads as f64;
        Some(record)
    }

    /// For this sample's maps. Of an image without an etag nobody knows whether it is still the same.
    fn cache(&self, shared: &Shared<'_>, sample: &SampleRow) -> Option<&LocalCache> {
        let cache = self.images.cache.as_ref();
        cache.filter(|_| shared.kept && !sample.etag.is_empty())
    }

    /// What did not have to be computed; `None`: the run shares nothing.
    pub fn reused(&self) -> Option<Reused> {
        self.shared.as_ref().map(|shared| *lock(&shared.reused))
    }
}

impl Shared<'_> {
    fn session(&self) -> Result<Box<dyn Session>, TaskError> {
        let mut ready = lock(&self.maps);
        if ready.is_empty() {
            *ready = (self.make)()?;
        }
        ready
            .pop()
            .ok_or_else(|| TaskError::Assignment("there is a session for no thread".to_owned()))
    }

    /// `synthetic`: the sample's seed.
    fn key_of<'a>(&'a self, sample: &'a SampleRow, synthetic: Option<&'a str>) -> [&'a str; 4] {
        [
            &self.key,
            &sample.uri,
            &sample.etag,
            synthetic.unwrap_or_default(),
        ]
    }
}

/// Of all the samples that the run looks at.
fn images_of_run(attempt: &Attempt) -> Result<u64, TaskError> {
    match attempt.input(types::TaskKind::List)?.result.detail {
        plan::ResultDetail::List { train, scored, .. } => Ok(train + scored),
        _ => Err(TaskError::Assignment(
            "the result of its list task is that of another kind".to_owned(),
        )),
    }
}

/// What is kept beside an image's maps.
#[derive(Debug, Clone, Copy)]
struct Record {
    seen: Seen,
    /// In the engine.
    infer_us: u64,
    /// From reading the image to its maps, in one thread.
    cost_us: u64,
}

impl Record {
    const HEAD: usize = 32;

    fn bytes(lengths: &[usize]) -> usize {
        Self::HEAD + 4 * lengths.iter().sum::<usize>()
    }

    /// Into `bytes`, whatever they were.
    fn write(&self, maps: &[f32], bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.reserve(Self::HEAD + 4 * maps.len());
        bytes.extend(self.seen.width.to_le_bytes());
        bytes.extend(self.seen.height.to_le_bytes());
        bytes.extend(self.seen.decode_us.to_le_bytes());
        bytes.extend(self.infer_us.to_le_bytes());
        bytes.extend(self.cost_us.to_le_bytes());
        // The cache lives on one machine, so the machine's own byte order will do.
        bytes.extend_from_slice(as_bytes(maps));
    }

    /// Fills `maps`; `None` if they are not of that length.
    fn read(bytes: &[u8], length: usize, maps: &mut Vec<f32>) -> Option<Self> {
        let (head, values) = bytes.split_at_checked(Self::HEAD)?;
        if values.len() != 4 * length {
            return None;
        }
        maps.resize(length, 0.0);
        as_bytes_mut(maps).copy_from_slice(values);
        let (width, head) = head.split_first_chunk()?;
        let (height, head) = head.split_first_chunk()?;
        let (decode_us, head) = head.split_first_chunk()?;
        let (infer_us, head) = head.split_first_chunk()?;
        let (cost_us, _) = head.split_first_chunk()?;
        Some(Self {
            seen: Seen {
                width: u32::from_le_bytes(*width),
                height: u32::from_le_bytes(*height),
                decode_us: u64::from_le_bytes(*decode_us),
            },
            infer_us: u64::from_le_bytes(*infer_us),
            cost_us: u64::from_le_bytes(*cost_us),
        })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_in_no_other_length() {
        let record = Record {
            seen: Seen {
                width: 3,
                height: 1 << 20,
                decode_us: 7,
            },
            infer_us: 9,
            cost_us: u64::MAX - 1,
        };
        let maps = [0.1, -0.0, f32::NAN, f32::MIN_POSITIVE / 2.0];
        let mut bytes = vec![1; 99];
        record.write(&maps, &mut bytes);
        assert_eq!(bytes.len(), Record::bytes(&[3, 1]));
        let mut read = vec![9.0; 9];
        let found = Record::read(&bytes, 4, &mut read).unwrap();
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&read), bits(&maps));
        assert_eq!(format!("{found:?}"), format!("{record:?}"));
        for wrong in [
            &bytes[..bytes.len() - 1],
            &bytes[..bytes.len() - 4],
            &bytes[..5],
            &[],
        ] {
            assert!(Record::read(wrong, 4, &mut read).is_none());
        }
        assert!(Record::read(&bytes, 3, &mut read).is_none());
    }
}
