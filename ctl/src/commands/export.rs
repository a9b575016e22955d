//! `ctl export`: a trained model as files that other programs read, in a folder of this machine.

use std::path::{Path, PathBuf};

use job::resolved::ExportEngine;
use proto::v1::{GetJobRequest, Job, ListModelsRequest};
use serde_json::json;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

use super::describe::Named;
use super::run::submit;
use crate::cluster::{Cluster, WorkerOptions};
use crate::job_file::{self, ReadJob, assignment, print_warnings};
use crate::rows::Results;
use crate::watch::{Follow, Signals, follow};
use crate::{Common, Error, client, output, places, resume, target};

#[derive(clap::Args)]
pub struct Args {
    /// Name of a trained model, its newest version, or NAME@VERSION; or the path of a package.json
    #[arg(value_name = "MODEL", add = crate::completion::models())]
    model: String,
    /// Whose files: ONNX, OpenVINO's IR, or TorchScript
    #[arg(long, value_name = "ENGINE", value_parser = engine)]
    engine: ExportEngine,
    /// Folder that the files are copied to [default: MODEL-ENGINE]
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Store the network's weights in half precision; what the model has learned keeps its digits
    #[arg(long)]
    fp16: bool,
    /// Take images of any size and resize them in the file, for Anomalib's OpenVINOInferencer: scores are others than a job's
    #[arg(long)]
    anomalib: bool,
    /// Folder or URI of the store that the job works in, and that has a MODEL which is named [default: the store of the named model that was made last; ./results for a path]
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// Another key of the job, such as resources.pool=night
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

fn engine(text: &str) -> Result<ExportEngine, String> {
    let words = ExportEngine::ALL.map(ExportEngine::as_str);
    ExportEngine::parse(text).ok_or_else(|| format!("expected one of {}", words.join(", ")))
}

/// What is exported, as the job has it.
struct Source {
    /// Of the job, and of the folder.
    name: String,
    package: String,
    store: Option<String>,
}

impl Args {
    fn is_path(&self) -> bool {
        self.model.contains('/') || self.model.ends_with(".json")
    }

    async fn source(&self, client: &mut client::Client) -> Result<Source, Error> {
        if self.is_path() {
            return Ok(Source {
                name: "export".to_owned(),
                package: self.model.clone(),
                store: self.store.clone(),
            });
        }
        let named = Named::parse(&self.model)?;
        if self.store.is_some() {
            return Ok(Source {
                name: named.name,
                package: self.model.clone(),
                store: self.store.clone(),
            });
        }
        let models = client.list_models(ListModelsRequest {}).await?;
        let models = models.into_inner().models;
        let model = named.find(&models)?;
        let inside = format!("/jobs/{}/", model.job);
        let store = model.package.split_once(&inside).map(|(store, _)| store);
        Ok(Source {
            name: model.name.clone(),
            package: format!("{}@{}", model.name, model.version),
            store: store.map(str::to_owned),
        })
    }

    /// The job file that one would write for it.
    fn job(&self, source: &Source) -> Result<ReadJob, Error> {
        let mut job = json!({
            "kind": "export",
            "name": source.name,
            "model": {"package": source.package},
            "export": {"engine": self.engine.as_str(), "compress_to_fp16": self.fp16, "anomalib": self.anomalib},
        });
        if let Some(store) = &source.store {
            job["output"] = store.as_str().into();
        }
        job_file::read_made(job::yaml(&job), &self.set)
    }

    fn folder(&self, source: &Source, engine: ExportEngine) -> PathBuf {
        let standard = || PathBuf::from(format!("{}-{}", source.name, engine.as_str()));
        self.to.clone().unwrap_or_else(standard)
    }

    /// What to type to do it again.
    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = ["export", &self.model, "--engine", self.engine.as_str()]
            .map(str::to_owned)
            .into();
        for (flag, given) in [("--fp16", self.fp16), ("--anomalib", self.anomalib)] {
            words.extend(given.then(|| flag.to_owned()));
        }
        let to = self.to.as_ref().map(|to| to.display().to_string());
        for (flag, value) in [("--to", to), ("--store", self.store.clone())] {
            words.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
        }
        for (key, value) in &self.set {
            words.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        words
    }
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let words = args.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let anew = resume::command(common, &words);
    let early = format!("`{anew}` begins it anew");
    let place = places::coordinator(common)?;
    let mut cluster = signals
        .or(&early, Cluster::open(&place, common.config()))
        .await?;
    let result = async {
        let source = cluster
            .insist(async |cluster| args.source(&mut cluster.client).await)
            .await?;
        let read = args.job(&source)?;
        // It may be set besides.
        let export = read.reading.job.export.as_ref();
        let engine = export.map_or(args.engine, |export| export.engine);
        let folder = args.folder(&source, engine);
        let asked = Exported {
            engine: engine.as_str().to_owned(),
            package: (!args.is_path()).then(|| source.name.clone()),
        };
        prepare(&folder, &asked).await?;
        print_warnings(&read.reading);
        read.check_output()?;
        let pool = read.reading.job.resources.pool.to_string();
        let worker = WorkerOptions { pool, slots: 1 };
        let begin = async {
            cluster
                .insist(async |cluster| cluster.ensure_worker(&worker).await)
                .await?;
            submit(&mut cluster, &read, None).await
        };
        let job = signals.or(&early, begin).await?.job;
        let about = Follow {
            place: &place,
            resume: resume::command(common, &["retry", &job, "--wait"]),
            anew: Some(anew),
            job,
            worker,
        };
        let job = follow(&mut cluster, &about, &mut signals).await?;
        if job.state != "succeeded" {
            return super::results::show_end(common, &mut cluster, &job).await;
        }
        super::results::warn(&job);
        let hint = format!(
            "job {} has ended: `ctl results {}` says where its files are",
            job.id, job.id
        );
        let brought = cluster.insist(async |cluster| bring(common, cluster, &job, &folder).await);
        signals
            .or(&hint, brought)
            .await
            .inspect_err(|_| eprintln!("{hint}"))
    }
    .await;
    cluster.close().await;
    result
}

/// Of which files a `metadata.json` stands beside.
#[derive(Debug, PartialEq, Eq)]
struct Exported {
    engine: String,
    /// The package's name; `None`: not known yet.
    package: Option<String>,
}

impl Exported {
    const FILE: &str = "metadata.json";

