//! What makes scores of images: an engine looks at them, and the model's head does the rest.

use job::resolved::RunSpec;
use vision::Decoding;

use crate::{
    attempt::Attempt,
    error::TaskError,
    features::{Features, Looker},
    head::Head,
    model::{Chosen, Engine},
    packages::{Contents, Opened},
};

pub struct Scoring<'a> {
    pub features: Features<'a>,
    /// One a thread.
    pub lookers: Vec<Looker>,
    pub head: Head,
}

impl<'a> Scoring<'a> {
    /// Of a package, or else of what the run has trained.
    pub fn open(
        attempt: &'a Attempt,
        package: Option<Opened>,
        engine: &Engine,
        decoding: Decoding,
    ) -> Result<Self, TaskError> {
        if let Some(Opened {
            contents: Contents::File(file),
            ..
        }) = &package
        {
            let (features, lookers) = Features::of_file(attempt, file, engine, decoding)?;
            return Ok(Self {
                features,
                lookers,
                head: Head::of_file(file),
            });
        }
        let chosen = attempt.stages.load("load", || match package {
            Some(package) => Chosen::of_package(package),
            None => Chosen::trained(attempt),
        })?;
        let head = Head::open(attempt, &chosen)?;
        let (features, lookers) = Features::open(attempt, &chosen, engine, decoding)?;
        Ok(Self {
            features,
            lookers,
            head,
        })
    }
}

/// How much of a file the run has decoded.
pub fn decoding(run: &RunSpec) -> Decoding {
    match run.scaled_decoding {
        true => Decoding::Scaled,
        false => Decoding::Full,
    }
}
