//! Images without labels: what is found at every place, each image once, in order of their addresses. Nothing of it is
//! held whole but the names in one archive: a million images pass through.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    ops::ControlFlow,
};

use archive::Refusal;
use data::{DataError, ListedAddress, Place, Split, Unlabelled};
use plan::FoundPackage;
use store::{Found as Listing, NoFile, ObjectInfo, Store, StoreError, Unusable};
use tables::{Micros, SampleRow};
use types::FailureClass;

use super::{
    Listed,
    addresses::{self, Addresses, Named},
    archives::Archives,
    known::{Known, Tables},
    labelled::suggest,
    left_out::LeftOut,
    milliseconds,
    spans::Spans,
};
use crate::{
    archived::{self, INSIDE},
    attempt::Attempt,
    error::TaskError,
    sorted::Sorter,
    tasks::names,
};

pub fn seal(
    attempt: &Attempt,
    images: &Unlabelled,
    packages: &[FoundPackage],
) -> Result<Listed, TaskError> {
    // What cannot be used is said before a million images are listed.
    let known = Tables::find(attempt, packages)?;
    let mut found = Found::new(attempt, images);
    let mut empty = Vec::new();
    for place in images.places() {
        attempt.check_cancelled()?;
        found.spans.begin();
        let before = (found.count, found.names);
        let place = as_it_stands(attempt, place)?;
        found.place(&place).map_err(with_glob)?;
        if (found.count, found.names) == before {
            let address = place.address();
            let hint = match *place {
                Place::Glob { .. } => GLOBS,
                _ => "",
            };
            empty.push(format!("there is no image to score at {address}{hint}"));
        }
    }
    found.spans.begin();
    for batch in addresses::of_job(attempt, images.listed()) {
        found.named(batch?)?;
    }
    found.spans.begin();
    found.archived()?;
    let (unopened, first) = found.archives.finish()?;
    found.left_out.archives(unopened, first);
    let mut table = attempt.begin_table::<SampleRow>(names::SAMPLES)?;
    let mut known = known.map(|tables| tables.read(&found.spans)).transpose()?;
    let (mut scored, mut last) = (0, None);
    for row in found.rows.finish()? {
        attempt.stages.pulse.beat();
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
        return Err(nothing(attempt, images, &found.left_out));
    }
    table.finish()?;
    let mut warnings = found.left_out.warnings();
    warnings.extend(empty);
    let (scored_before, damaged) = known.map(Known::finish).transpose()?.unzip();
    warnings.extend(damaged.into_iter().flatten());
    Ok(Listed {
        train: 0,
        scored,
        licences: Vec::new(),
        scored_before,
        warnings,
    })
}

/// Of a glob that found nothing.
const GLOBS: &str =
    " (a glob means images, those below a folder as `FOLDER/**`; `[[]` stands for a bracket)";

/// A folder or file may have a name like a glob: then it is meant.
fn as_it_stands<'a>(attempt: &Attempt, place: &'a Place) -> Result<Cow<'a, Place>, TaskError> {
    let Some(literal) = place.as_it_stands() else {
        return Ok(Cow::Borrowed(place));
    };
    match exists(attempt, literal.address()) {
        Ok(true) => Ok(Cow::Owned(literal)),
        Ok(false) => Ok(Cow::Borrowed(place)),
        // What cannot be an address, or may not be looked at.
        Err(error) if error.class() == FailureClass::InvalidInput => Ok(Cow::Borrowed(place)),
        Err(error) => Err(error.into()),
    }
}

/// A folder whose name is that of a file can be named by a glob alone.
fn with_glob(error: TaskError) -> TaskError {
    match error {
        TaskError::Store(StoreError::NotAFile {
            uri,
            what: NoFile::Folder,
        }) => TaskError::FolderPlace { uri },
        error => error,
    }
}

