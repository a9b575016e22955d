//! From a sample to numbers: fetch, decode, preprocess, with every way in which an image can be bad told by name.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::FutureExt;
use store::{LocalCache, Store};
use tables::SampleRow;
use types::FailureClass;
use vision::{Decoding, Image, Limits, Mask, Preprocess, Scaled, VisionError};

use crate::{
    archived::{self, Unreadable},
    attempt::Attempt,
    error::{TaskError, one_line},
    model_file::FileSession,
};

/// Reads the images and masks of samples for one attempt; shared by its threads.
pub struct Images<'a> {
    attempt: &'a Attempt,
    pub preprocess: Preprocess,
    limits: Limits,
    /// Of images in remote stores, and of their features.
    pub cache: Option<LocalCache>,
}

/// An image or mask that cannot be used: a row with an error while scoring, the end of training.
#[derive(Debug)]
pub struct BadImage {
    pub uri: String,
    /// The word for the column `error_class`.
    pub class: Cow<'static, str>,
    pub reason: String,
}

impl BadImage {
    /// The address and what is wrong there, once.
    pub fn describe(&self) -> String {
        if self.reason.contains(&self.uri) {
            self.reason.clone()
        } else {
            format!("{}: {}", self.uri, self.reason)
        }
    }
}

/// What is known of an image besides its pixels.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub width: u32,
    pub height: u32,
    pub decode_us: u64,
}

/// `Ok(Err(_))`: this image is bad; `Err(_)`: the attempt cannot go on.
type Outcome<T> = Result<Result<T, BadImage>, TaskError>;

impl<'a> Images<'a> {
    pub fn new(attempt: &'a Attempt, preprocess: Preprocess) -> Self {
        Self {
            attempt,
            preprocess,
            limits: Limits::default(),
            cache: attempt.stores.cache(),
        }
    }

    /// Reads an image as the model wants it: channels first, 0 to 1.
    pub fn read(&self, sample: &SampleRow, out: &mut [f32]) -> Outcome<Seen> {
        let told = (&*sample.uri, &*sample.etag, sample.entry.as_deref());
        let stages = &self.attempt.stages;
        let bytes = 4 * out.len() as u64;
        if sample.synthetic.is_some() {
            let (image, decode_us) = match self.image(told, sample.size, sample.synthetic)? {
                Ok(read) => read,
                Err(bad) => return Ok(Err(bad)),
            };
            let apply = || self.preprocess.apply(&image, out);
            let seen = Seen {
                width: image.width,
                height: image.height,
                decode_us,
            };
            let applied = stages.time("preprocess", bytes, apply).map(|()| seen);
            return Ok(applied.map_err(|error| bad_image(&sample.uri, &error)));
        }
        let known = self.decoded(told, sample.size, |bytes| {
            let known = vision::decode_input(bytes, &self.limits, &self.preprocess, out)?;
            Ok((known, known.resizing))
        })?;
        Ok(known.map(|(known, decode_us)| {
            stages.add("preprocess", known.resizing, 1, bytes);
            Seen {
                width: known.width,
                height: known.height,
                decode_us,
            }
        }))
    }

    /// Reads an image as a model file wants it.
    pub fn read_for(
        &self,
        sample: &SampleRow,
        session: &mut FileSession,
    ) -> Outcome<(Seen, Preprocess)> {
        let told = (&*sample.uri, &*sample.etag, sample.entry.as_deref());
        let scaled = self.scaled(told, sample, session.resized())?;
        let (scaled, decode_us) = match scaled {
            Ok(read) => read,
            Err(bad) => return Ok(Err(bad)),
        };
        let preprocess = session.input([scaled.height as usize, scaled.width as usize]);
        let buffer = session.buffer(&preprocess);
        let bytes = 4 * buffer.len() as u64;
        let stages = &self.attempt.stages;
        let applied = stages.time("preprocess", bytes, || {
            preprocess.apply(&scaled.image, buffer)
        });
        let seen = Seen {
            width: scaled.width,
            height: scaled.height,
            decode_us,
        };
        let done = applied.map(|()| (seen, preprocess));
        Ok(done.map_err(|error| bad_image(&sample.uri, &error)))
    }

