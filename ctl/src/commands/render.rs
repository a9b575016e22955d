//! `ctl render`: pictures of the images with the highest scores, in a folder of this machine.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tables::{RenderRow, ScoreRow};
use tokio::fs;

use super::results::highest;
use crate::drawing::{Drawn, MOST, Studio};
use crate::output::{Table, counted, number};
use crate::scored_run::ScoredRun;
use crate::{Common, Error, target};

#[derive(clap::Args)]
pub struct Args {
    /// Id of a job, a unique prefix of it, its key, or `last`; one run of several as JOB/RUN
    #[arg(value_name = "JOB", add = crate::completion::jobs())]
    job: String,
    /// How many images, those with the highest scores
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=MOST as i64))]
    top: u32,
    /// Folder that the pictures are put into [default: pictures-JOB, of one run of several pictures-JOB-RUN]; those of an
    /// earlier command of the same run there are replaced
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
    let count = args.top as usize;
    let highest = studio.cluster.insist(async |cluster| {
        let scored = ScoredRun::find(cluster, &args.job).await?;
        let rows = highest(cluster, &scored.results, Some(scored.run), count).await?;
        Ok((scored, rows))
    });
    let (scored, rows) = highest.await?;
    let uris: Vec<String> = rows.iter().map(|row| row.uri.clone()).collect();
    if uris.is_empty() {
        return Err(Error::NotFound(format!(
            "run {} of job {} has scored no image, so that there is nothing to draw; `ctl results {} --scores` says why",
            scored.run, scored.job.id, scored.job.id
        )));
    }
    let standard = || PathBuf::from(format!("pictures-{}", scored.file_name()));
    let folder = args.to.clone().unwrap_or_else(standard);
    let index = Index::of(&scored);
    let earlier = index.files_of_earlier(&folder).await?;
    target::check_folder(&folder).await?;
    let mut drawn = studio.draw(&scored, &uris).await?;
    let mut put = Vec::new();
    for (rank, row) in (1..).zip(rows) {
        let drawn = drawn.take(&row.uri);
        put.push(Put::of(rank, row, drawn));
    }
    match drawn.missing {
        // Pictures that an earlier command drew are better than none: what lies there stays.
        Some(missing) if missing.is_all() => {
            print(common, None, &put)?;
            return Err(Error::NotDrawn {
                job: scored.job.id.clone(),
                images: counted(missing.of as u64, "image"),
                folder,
            });
        }
        Some(missing) => missing.warn(),
        None => {}
    }
    index.write(&folder, &put, &earlier).await?;
    print(common, Some(&folder), &put)
}

/// Which run's pictures a folder holds: a file beside them.
struct Index {
    job: String,
    run: u32,
}

impl Index {
    const FILE: &str = "pictures.json";

    fn of(scored: &ScoredRun) -> Self {
        Self {
            job: scored.job.id.clone(),
            run: scored.run,
        }
    }

    /// The pictures that an earlier command has put there of the same run. Those of another are not to be mixed with these.
    async fn files_of_earlier(&self, folder: &Path) -> Result<Vec<String>, Error> {
        let path = folder.join(Self::FILE);
        let text = match fs::read(&path).await {
            Ok(text) => text,
            // What is no folder is said where it is to be one.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(Vec::new());
            }
            Err(source) => return Err(Error::Read { path, source }),
        };
        self.replaced(&text).map_err(|what| {
            Error::Usage(format!(
                "{} holds {what}, which would be mixed with these: name another folder (--to), or remove it",
                folder.display()
            ))
        })
    }

    /// `Err`: of what they are instead.
    fn replaced(&self, text: &[u8]) -> Result<Vec<String>, String> {
        let foreign = || format!("a {} of another program", Self::FILE);
        let index: Value = serde_json::from_slice(text).map_err(|_| foreign())?;
        let (job, run) = (index["job"].as_str(), index["run"].as_u64());
        let (job, run) = job.zip(run).ok_or_else(foreign)?;
        if (job, run) != (&self.job, self.run.into()) {
            return Err(format!("the pictures of run {run} of job {job}"));
        }
        let images = index["images"].as_array().into_iter().flatten();
        let files = images.flat_map(|image| image["files"].as_array().into_iter().flatten());
        let names = files.filter_map(Value::as_str).map(str::to_owned);
        // Nothing else is removed, whatever the file says.
        Ok(names.filter(|name| is_picture(name)).collect())
    }

    /// The form that `docs/formats.md` describes.
    fn json(&self, put: &[Put]) -> Value {
        let images: Vec<Value> = put.iter().map(|one| one.json(Path::new(""))).collect();
        json!({"job": self.job, "run": self.run, "images": images})
    }

    /// Puts the pictures into the folder in the place of earlier ones. Whenever it is ended, no picture lies there that the index
    /// does not have.
    async fn write(&self, folder: &Path, put: &[Put], earlier: &[String]) -> Result<(), Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Write { path, source }
        };
        fs::create_dir_all(folder).await.map_err(failed(folder))?;
        for name in earlier {
            let path = folder.join(name);
            match fs::remove_file(&path).await {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed(&path)(error));
                }
                _ => {}
            }
        }
        let index = self.json(put).to_string();
        let (path, part) = (
            folder.join(Self::FILE),
            folder.join(format!(".{}.part", Self::FILE)),
        );
        fs::write(&part, index).await.map_err(failed(&part))?;
        fs::rename(&part, &path).await.map_err(failed(&path))?;
        for (name, bytes) in put.iter().flat_map(|one| &one.files) {
            let path = folder.join(name);
            fs::write(&path, bytes).await.map_err(failed(&path))?;
        }
        Ok(())
    }
}