    /// `None`: it is no export of ours.
    fn parse(text: &[u8]) -> Option<Self> {
        let metadata: serde_json::Value = serde_json::from_slice(text).ok()?;
        let ours = metadata.get("nightshift")?;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        Some(Self {
            engine: text(&ours["engine"])?,
            package: Some(text(&ours["package"]["name"])?),
        })
    }

    /// Whether its files take the place of the other's, each of them.
    fn replaces(&self, other: &Self) -> bool {
        let same = |one: &Option<String>, other: &Option<String>| match (one, other) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        self.engine == other.engine && same(&self.package, &other.package)
    }
}

/// Fails if the folder holds another export, of which files would stay beside this one's.
async fn check_other(folder: &Path, asked: &Exported) -> Result<(), Error> {
    let path = folder.join(Exported::FILE);
    let text = match fs::read(&path).await {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Error::Read { path, source }),
    };
    let what = match Exported::parse(&text) {
        Some(found) if asked.replaces(&found) => return Ok(()),
        Some(Exported { engine, package }) => {
            let package = package.unwrap_or_default();
            format!("the files of {package} for {engine}")
        }
        None => format!("a {} of another program", Exported::FILE),
    };
    Err(Error::Usage(format!(
        "{} holds {what}, which would be mixed with these: name another folder (--to), or remove it",
        folder.display()
    )))
}

/// What can be known before the job runs: that its files may be put into the folder.
async fn prepare(folder: &Path, asked: &Exported) -> Result<(), Error> {
    target::check_is_folder(folder)?;
    check_other(folder, asked).await?;
    target::check_folder(folder).await
}

/// Copies the files of an export into a folder, and says so.
async fn bring(
    common: &Common,
    cluster: &mut Cluster,
    job: &Job,
    folder: &Path,
) -> Result<(), Error> {
    let request = GetJobRequest {
        job: job.id.clone(),
    };
    let job = cluster.client.get_job(request).await?.into_inner();
    let results = Results::find(&mut cluster.client, &job.id).await?;
    let results = results.ok_or_else(|| super::results::none_yet(&job))?;
    let failed = |path: PathBuf| move |source| Error::Write { path, source };
    fs::create_dir_all(folder)
        .await
        .map_err(failed(folder.to_owned()))?;
    let mut metadata = Vec::new();
    let mut pieces = results.open(&mut cluster.client, Exported::FILE).await?;
    while let Some(piece) = pieces.message().await? {
        metadata.extend(piece.data);
    }
    if let Some(exported) = Exported::parse(&metadata) {
        // Of a package that was named by its path only the job knows the name.
        check_other(folder, &exported).await?;
    }
    let mut files = Vec::new();
    for name in results.files() {
        let path = folder.join(name);
        // Never half a file under its name.
        let part = folder.join(format!(".{name}.part"));
        let mut file = File::create(&part).await.map_err(failed(part.clone()))?;
        let mut pieces = results.open(&mut cluster.client, name).await?;
        let mut size = 0;
        while let Some(piece) = pieces.message().await? {
            size += piece.data.len() as u64;
            file.write_all(&piece.data)
                .await
                .map_err(failed(part.clone()))?;
        }
        file.flush().await.map_err(failed(part.clone()))?;
        fs::rename(&part, &path)
            .await
            .map_err(failed(path.clone()))?;
        files.push((path.display().to_string(), size));
    }
    let listed: Vec<_> = files
        .iter()
        .map(|(path, size)| json!({"path": path, "size": size}))
        .collect();
    let value = json!({"job": job.id, "results": results.place(), "files": listed});
    common.output.print(&value, || {
        let mut table = output::Table::new(&["file", ">bytes"]);
        for (path, size) in &files {
            table.row([path.clone(), size.to_string()]);
        }
        table.render()
    })
}