    /// The image of a sample, at a fraction of its size if the job asks for that and it is to be resized to `size` at once.
    fn scaled(
        &self,
        told: (&str, &str, Option<&str>),
        sample: &SampleRow,
        size: Option<[usize; 2]>,
    ) -> Outcome<(Scaled, u64)> {
        let size = match (self.preprocess.decoding, size, sample.synthetic) {
            (Decoding::Scaled, Some(size), None) => size,
            // Defects are made in pixels of the whole image.
            _ => {
                let read = self.image(told, sample.size, sample.synthetic)?;
                return Ok(read.map(|(image, decode_us)| (Scaled::from(image), decode_us)));
            }
        };
        self.decoded(told, sample.size, |bytes| {
            Ok((
                vision::decode_scaled(bytes, &self.limits, size)?,
                Duration::ZERO,
            ))
        })
    }

    /// Does and counts a stage's work on one image.
    pub fn time<T>(&self, stage: &'static str, work: impl FnOnce() -> T) -> T {
        self.attempt.stages.time(stage, 0, work)
    }

    /// Reads an image as it is, with its synthetic anomaly if it is to have one; also how long its decoding took. It is
    /// told by its address, etag and, of an archive's, entry.
    pub fn image(
        &self,
        told: (&str, &str, Option<&str>),
        size: u64,
        synthetic: Option<u64>,
    ) -> Outcome<(Image, u64)> {
        let decode = |bytes: &[u8]| Ok((vision::decode(bytes, &self.limits)?, Duration::ZERO));
        let (image, decode_us) = match self.decoded(told, size, decode)? {
            Ok(decoded) => decoded,
            Err(bad) => return Ok(Err(bad)),
        };
        let image = match synthetic {
            Some(seed) => self.attempt.stages.time("synthesize", 0, || {
                vision::with_synthetic_anomaly(&image, seed)
            }),
            None => image,
        };
        Ok(Ok((image, decode_us)))
    }

    /// Fetches and decodes a file of so many bytes; also how long decoding took. `decode` says what else it did for how long.
    fn decoded<T>(
        &self,
        (uri, etag, entry): (&str, &str, Option<&str>),
        size: u64,
        decode: impl FnOnce(&[u8]) -> Result<(T, Duration), VisionError>,
    ) -> Outcome<(T, u64)> {
        // Before a byte of it is in memory.
        if let Err(error) = self.limits.check_bytes(size) {
            return Ok(Err(bad_image(uri, &error)));
        }
        let fetched = match entry {
            Some(entry) => self.fetch_archived(uri, etag, entry)?,
            None => self.fetch(uri, etag)?,
        };
        let bytes = match fetched {
            Ok(bytes) => bytes,
            Err(bad) => return Ok(Err(bad)),
        };
        let start = Instant::now();
        let decoded = decode(&bytes);
        let took = start.elapsed();
        let other = decoded.as_ref().map_or(Duration::ZERO, |(_, other)| *other);
        let busy = took.saturating_sub(other);
        self.attempt
            .stages
            .add("decode", busy, 1, bytes.len() as u64);
        let decode_us = u64::try_from(busy.as_micros()).unwrap_or(u64::MAX);
        Ok(match decoded {
            Ok((decoded, _)) => Ok((decoded, decode_us)),
            Err(error) => Err(bad_image(uri, &error)),
        })
    }

    /// An anomalous sample's mask at model size, if it has one.
    pub fn mask(&self, sample: &SampleRow, image: Seen) -> Outcome<Option<Vec<u8>>> {
        match (sample.synthetic, &sample.mask_uri) {
            (Some(seed), _) => {
                let mask = self.synthetic_mask(seed, image.width, image.height);
                Ok(self.at_model_size(&sample.uri, &mask).map(Some))
            }
            (None, Some(uri)) => Ok(self.mask_of(sample, uri, image)?.map(Some)),
            (None, None) => Ok(Ok(None)),
        }
    }

    /// The mask of a synthetic anomaly, at the size of its image.
    pub fn synthetic_mask(&self, seed: u64, width: u32, height: u32) -> Mask {
        self.attempt.stages.time("synthesize", 0, || {
            vision::synthetic_mask(width, height, seed)
        })
    }

    fn at_model_size(&self, uri: &str, mask: &Mask) -> Result<Vec<u8>, BadImage> {
        let resized = self
            .attempt
            .stages
            .time("preprocess", 0, || self.preprocess.mask(mask));
        resized.map_err(|error| bad_image(uri, &error))
    }