fn exists(attempt: &Attempt, address: &str) -> Result<bool, StoreError> {
    let (store, path) = attempt.stores.locate(address)?;
    match attempt.runtime.block_on(store.head(&path)) {
        Ok(_) => return Ok(true),
        // Whatever it is: it has this name.
        Err(StoreError::NotAFile { .. }) => return Ok(true),
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    if !store.is_remote() {
        return Ok(false);
    }
    let mut is_prefix = false;
    let first = |batch: Vec<ObjectInfo>| {
        is_prefix |= !batch.is_empty();
        ControlFlow::Break(())
    };
    attempt.runtime.block_on(store.list_each(&path, first))?;
    Ok(is_prefix)
}

/// A night without an image is more likely a wrong address, or a camera that is off, than a quiet night.
fn nothing(attempt: &Attempt, images: &Unlabelled, left_out: &LeftOut) -> TaskError {
    let left_out = left_out.all();
    match images.places() {
        [Place::Folder(folder)] if left_out.is_empty() => {
            let folder = folder.clone();
            let nearest = None;
            let error = match attempt.stores.open(&folder) {
                // A bucket has no empty folders.
                Ok(store) if store.is_remote() => DataError::EmptyFolder { folder, nearest },
                Ok(_) => DataError::NoFiles { folder },
                Err(_) => DataError::NoFolder { folder, nearest },
            };
            suggest(attempt, error)
        }
        places => {
            let addresses = places.iter().map(Place::address);
            let addresses: Vec<&str> = addresses
                .chain(images.listed().iter().map(ListedAddress::address))
                .collect();
            let has_glob = |place: &Place| matches!(place, Place::Glob { .. });
            let hint = if left_out.is_empty() && places.iter().any(has_glob) {
                GLOBS
            } else {
                ""
            };
            TaskError::NoImages {
                places: format!("{}{hint}", addresses.join(", ")),
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
    /// Images in archives that are named, in `entry` their names there.
    named: Sorter<SampleRow>,
    /// How many these are.
    names: u64,
    count: u64,
    /// Of their addresses.
    spans: Spans,
    archives: Archives<'a>,
    /// Of which images are named by places of their own, and which are there.
    seen: BTreeSet<String>,
    left_out: LeftOut,
}

impl<'a> Found<'a> {
    fn new(attempt: &'a Attempt, images: &'a Unlabelled) -> Self {
        Self {
            attempt,
            images,
            rows: Sorter::new(&attempt.scratch, "samples"),
            named: Sorter::new(&attempt.scratch, "named"),
            names: 0,
            count: 0,
            spans: Spans::default(),
            archives: Archives::new(attempt),
            seen: BTreeSet::new(),
            left_out: LeftOut::default(),
        }
    }

    fn place(&mut self, place: &Place) -> Result<(), TaskError> {
        match place {
            Place::Folder(address) if self.is_image(address)? => self.image(address),
            Place::Folder(folder) | Place::Glob { folder, .. } => self.folder(folder, place),
            Place::Image(address) => self.image(address),
            Place::Archive(address) => self.archive(address),
            Place::Archived { archive, entry } => {
                let (store, path) = self.attempt.stores.locate(archive)?;
                // Like an image that is named, it must be there.
                if self.seen.insert(archive.clone())
                    && let Err(error) = self.attempt.runtime.block_on(store.head(&path))
                {
                    return Err(
                        in_folder(self.attempt, (&store, &path), entry)?.unwrap_or(error.into())
                    );
                }
                self.name(&store.uri(&path), entry)
            }
            Place::List { address, format } => {
                let column = self.images.uri_column();
                self.listed(Addresses::open(self.attempt, address, *format, column)?)
            }
        }
    }

    /// Whether an address is that of an image whose ending only this job asks for, or that nothing here reads: it is named, so
    /// it becomes a row.
    fn is_image(&self, address: &str) -> Result<bool, TaskError> {
        if !self.images.names(address) && self.images.unread(address).is_none() {
            return Ok(false);
        }
        let (store, path) = self.attempt.stores.locate(address)?;
        match self.attempt.runtime.block_on(store.head(&path)) {
            Ok(_) => Ok(true),
            Err(error) if error.class() == FailureClass::InvalidInput => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn folder(&mut self, folder: &str, place: &Place) -> Result<(), TaskError> {
        let attempt = self.attempt;
        let store = match attempt.stores.open(folder) {
            Err(StoreError::NotFound { .. }) => return Ok(()),
            Err(error @ StoreError::InvalidUri { .. }) => {
                let (files, path) = attempt.stores.locate(folder)?;
                let is_file = files.local_path(&path).is_some_and(|path| path.is_file());
                return Err(match is_file {
                    true => TaskError::NoPlace {
                        uri: files.uri(&path),
                    },
                    false => error.into(),
                });
            }
            other => other?,
        };
        let (mut failed, mut archives) = (None, Vec::new());
        let each = |batch| match self.take(&store, folder, place, batch, &mut archives) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        };
        let of_place = place.clone();
        let enters = move |below: &str| of_place.enters(below);
        let walking = || attempt.runtime.block_on(store.walk("", enters, each));
        attempt.stages.time("list", 0, walking)?;
        failed.map_or(Ok(()), Err)?;
        archives.sort_unstable();
        archives
            .iter()
            .try_for_each(|archive| self.archive(archive))
    }

    /// Those of a listing that are wanted; archives that are to be opened are put aside.
    fn take(
        &mut self,
        store: &Store,
        folder: &str,
        place: &Place,
        batch: Vec<Listing>,
        archives: &mut Vec<String>,
    ) -> Result<(), TaskError> {
        self.attempt.check_cancelled()?;
        // Years of images that are left out are no standstill.
        self.attempt.stages.pulse.beat();
        let takes = |below: &str| place.takes(&format!("{folder}/{below}"));
        for found in batch {
            let info = match found {
                Listing::Object(info) => info,
                Listing::Unusable(Unusable { path: None, error })
                | Listing::Unreached(Unusable { path: None, error }) => {
                    self.left_out.unusable(&error);
                    continue;
                }
                Listing::Unreached(Unusable {
                    path: Some(below),
                    error,
                }) => {
                    let is_meant =
                        place.enters(&below) || (takes(&below) && self.reads(place, &below));
                    if is_meant && !data::is_hidden(&below) {
                        return Err(error.into());
                    }
                    continue;
                }
                Listing::Unusable(Unusable {
                    path: Some(below),
                    error,
                }) => {
                    if data::is_hidden(&below) {
                        continue;
                    }
                    if self.images.names(&below) && takes(&below) {
                        self.push(store, &unknown(below), 0)?;
                    } else if place.enters(&below) || takes(&below) {
                        self.left_out.unusable(&error);
                    }
                    continue;
                }
            };
            let below = &info.path;
            if data::is_hidden(below) || !takes(below) {
                continue;
            }
            let modified_ms = milliseconds(info.modified);
            if self.images.wants(below, info.size, modified_ms) {
                self.push(store, &info, modified_ms)?;
            } else if self.images.names(below) || self.images.is_other_image(below) {
                self.left_out.filtered();
            } else if let Some(ending) = self.images.unread(below) {
                self.left_out.unread(ending);
            } else if !data::is_archive(below) {
                self.left_out.other(|| store.uri(below));
            } else if place.opens_archives() {
                archives.push(store.uri(below));
            } else {
                self.archives.leave(store.uri(below))?;
            }
        }
        Ok(())
    }

    /// Whether an object of that name is more than counted: scored, a row with its error, or opened.
    fn reads(&self, place: &Place, below: &str) -> bool {
        let is_opened = place.opens_archives() && data::is_archive(below);
        is_opened || self.images.names(below) || self.images.unread(below).is_some()
    }

    /// An image that was named must be there.
    fn image(&mut self, address: &str) -> Result<(), TaskError> {
        let (store, path) = self.attempt.stores.locate(address)?;
        let info = self.attempt.runtime.block_on(store.head(&path))?;
        self.object(&store, &info)
    }

    /// All images in an archive; what of it is not read is told.
    fn archive(&mut self, address: &str) -> Result<(), TaskError> {
        self.attempt.check_cancelled()?;
        let images = self.images;
        let wants = |name: &str, size, modified_ms| images.wants(name, size, modified_ms);
        let opened = self.archives.open(address, &wants)?;
        self.left_out.entries(&opened.uri, &opened.listing.problems);
        for entry in &opened.listing.entries {
            let (name, modified_ms) = (&entry.name, opened.modified_ms(entry));
            if data::is_hidden(name) {
                continue;
            }
            if wants(name, entry.size, modified_ms) {
                let sample = archived::sample(&opened.uri, &opened.place(entry));
                self.push_archived(sample, &opened.info, modified_ms)?;
            } else if images.names(name) || images.is_other_image(name) {
                self.left_out.filtered();
            } else if let Some(ending) = images.unread(name) {
                self.left_out.unread(ending);
            } else {
                let uri = || format!("{}{INSIDE}{name}", opened.uri);
                match data::is_archive(name) {
                    true => self.left_out.nested(uri),
                    false => self.left_out.other(uri),
                }
            }
        }
        Ok(())
    }

    /// Keeps an image in an archive until all that are named of it are known.
    fn name(&mut self, archive: &str, entry: &str) -> Result<(), TaskError> {
        self.names += 1;
        self.named.push(SampleRow {
            uri: format!("{archive}{INSIDE}{entry}"),
            entry: Some(entry.to_owned()),
            ..SampleRow::default()
        })
    }

    /// Opens each archive once of which images are named.
    fn archived(&mut self) -> Result<(), TaskError> {
        let attempt = self.attempt;
        let none = Sorter::new(&attempt.scratch, "none");
        let named = std::mem::replace(&mut self.named, none).finish()?;
        let mut archive = String::new();
        let mut names = BTreeSet::new();
        for row in named {
            let row = row?;
            let entry = row.entry.unwrap_or_default();
            let end = row.uri.len() - entry.len() - INSIDE.len();
            if row.uri[..end] != archive {
                self.named_of(&archive, &names)?;
                names.clear();
                row.uri[..end].clone_into(&mut archive);
            }
            names.insert(entry);
        }
        self.named_of(&archive, &names)
    }

    /// Those that are not to be had are rows that say why.
    fn named_of(&mut self, archive: &str, names: &BTreeSet<String>) -> Result<(), TaskError> {
        if names.is_empty() {
            return Ok(());
        }
        self.attempt.check_cancelled()?;
        let images = self.images;
        let wants = |name: &str, size, modified_ms| {
            names.contains(name) && images.wants_file(size, modified_ms)
        };
        let opened = match self.archives.open(archive, &wants) {
            Ok(opened) => opened,
            Err(error) => {
                let mut why = archived::unreadable(error)?;
                let (store, path) = self.attempt.stores.locate(archive)?;
                if let Some(first) = names.first()
                    && let Some(error) = in_folder(self.attempt, (&store, &path), first)?
                {
                    why.why = error.to_string();
                }
                let head = self.attempt.runtime.block_on(store.head(&path));
                // An archive that has changed is tried again by an incremental job.
                let info = head.unwrap_or_else(|_| unknown(path));
                return names.iter().try_for_each(|name| {
                    let sample = archived::refused(archive, name, why.clone());
                    self.push_archived(sample, &info, 0)
                });
            }
        };
        let listing = &opened.listing;
        let entries = listing.entries.iter().map(|entry| (&*entry.name, entry));
        let entries: HashMap<&str, &archive::Entry> = entries.collect();
        let problems = listing.problems.iter();
        let problems: HashMap<String, &Refusal> = problems
            .map(|problem| (normal(&problem.entry), &problem.refusal))
            .collect();
        for name in names {
            let Some(entry) = entries.get(name.as_str()) else {
                let refusal = problems.get(name).copied().unwrap_or(&Refusal::Missing);
                let sample = archived::refused(&opened.uri, name, refusal.into());
                self.push_archived(sample, &opened.info, 0)?;
                continue;
            };
            let modified_ms = opened.modified_ms(entry);
            if wants(name, entry.size, modified_ms) {
                let sample = archived::sample(&opened.uri, &opened.place(entry));
                self.push_archived(sample, &opened.info, modified_ms)?;
            } else {
                self.left_out.filtered();
            }
        }
        Ok(())
    }

    fn push_archived(
        &mut self,
        sample: SampleRow,
        archive: &ObjectInfo,
        modified_ms: i64,
    ) -> Result<(), TaskError> {
        self.push_row(SampleRow {
            etag: archive.etag.clone(),
            modified: Micros(modified_ms.saturating_mul(1000)),
            ..sample
        })
    }

    /// Images of a list; what is not there, or cannot be asked for, is found out when it is read, and becomes a row.
    fn listed(&mut self, mut addresses: Addresses<'_>) -> Result<(), TaskError> {
        while let Some(batch) = addresses.next_batch()? {
            self.named(batch)?;
        }
        if let Some(warning) = addresses.warning() {
            self.left_out.line(warning);
        }
        Ok(())
    }

    fn named(&mut self, batch: Vec<Named>) -> Result<(), TaskError> {
        self.attempt.check_cancelled()?;
        for named in batch {
            match named {
                Named::Object {
                    store,
                    info: Some(info),
                    ..
                } => self.object(&store, &info)?,
                Named::Object {
                    store,
                    path,
                    info: None,
                } => self.push(&store, &unknown(path), 0)?,
                Named::Archived { archive, entry } => self.name(&archive, &entry)?,
            }
        }
        Ok(())
    }

    /// One that was named.
    fn object(&mut self, store: &Store, info: &ObjectInfo) -> Result<(), TaskError> {
        let modified_ms = milliseconds(info.modified);
        if self.images.wants_file(info.size, modified_ms) {
            self.push(store, info, modified_ms)?;
        } else {
            self.left_out.filtered();
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
        self.spans.add(&row.uri);
        self.rows.push(SampleRow {
            split: Split::Test.as_str().to_owned(),
            label: Unlabelled::LABEL.to_owned(),
            ..row
        })
    }
}

/// What is said of an archive that is not there, where a folder has the name that stands before the entry.
fn in_folder(
    attempt: &Attempt,
    (store, archive): (&Store, &str),
    entry: &str,
) -> Result<Option<TaskError>, StoreError> {
    let head = |path: &str| match attempt.runtime.block_on(store.head(path)) {
        Ok(_) => Ok(true),
        Err(error) if error.class() == FailureClass::InvalidInput => Ok(false),
        Err(error) => Err(error),
    };
    let image = format!("{archive}{INSIDE}{entry}");
    let is_meant = !head(archive)? && head(&image)?;
    Ok(is_meant.then(|| TaskError::NoArchive {
        archive: store.uri(archive),
        image: store.uri(&image),
    }))
}

/// A name as those of entries are; of what is refused it may be any.
fn normal(name: &str) -> String {
    let parts = name.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.collect::<Vec<_>>().join("/")
}

/// Of an object of which nothing is known but where it should be.
fn unknown(path: String) -> ObjectInfo {
    ObjectInfo {
        path,
        etag: String::new(),
        size: 0,
        modified: std::time::SystemTime::UNIX_EPOCH,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, sync::Arc};

    use data::Data;
    use job::{ReadContext, Timestamp};
    use plan::Assignment;
    use types::{AttemptPrefix, Device, JobId, LeaseNumber, TaskId, TaskIndex};

    use super::*;

    /// An attempt at the listing of these places.
    fn attempt(folder: &Path, places: &str, runtime: &tokio::runtime::Runtime) -> Attempt {
        let yaml = format!(
            "kind: predict\nmodel: {{package: '{0}/model/package.json'}}\ndata: {places}\noutput: '{0}/out'\n",
            folder.display()
        );
        let context = ReadContext {
            current_dir: folder,
            now: Timestamp::UNIX_EPOCH,
        };
        let resolved = job::read(&yaml, "job.yaml", &[], &context).expect("a valid job");
        let resolved = resolved.job;
        let plan = plan::plan(&resolved);
        let prefix = AttemptPrefix {
            task: TaskId {
                job: "testjob1".parse::<JobId>().expect("a job id"),
                index: TaskIndex(0),
            },
            lease: LeaseNumber(1),
            nonce: 0xabcd,
        };
        let assignment = Assignment {
            task: prefix.task.clone(),
            lease: prefix.lease,
            attempt: 1,
            job_name: resolved.name.clone(),
            store: resolved.output.clone(),
            prefix: prefix.path(),
            spec: plan.tasks[0].spec.clone(),
            runs: plan.runs,
            engine: resolved.resources.engine,
            resources: resolved.resources,
            inputs: Vec::new(),
            rethresholded: false,
            confined: false,
            skipped: None,
            trace: None,
        };
        Attempt::open(
            assignment,
            store::Stores::default(),
            folder.join("scratch"),
            1,
            Device::Cpu,
            runtime.handle().clone(),
            Arc::default(),
        )
        .expect("an attempt")
    }

    /// How often the pulse beats while what lies there is listed, of which nothing is wanted.
    fn beats(folder: &Path, places: &str) -> u64 {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let attempt = attempt(folder, places, &runtime);
        let spec = &attempt.run().expect("one run").spec.data;
        let data = data::build(&spec.class_path, &spec.init_args).expect("what the job asks for");
        let Data::Unlabelled(images) = data else {
            panic!("the data has no labels");
        };
        let before = attempt.stages.pulse.beats();
        let sealed = seal(&attempt, &images, &[]);
        assert!(sealed.is_err());
        attempt.stages.pulse.beats() - before
    }

    #[test]
    fn a_listing_that_finds_nothing_that_is_wanted_goes_on_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("old")).unwrap();
        for index in 0..2500 {
            fs::write(data.join(format!("old/{index}.png")), "").unwrap();
        }
        let old = format!(
            "{{class_path: PredictDataset, init_args: {{path: '{}', modified_since: 2099-01-01}}}}",
            data.display()
        );
        // Each page of a thousand, besides the one at the end of the walk.
        assert!(beats(folder.path(), &old) >= 4);

        fs::remove_dir_all(data.join("old")).unwrap();
        for index in 0..2500 {
            fs::create_dir_all(data.join(format!("empty/{index}"))).unwrap();
        }
        assert!(beats(folder.path(), &old) >= 4);

        let mut tar = tar::Builder::new(Vec::new());
        for index in 0..100 {
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("{index}.txt"), &b"old"[..])
                .unwrap();
        }
        let tar = tar.into_inner().unwrap();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, &tar).unwrap();
        fs::write(data.join("plain.tar"), tar).unwrap();
        fs::write(data.join("packed.tar.gz"), packed.finish().unwrap()).unwrap();
        for (archive, least) in [("plain.tar", 2), ("packed.tar.gz", 100)] {
            let place = format!("'{}'", data.join(archive).display());
            assert!(beats(folder.path(), &place) >= least, "{archive}");
        }
    }
}
