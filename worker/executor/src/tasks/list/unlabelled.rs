//! Images without labels: what is found at every place, each image once, in order of their addresses. Nothing of it is
//! held whole: a million of them pass through.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufWriter, Write},
    ops::ControlFlow,
    sync::Arc,
};

use data::{DataError, Place, Split, Unlabelled};
use plan::FoundPackage;
use store::{ObjectInfo, Store, StoreError};
use tables::{Micros, RangesReader, SampleRow};

use super::{Listed, addresses::Addresses, known::Known, labelled::suggest, milliseconds};
use crate::{
    archived::{self, Archived},
    attempt::Attempt,
    error::TaskError,
    object_file::ObjectFile,
    sorted::Sorter,
    tasks::names,
};

pub fn seal(
    attempt: &Attempt,
    images: &Unlabelled,
    packages: &[FoundPackage],
) -> Result<Listed, TaskError> {
    // What cannot be used is said before a million images are listed.
    let mut known = Known::open(attempt, packages)?;
    let mut found = Found {
        attempt,
        images,
        rows: Sorter::new(&attempt.scratch),
        count: 0,
        archives: 0,
        unread: BTreeMap::new(),
    };
    let (mut warnings, mut empty) = (Vec::new(), Vec::new());
    let mut archives = archives(images);
    for place in images.places() {
        attempt.check_cancelled()?;
        let before = found.count;
        match place {
            Place::Archived { archive, .. } => {
                // The first of an archive's images brings all that are named of it.
                let Some(named) = archives.remove(archive.as_str()) else {
                    continue;
                };
                let there = found.archive(archive, Some(&named), &mut warnings)?;
                if there < named.len() as u64 {
                    let missing = named.len() as u64 - there;
                    warnings.push(format!(
                        "of the images named in {archive} {missing} are not in it"
                    ));
                }
                continue;
            }
            Place::Folder(folder) | Place::Glob { folder, .. } => found.folder(folder, place)?,
            Place::Image(address) => found.image(address)?,
            Place::Archive(address) => {
                found.archive(address, None, &mut warnings)?;
            }
            Place::List { address, format } => {
                found.listed(Addresses::open(
                    attempt,
                    address,
                    *format,
                    images.uri_column(),
                )?)?;
            }
        }
        if found.count == before {
            empty.push(format!("there is no image to score at {}", place.address()));
        }
    }
    for (ending, count) in &found.unread {
        warnings.push(format!(
            "{count} images are left out: {ending} is not read here; with `extensions: [{ending}, ...]` each is a row with that error"
        ));
    }
    let mut table = attempt.begin_table::<SampleRow>(names::SAMPLES)?;
    let (mut scored, mut last) = (0, None);
    for row in found.rows.finish()? {
        let row = row?;
        // Found at two places: the same image all the same.
        if last.as_ref() != Some(&row.uri) {
            last = Some(row.uri.clone());
            if let Some(known) = &mut known
                && known.has(&row)?
            {
                continue;
            }
            table.push(SampleRow {
                sample: scored,
                ..row
            })?;
            scored += 1;
        }
    }
    if last.is_none() {
        return Err(nothing(attempt, images, warnings));
    }
    table.finish()?;
    warnings.extend(empty);
    Ok(Listed {
        train: 0,
        scored,
        licences: Vec::new(),
        scored_before: known.map(Known::finish).transpose()?,
        warnings,
    })
}

/// The images that are named one by one, by their archives.
fn archives(images: &Unlabelled) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut archives: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for place in images.places() {
        if let Place::Archived { archive, entry } = place {
            archives.entry(archive).or_default().insert(entry);
        }
    }
    archives
}

/// A night without an image is more likely a wrong address, or a camera that is off, than a quiet night.
fn nothing(attempt: &Attempt, images: &Unlabelled, left_out: Vec<String>) -> TaskError {
    match images.places() {
        [Place::Folder(folder)] if left_out.is_empty() => {
            let folder = folder.clone();
            let error = DataError::EmptyFolder {
                folder,
                nearest: None,
            };
            suggest(attempt, error)
        }
        places => {
            let places: Vec<&str> = places.iter().map(Place::address).collect();
            TaskError::NoImages {
                places: places.join(", "),
                left_out,
            }
        }
    }
}

