//! `ctl weights`: the folder of pretrained backbones.

use std::path::PathBuf;

use serde_json::{Value, json};
use weights::{Import, WeightsError, WeightsFolder};

use crate::output::Table;
use crate::{Common, Error, places};

#[derive(clap::Subcommand)]
pub enum Args {
    /// Convert a weight file (safetensors, .pth) and put it into the folder; nothing in the file is executed
    Import(ImportArgs),
    /// Known backbones and what the folder has of them
    List,
    /// Read every file of the folder and compare digests, names and shapes
    Check,
}

#[derive(clap::Args)]
pub struct ImportArgs {
    /// safetensors, or .pth of either kind (zip or legacy)
    file: PathBuf,
    /// Whose weights these are, such as mobilenet_v2
    #[arg(long)]
    backbone: String,
    /// Licence of the weights; recorded with everything made from them
    #[arg(long)]
    licence: Option<String>,
    /// Where the file is from
    #[arg(long)]
    source: Option<String>,
    /// Anything worth keeping
    #[arg(long, default_value = "")]
    notes: String,
}

pub fn run(common: &Common, args: Args) -> Result<(), Error> {
    let folder = WeightsFolder::new(places::weights_folder()?);
    match args {
        Args::Import(args) => import(common, &folder, &args),
        Args::List => list(common, &folder),
        Args::Check => check(common, &folder),
    }
}

fn import(common: &Common, folder: &WeightsFolder, args: &ImportArgs) -> Result<(), Error> {
    if let Err(error @ models::ModelError::BackboneNotBuilt { .. }) =
        models::backbones::find(&args.backbone)
    {
        return Err(Error::Usage(error.to_string()));
    }
    let expected = expected(&args.backbone);
    let import = Import {
        file: &args.file,
        backbone: &args.backbone,
        licence: args.licence.as_deref(),
        source: args.source.as_deref(),
        notes: &args.notes,
        expected: &expected,
    };
    let sidecar = weights::import(folder, &import).map_err(user_error)?;
    let path = folder.path(&args.backbone).map_err(user_error)?;
    let value = json!({"backbone": sidecar.backbone, "path": path, "licence": sidecar.licence, "source": sidecar.source, "sha256": sidecar.sha256});
    common.output.print(&value, || {
        format!(
            "{}: imported into {} (licence: {})",
            sidecar.backbone,
            path.display(),
            sidecar.licence
        )
    })
}

/// Every backbone as `ctl doctor` and `list` show it.
pub fn listing(folder: &WeightsFolder) -> Vec<Value> {
    folder
        .list()
        .into_iter()
        .map(|listed| {
            let sidecar = listed.sidecar.as_ref();
            json!({
                "backbone": listed.backbone, "path": listed.path, "bytes": listed.bytes, "licence": sidecar.map(|sidecar| &sidecar.licence),
                "source": sidecar.map(|sidecar| &sidecar.source), "sha256": sidecar.map(|sidecar| &sidecar.sha256),
            })
        })
        .collect()
}

/// As [`listing`], and for every file what is wrong with it, if anything: digest, names, shapes.
pub fn checked(folder: &WeightsFolder) -> Vec<Value> {
    let findings = folder.check(expected);
    let mut listing = listing(folder);
    for weights in &mut listing {
        let problem = findings
            .iter()
            .find(|finding| weights["backbone"] == finding.backbone)
            .and_then(|finding| finding.problem.as_ref());
        weights["problem"] = problem.map(chain).into();
    }
    listing
}

/// An error with its causes.
fn chain(error: &WeightsError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn list(common: &Common, folder: &WeightsFolder) -> Result<(), Error> {
    let listing = listing(folder);
    common.output.print(
        &json!({"folder": folder.root(), "weights": listing}),
        || {
            let mut table = Table::new(&["backbone", "state", ">mb", "licence", "source"]);
            for weights in &listing {
                let text = |key: &str| weights[key].as_str().unwrap_or("-").to_owned();
                let there = weights["path"].is_string();
                let megabytes = weights["bytes"]
                    .as_u64()
                    .map_or(0.0, |bytes| bytes as f64 / 1e6);
                table.row([
                    text("backbone"),
                    if there { "here" } else { "missing" }.to_owned(),
                    if there {
                        format!("{megabytes:.1}")
                    } else {
                        String::new()
                    },
                    text("licence"),
                    text("source"),
                ]);
            }
            format!("{}\n\nFolder: {}", table.render(), folder.root().display())
        },
    )
}

fn check(common: &Common, folder: &WeightsFolder) -> Result<(), Error> {
    let findings = folder.check(expected);
    let value: Vec<Value> = findings
        .iter()
        .map(|finding| json!({"backbone": finding.backbone, "path": finding.path, "tensors": finding.tensors, "problem": finding.problem.as_ref().map(chain)}))
        .collect();
    common.output.print(&Value::Array(value), || {
        if findings.is_empty() {
            return format!(
                "no weights in {}; `ctl weights import FILE --backbone NAME` brings some",
                folder.root().display()
            );
        }
        let mut table = Table::new(&["weights", ">tensors", "verdict"]);
        for finding in &findings {
            table.row([
                finding.backbone.to_owned(),
                finding.tensors.to_string(),
                finding
                    .problem
                    .as_ref()
                    .map_or_else(|| "whole".to_owned(), chain),
            ]);
        }
        table.render()
    })?;
    match findings
        .iter()
        .filter(|finding| finding.problem.is_some())
        .count()
    {
        0 => Ok(()),
        count => Err(Error::Usage(format!(
            "{count} of {} weight files cannot be used; import them again",
            findings.len()
        ))),
    }
}

/// Tensors and shapes that a backbone must have.
fn expected(backbone: &str) -> Vec<(String, Vec<usize>)> {
    // An unknown backbone is refused by the import itself, which names those that it knows.
    models::backbones::find(backbone)
        .map(|architecture| architecture.tensors())
        .unwrap_or_default()
}

fn user_error(error: WeightsError) -> Error {
    let denied = |source: &std::io::Error| source.kind() == std::io::ErrorKind::PermissionDenied;
    match error {
        WeightsError::Io {
            what: "read",
            path,
            source,
        } => Error::Read { path, source },
        WeightsError::Io { path, source, .. } if denied(&source) => Error::Write { path, source },
        WeightsError::Io { path, source, .. } => Error::Write { path, source },
        error => Error::Usage(chain(&error)),
    }
}