/// Whether a name is one that [`Put`] gives a file.
fn is_picture(name: &str) -> bool {
    let rank = name.bytes().take_while(u8::is_ascii_digit).count();
    rank >= 3
        && name[rank..].starts_with('-')
        && !name.contains('/')
        && [".jpg", ".png"].iter().any(|ending| name.ends_with(ending))
}

/// What became of one image.
struct Put {
    rank: usize,
    row: ScoreRow,
    /// By their names.
    files: Vec<(String, Vec<u8>)>,
    /// Why there are no pictures, or what to know of them.
    note: Option<String>,
}

impl Put {
    fn of(rank: usize, row: ScoreRow, drawn: Drawn) -> Self {
        let (drawn, note) = match drawn {
            Drawn::Failed(why) => (RenderRow::default(), Some(format!("not drawn: {why}"))),
            Drawn::Row(drawn) => {
                let changed = drawn.etag != row.etag;
                let note =
                    changed.then(|| "the image has changed since the job scored it".to_owned());
                (*drawn, note)
            }
        };
        let kinds = [
            ("", "jpg", drawn.image),
            ("-map", "jpg", drawn.overlay),
            ("-mask", "png", drawn.mask),
        ];
        let stem = stem(&row.uri);
        let file = |(what, ending, bytes): (&str, &str, Option<Vec<u8>>)| {
            Some((format!("{rank:03}-{stem}{what}.{ending}"), bytes?))
        };
        Self {
            rank,
            files: kinds.into_iter().filter_map(file).collect(),
            row,
            note,
        }
    }

    /// With its files below the folder.
    fn json(&self, folder: &Path) -> Value {
        let files = self.files.iter().map(|(name, _)| folder.join(name));
        json!({
            "rank": self.rank, "uri": self.row.uri, "score": self.row.score, "is_anomalous": self.row.is_anomalous,
            "files": files.collect::<Vec<_>>(), "note": self.note,
        })
    }
}

/// `folder`: where the pictures were put, if there is any.
fn print(common: &Common, folder: Option<&Path>, put: &[Put]) -> Result<(), Error> {
    let below = folder.unwrap_or(Path::new(""));
    let images: Vec<Value> = put.iter().map(|one| one.json(below)).collect();
    let value = json!({"folder": folder, "images": images});
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
                .map_or_else(|| "-".to_owned(), |score| number(score.into()));
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
        let mut text = table.render();
        if let Some(folder) = folder {
            text.push_str(&format!("\n\nPictures: {}", folder.display()));
        }
        text
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
    use tables::{RenderRow, ScoreRow};

    use super::{Drawn, Index, Put, Value, is_picture, stem};

    #[test]
    fn only_the_pictures_of_the_same_run_are_replaced() {
        let index = |run| Index {
            job: "a".to_owned(),
            run,
        };
        let text = br#"{"job": "a", "run": 1, "images": [{"files": ["001-x.jpg", "../002-y.png", "notes.txt"]}]}"#;
        assert_eq!(index(1).replaced(text), Ok(vec!["001-x.jpg".to_owned()]));
        let other = index(0).replaced(text).unwrap_err();
        assert!(other.contains("run 1 of job a"), "{other}");
        assert!(
            index(0)
                .replaced(b"{}")
                .unwrap_err()
                .contains("another program")
        );
        assert!(is_picture("1000-a-mask.png") && !is_picture("01-a.png") && !is_picture("001"));
    }

    #[test]
    fn the_index_is_as_its_documentation_shows_it() {
        let formats = include_str!("../../../docs/formats.md");
        let (_, section) = formats.split_once("## Folders of pictures").unwrap();
        let (_, example) = section.split_once("```json\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let row = |uri: &str, score| ScoreRow {
            uri: uri.to_owned(),
            score: Some(score),
            is_anomalous: Some(true),
            ..ScoreRow::default()
        };
        let drawn = RenderRow {
            image: Some(vec![1]),
            overlay: Some(vec![2]),
            mask: Some(vec![3]),
            ..RenderRow::default()
        };
        let put = [
            Put::of(
                1,
                row("file:///line3/0412.png", 31.25),
                Drawn::Row(Box::new(drawn)),
            ),
            Put::of(
                2,
                row("file:///line3/0977.png", 28.5),
                Drawn::Failed("it has gone".to_owned()),
            ),
        ];
        let index = Index {
            job: "k3v9x2mp".to_owned(),
            run: 0,
        };
        let documented: Value = serde_json::from_str(example).unwrap();
        assert_eq!(index.json(&put), documented);
    }

    #[test]
    fn files_have_the_names_of_their_images() {
        assert_eq!(stem("s3://line3/night/a b%.png"), "a_b_");
        assert_eq!(stem("/in/../x.tar!/001.jpeg"), "001");
        assert_eq!(stem("/in/none"), "none");
    }
}