    /// Reads a mask; it must be of its image's size.
    fn mask_of(&self, sample: &SampleRow, uri: &str, image: Seen) -> Outcome<Vec<u8>> {
        let etag = sample.mask_etag.as_deref().unwrap_or_default();
        let mask = match self.mask_image(uri, etag)? {
            Ok(mask) => mask,
            Err(bad) => return Ok(Err(bad)),
        };
        if (mask.width, mask.height) != (image.width, image.height) {
            let reason = format!(
                "the mask {uri} is {}x{}, but its image {} is {}x{}: they must be of one size",
                mask.width, mask.height, sample.uri, image.width, image.height
            );
            return Ok(Err(BadImage {
                uri: uri.to_owned(),
                class: "mask_size".into(),
                reason,
            }));
        }
        Ok(self.at_model_size(uri, &mask))
    }

    /// Reads a mask as it is.
    pub fn mask_image(&self, uri: &str, etag: &str) -> Outcome<Mask> {
        let bytes = match self.fetch(uri, etag)? {
            Ok(bytes) => bytes,
            Err(bad) => return Ok(Err(bad)),
        };
        let read = self.attempt.stages.time("mask", bytes.len() as u64, || {
            vision::read_mask(&bytes, &self.limits)
        });
        Ok(read.map_err(|error| bad_image(uri, &error)))
    }

    fn fetch_archived(&self, uri: &str, etag: &str, entry: &str) -> Outcome<Bytes> {
        let start = Instant::now();
        let read = archived::read(self.attempt, uri, etag, entry)?;
        Ok(match read {
            Ok(bytes) => {
                let stages = &self.attempt.stages;
                stages.add("fetch", start.elapsed(), 1, bytes.len() as u64);
                Ok(bytes)
            }
            Err(Unreadable { word, why }) => Err(BadImage {
                uri: uri.to_owned(),
                class: word,
                reason: why,
            }),
        })
    }

    fn fetch(&self, uri: &str, etag: &str) -> Outcome<Bytes> {
        let (store, path) = self.locate(uri)?;
        let start = Instant::now();
        let reading = || async {
            match &self.cache {
                Some(cache) => cache.get(&store, &path, etag).await,
                None => store.get(&path, (!etag.is_empty()).then_some(etag)).await,
            }
        };
        // Outside of the runtime a local file is read by the calling thread, at once; inside, another one would be woken for it.
        let read = match store.is_remote() {
            true => None,
            false => reading().now_or_never(),
        };
        match read.unwrap_or_else(|| self.attempt.runtime.block_on(reading())) {
            Ok(bytes) => {
                self.attempt
                    .stages
                    .add("fetch", start.elapsed(), 1, bytes.len() as u64);
                Ok(Ok(bytes))
            }
            // Not this image's fault: another try may find the store well.
            Err(error) if error.class() != FailureClass::InvalidInput => Err(error.into()),
            Err(error) => Ok(Err(BadImage {
                uri: uri.to_owned(),
                class: error.word().into(),
                reason: one_line(&error),
            })),
        }
    }

    fn locate(&self, uri: &str) -> Result<(Store, String), TaskError> {
        Ok(self.attempt.stores.locate(uri)?)
    }
}

pub fn bad_image(uri: &str, error: &VisionError) -> BadImage {
    BadImage {
        uri: uri.to_owned(),
        class: error.word().into(),
        reason: one_line(error),
    }
}

/// One message for all of them: the first ten and how many there are.
pub fn describe_all(what: &str, bad: &[BadImage]) -> TaskError {
    let mut all = BadImages::default();
    bad.iter().for_each(|image| all.add(|| image.describe()));
    TaskError::BadImages(all.describe(what))
}

/// Images that cannot be used: how many, and the first of them.
#[derive(Debug, Clone, Default)]
pub struct BadImages {
    pub count: u64,
    named: Vec<String>,
}

impl BadImages {
    const NAMED: usize = 10;

    pub fn add(&mut self, describe: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < Self::NAMED {
            self.named.push(describe());
        }
    }

    /// One of them with its reason.
    pub fn first(&self) -> Option<&str> {
        self.named.first().map(String::as_str)
    }

    /// `what` they are, such as those of a split; nothing of it is empty.
    pub fn describe(&self, what: &str) -> String {
        let rest = self.count - self.named.len() as u64;
        let more = if rest > 0 {
            format!("; and {rest} more")
        } else {
            String::new()
        };
        let noun = if self.count == 1 { "image" } else { "images" };
        let nouns = [what, noun].into_iter().filter(|noun| !noun.is_empty());
        let nouns: Vec<&str> = nouns.collect();
        let (nouns, named) = (nouns.join(" "), self.named.join("; "));
        format!("{} {nouns} cannot be used: {named}{more}", self.count)
    }
}
