//! `ctl render`: pictures of the images with the highest scores, in a folder of this machine.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tables::{RenderRow, ScoreRow};
use tokio::fs;

use super::results::highest;
use crate::drawing::{Drawn, MOST, Studio, UNSCORED};
use crate::output::Table;
use crate::scored_run::ScoredRun;
use crate::{Common, Error};

#[derive(clap::Args)]
pub struct Args {
    /// Id of a job, a unique prefix of it, its key, or `last`; one run of several as JOB/RUN
    #[arg(value_name = "JOB", add = crate::completion::jobs())]
    job: String,
    /// How many images, those with the highest scores
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=MOST as i64))]
    top: u32,
    /// Folder that the pictures are put into [default: pictures-JOB]
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let top = args.top.to_string();
    let mut words = vec!["render", &args.job, "--top", &top];
    let to = args.to.as_ref().map(|to| to.display().to_string());
    words.extend(to.iter().flat_map(|to| ["--to", to.as_str()]));
    let mut studio = Studio::open(common, &words).await?;
    let result = render(common, &args, &mut studio).await;
    studio.cluster.close().await;
    result
}

async fn render(common: &Common, args: &Args, studio: &mut Studio<'_>) -> Result<(), Error> {
    let cluster = &mut studio.cluster;
    let scored = ScoredRun::find(cluster, &args.job).await?;
    let count = args.top as usize;
    let rows = highest(cluster, &scored.results, Some(scored.run), count).await?;
    let uris: Vec<String> = rows.iter().map(|row| row.uri.clone()).collect();
    let mut drawn = studio.draw(&scored, &uris).await?;
    let standard = || PathBuf::from(format!("pictures-{}", scored.job.id));
    let folder = args.to.clone().unwrap_or_else(standard);
    let mut put = Vec::new();
    for (rank, row) in (1..).zip(rows) {
        let drawn = drawn.remove(&row.uri);
        put.push(Put::write(&folder, rank, row, drawn).await?);
    }
    print(common, &folder, &put)
}

/// What became of one image.
struct Put {
    rank: usize,
    row: ScoreRow,
    files: Vec<PathBuf>,
    /// Why there are no pictures, or what to know of them.
    note: Option<String>,
}

impl Put {
    async fn write(
        folder: &Path,
        rank: usize,
        row: ScoreRow,
        drawn: Option<Drawn>,
    ) -> Result<Self, Error> {
        let (drawn, note) = match drawn {
            None => (RenderRow::default(), Some(format!("not drawn: {UNSCORED}"))),
            Some(Drawn::Failed(why)) => (RenderRow::default(), Some(format!("not drawn: {why}"))),
            Some(Drawn::Row(drawn)) => {
                let changed = drawn.etag != row.etag;
                let note =
                    changed.then(|| "the image has changed since the job scored it".to_owned());
                (*drawn, note)
            }
        };
        let mut files = Vec::new();
        let kinds = [
            ("", "jpg", drawn.image),
            ("-map", "jpg", drawn.overlay),
            ("-mask", "png", drawn.mask),
        ];
        for (what, ending, bytes) in kinds {
            let Some(bytes) = bytes else { continue };
            let name = format!("{rank:03}-{}{what}.{ending}", stem(&row.uri));
            let path = folder.join(name);
            let failed = |path: PathBuf| move |source| Error::Write { path, source };
            fs::create_dir_all(folder)
                .await
                .map_err(failed(folder.to_owned()))?;
            fs::write(&path, bytes)
                .await
                .map_err(failed(path.clone()))?;
            files.push(path);
        }
        Ok(Self {
            rank,
            row,
            files,
            note,
        })
    }

    fn json(&self) -> Value {
        json!({
            "rank": self.rank, "uri": self.row.uri, "score": self.row.score, "is_anomalous": self.row.is_anomalous,
            "files": self.files, "note": self.note,
        })
    }
}

fn print(common: &Common, folder: &Path, put: &[Put]) -> Result<(), Error> {
    let value = json!({"folder": folder, "images": put.iter().map(Put::json).collect::<Vec<_>>()});
    common.output.print(&value, || {
        let mut table = Table::new(&[">rank", ">score", "anomalous", "pictures", "image"]);
        for one in put {
            let decided = match one.row.is_anomalous {
                Some(true) => "yes",
                Some(false) => "no",
                None => "-",
            };
            let score = one
                .row
                .score
                .map_or_else(|| "-".to_owned(), |score| format!("{score:.4}"));
            let said = one
                .note
                .clone()
                .unwrap_or_else(|| one.files.len().to_string());
            table.row([
                one.rank.to_string(),
                score,
                decided.to_owned(),
                said,
                one.row.uri.clone(),
            ]);
        }
        format!("{}\n\nPictures: {}", table.render(), folder.display())
    })
}

/// A file's name of what is last in an address.
fn stem(uri: &str) -> String {
    let last = uri.rsplit('/').next().unwrap_or(uri);
    let last = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
    let fits = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_' | '.');
    let name = last.chars().map(|sign| if fits(sign) { sign } else { '_' });
    name.take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::stem;

    #[test]
    fn files_have_the_names_of_their_images() {
        assert_eq!(stem("s3://line3/night/a b%.png"), "a_b_");
        assert_eq!(stem("/in/../x.tar!/001.jpeg"), "001");
        assert_eq!(stem("/in/none"), "none");
    }
}