/// Images on their way into the table.
struct Found<'a> {
    attempt: &'a Attempt,
    images: &'a Unlabelled,
    rows: Sorter<SampleRow>,
    count: u64,
    /// That were unpacked.
    archives: u32,
    /// How many images were left out that nothing here reads, by their endings.
    unread: BTreeMap<&'static str, u64>,
}

impl Found<'_> {
    fn folder(&mut self, folder: &str, place: &Place) -> Result<(), TaskError> {
        let attempt = self.attempt;
        let store = match attempt.stores.open(folder) {
            Err(StoreError::NotFound { .. }) => return Ok(()),
            other => other?,
        };
        let mut failed = None;
        let each = |batch: Vec<ObjectInfo>| match self.take(&store, folder, place, batch) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        };
        let listing = || attempt.runtime.block_on(store.list_each("", each));
        attempt.stages.time("list", 0, listing)?;
        failed.map_or(Ok(()), Err)
    }

    /// Those of a listing that are wanted.
    fn take(
        &mut self,
        store: &Store,
        folder: &str,
        place: &Place,
        batch: Vec<ObjectInfo>,
    ) -> Result<(), TaskError> {
        self.attempt.check_cancelled()?;
        for info in batch {
            let modified_ms = milliseconds(info.modified);
            let takes = || place.takes(&format!("{folder}/{}", info.path));
            if self.images.wants(&info.path, info.size, modified_ms) {
                if takes() {
                    self.push(store, &info, modified_ms)?;
                }
            } else if let Some(ending) = self.images.unread(&info.path)
                && takes()
            {
                *self.unread.entry(ending).or_default() += 1;
            }
        }
        Ok(())
    }

    /// An image that was named must be there.
    fn image(&mut self, address: &str) -> Result<(), TaskError> {
        let (store, path) = self.attempt.stores.locate(address)?;
        let info = self.attempt.runtime.block_on(store.head(&path))?;
        self.named(&store, &info)
    }

    /// Images in an archive, those with these names or else all, and how many they are; what of it is not read is told.
    fn archive(
        &mut self,
        address: &str,
        named: Option<&BTreeSet<&str>>,
        warnings: &mut Vec<String>,
    ) -> Result<u64, TaskError> {
        let before = self.count;
        let (store, path) = self.attempt.stores.locate(address)?;
        let info = self.attempt.runtime.block_on(store.head(&path))?;
        let file = ObjectFile::known(self.attempt, store.clone(), path, &info.etag, info.size);
        let left_out = match archive::Kind::of_name(address) {
            Some(archive::Kind::InPlace(format)) => {
                self.in_place(&store, &info, &file, format, named)?
            }
            Some(archive::Kind::Stream) => self.unpacked(&store, &info, file, named)?,
            None => {
                let reason = format!("{address} is no archive");
                return Err(TaskError::Assignment(reason));
            }
        };
        if let ([first, ..], None) = (&left_out[..], named) {
            let (count, refusal) = (left_out.len(), &first.refusal);
            warnings.push(format!(
                "{address}: {count} entries are left out, such as {}: {refusal}",
                first.entry
            ));
        }
        Ok(self.count - before)
    }

    fn wants_entry(
        &mut self,
        named: Option<&BTreeSet<&str>>,
        name: &str,
        size: u64,
        modified_ms: i64,
    ) -> bool {
        match named {
            Some(named) => named.contains(name) && self.images.wants_file(size, modified_ms),
            None => {
                if let Some(ending) = self.images.unread(name) {
                    *self.unread.entry(ending).or_default() += 1;
                }
                self.images.wants(name, size, modified_ms)
            }
        }
    }

    fn in_place(
        &mut self,
        store: &Store,
        info: &ObjectInfo,
        file: &ObjectFile,
        format: archive::Format,
        named: Option<&BTreeSet<&str>>,
    ) -> Result<Vec<archive::Problem>, TaskError> {
        let uri = store.uri(&info.path);
        let limits = archive::Limits::default();
        let listing = || archive::list(&uri, file, format, &limits);
        let listing = self.attempt.stages.time("list", 0, listing);
        let listing = listing.map_err(TaskError::Archive)?;
        for entry in &listing.entries {
            let modified_ms = modified_ms(entry.modified, info);
            if self.wants_entry(named, &entry.name, entry.size, modified_ms) {
                let archived = Archived::in_place(entry, info.size);
                self.push_archived(&uri, info, &archived, modified_ms)?;
            }
        }
        Ok(listing.problems)
    }

    /// Has its images written one after the other into an object of the attempt.
    fn unpacked(
        &mut self,
        store: &Store,
        info: &ObjectInfo,
        file: ObjectFile,
        named: Option<&BTreeSet<&str>>,
    ) -> Result<Vec<archive::Problem>, TaskError> {
        let attempt = self.attempt;
        let uri = store.uri(&info.path);
        let name = format!("{}-{}", names::UNPACKED, self.archives);
        self.archives += 1;
        let scratch = attempt.scratch.join(&name);
        let failed = || TaskError::scratch(&scratch);
        let mut unpacked = BufWriter::new(File::create(&scratch).map_err(failed())?);
        let packed = RangesReader(Arc::new(file)).stream(0);
        let limits = archive::Limits::default();
        let (mut offset, mut left_out) = (0, Vec::new());
        for file in archive::TarGz::new(&uri, packed, limits) {
            attempt.check_cancelled()?;
            let file = match file.map_err(TaskError::Archive)? {
                Ok(file) => file,
                Err(problem) => {
                    left_out.push(problem);
                    continue;
                }
            };
            let (size, modified_ms) = (file.bytes.len() as u64, modified_ms(file.modified, info));
            if self.wants_entry(named, &file.name, size, modified_ms) {
                unpacked.write_all(&file.bytes).map_err(failed())?;
                let path = attempt.writer.path(&name);
                let archived = Archived::unpacked(file.name, path, offset, size);
                self.push_archived(&uri, info, &archived, modified_ms)?;
                offset += size;
            }
        }
        let flushed = unpacked.into_inner();
        flushed.map_err(|error| TaskError::scratch(&scratch)(error.into_error()))?;
        attempt.put_file(&name, &scratch, None)?;
        Ok(left_out)
    }

    fn push_archived(
        &mut self,
        uri: &str,
        info: &ObjectInfo,
        archived: &Archived,
        modified_ms: i64,
    ) -> Result<(), TaskError> {
        self.push_row(SampleRow {
            etag: info.etag.clone(),
            modified: Micros(modified_ms.saturating_mul(1000)),
            ..archived::sample(uri, archived)
        })
    }

    /// Images of a list; what is not there, or cannot be asked for, is found out when it is read, and becomes a row.
    fn listed(&mut self, mut addresses: Addresses<'_>) -> Result<(), TaskError> {
        while let Some(batch) = addresses.next_batch()? {
            self.attempt.check_cancelled()?;
            for listed in batch {
                match listed.info {
                    Some(info) => self.named(&listed.store, &info)?,
                    None => {
                        let info = ObjectInfo {
                            path: listed.path,
                            etag: String::new(),
                            size: 0,
                            modified: std::time::SystemTime::UNIX_EPOCH,
                        };
                        self.push(&listed.store, &info, 0)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn named(&mut self, store: &Store, info: &ObjectInfo) -> Result<(), TaskError> {
        let modified_ms = milliseconds(info.modified);
        if self.images.wants_file(info.size, modified_ms) {
            self.push(store, info, modified_ms)?;
        }
        Ok(())
    }

    fn push(
        &mut self,
        store: &Store,
        info: &ObjectInfo,
        modified_ms: i64,
    ) -> Result<(), TaskError> {
        self.push_row(SampleRow {
            uri: store.uri(&info.path),
            etag: info.etag.clone(),
            size: info.size,
            modified: Micros(modified_ms.saturating_mul(1000)),
            ..SampleRow::default()
        })
    }

    fn push_row(&mut self, row: SampleRow) -> Result<(), TaskError> {
        self.count += 1;
        self.attempt.stages.set_done(self.count);
        self.rows.push(SampleRow {
            split: Split::Test.as_str().to_owned(),
            label: Unlabelled::LABEL.to_owned(),
            ..row
        })
    }
}

/// Of an entry, or of its archive where it has none.
fn modified_ms(seconds: Option<i64>, archive: &ObjectInfo) -> i64 {
    match seconds {
        Some(seconds) => seconds.saturating_mul(1000),
        None => milliseconds(archive.modified),
    }
}
