//! `ctl report`: a job's results as one HTML file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proto::v1::{GetJobRequest, ListRunsRequest};
use report::{FILE_LIMIT, PICTURE_LIMIT, Picture, Pictured, Report};
use serde_json::json;
use store::{StoreError, Stores};
use tables::{MetricRow, ScoreRow, TimingRow};
use types::FailureClass;

use super::{JobArg, results, with_cluster};
use crate::job_report::{self, Tables, Wanted};
use crate::rows::Results;
use crate::{Common, Error, output};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    job: JobArg,
    /// Write the report there, where nothing is yet; without it, to report-JOB.html in the current folder
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    with_cluster(common, async |cluster| {
        let request = GetJobRequest {
            job: args.job.job.clone(),
        };
        let job = cluster.client.get_job(request).await?.into_inner();
        let Some(found) = Results::find(&mut cluster.client, &job.id).await? else {
            return Err(results::none_yet(&job));
        };
        let request = ListRunsRequest {
            job: job.id.clone(),
        };
        let runs = cluster.client.list_runs(request).await?.into_inner().runs;
        let scores = found.read::<ScoreRow>(&mut cluster.client).await?;
        let metrics = found.read::<MetricRow>(&mut cluster.client).await?;
        let timings = found.read::<TimingRow>(&mut cluster.client).await?;
        let place = found.place();
        let tables = Tables {
            job: &job,
            runs: &runs,
            scores: &scores,
            metrics: &metrics,
            timings: &timings,
            place: &place,
        };
        let mut report = tables.report(&results::licences(&metrics));
        let wanted = job_report::wanted(&report, &scores);
        let pictures = pictures(&cluster.stores, &mut report, wanted).await;
        let html = report.html();
        let to = args
            .to
            .clone()
            .unwrap_or_else(|| format!("report-{}.html", job.id).into());
        output::new_file(&to, &html)?;
        let value = json!({
            "job": job.id, "report": to, "bytes": html.len(), "pictures": pictures.shown, "pictures_missing": pictures.missing,
        });
        common.output.print(&value, || {
            let mut text = format!("Report: {}", to.display());
            if pictures.missing > 0 {
                text.push_str(&format!("\n{} of the images that it shows could not be had; each says why", pictures.missing));
            }
            text
        })
    })
    .await
}

/// Of the images that the report shows.
#[derive(Debug, Default)]
struct Pictures {
    shown: u64,
    missing: u64,
}

/// Brings the images into the report as they are, as long as they are small: no codec is linked that could make them so.
async fn pictures(stores: &Stores, report: &mut Report, wanted: Vec<Wanted>) -> Pictures {
    let mut pictures = Pictures::default();
    // Runs of one job mostly show the same images.
    let mut read: BTreeMap<String, Result<Picture, String>> = BTreeMap::new();
    let (mut bytes, mut outage) = (0, None::<String>);
    for one in wanted {
        let found = if bytes >= FILE_LIMIT {
            // Not in memory either: there is no place for it in the file.
            Err("left out to keep the file below 10 MB".to_owned())
        } else if let Some(known) = read.get(&one.uri) {
            known.clone()
        } else if let Some(reason) = &outage {
            // A store that does not answer would be waited for again with every image.
            Err(String::clone(reason))
        } else {
            match picture(stores, &one.uri, &one.etag).await {
                Ok(picture) => Ok(picture),
                Err(missing) => {
                    if missing.is_outage {
                        outage = Some(missing.reason.clone());
                    }
                    Err(missing.reason)
                }
            }
        };
        read.entry(one.uri.clone()).or_insert_with(|| found.clone());
        let pictured = match found {
            Ok(picture) => {
                bytes += picture.size();
                pictures.shown += 1;
                Pictured::Image(picture)
            }
            Err(reason) => {
                pictures.missing += 1;
                Pictured::Missing { reason }
            }
        };
        job_report::show(report, one, pictured);
    }
    pictures
}

/// Why an image cannot be shown.
#[derive(Debug)]
struct Missing {
    reason: String,
    /// Its store did not answer.
    is_outage: bool,
}

impl From<StoreError> for Missing {
    fn from(error: StoreError) -> Self {
        Self {
            is_outage: error.class() == FailureClass::Unavailable,
            reason: types::chain(&error),
        }
    }
}

async fn picture(stores: &Stores, uri: &str, etag: &str) -> Result<Picture, Missing> {
    let (store, path) = stores.locate(uri)?;
    // Before it is in memory.
    let size = store.head(&path).await?.size;
    let unfit = |reason: String| Missing {
        reason,
        is_outage: false,
    };
    if size > PICTURE_LIMIT as u64 {
        let reason =
            format!("the image has {size} bytes, more than the {PICTURE_LIMIT} that are embedded");
        return Err(unfit(reason));
    }
    let etag = (!etag.is_empty()).then_some(etag);
    let bytes = store.get(&path, etag).await?;
    Picture::new(bytes.to_vec()).map_err(|error| unfit(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stand-in of so many bytes that begins as a PNG does.
    fn png(bytes: usize) -> Vec<u8> {
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        file.resize(bytes, 0);
        file
    }

    #[tokio::test]
    async fn an_image_is_embedded_or_says_why_not() {
        let folder = tempfile::tempdir().unwrap();
        let stores = Stores::default();
        let uri = |name: &str| format!("file://{}", folder.path().join(name).display());
        for (name, bytes) in [
            ("good.png", png(100)),
            ("large.png", png(PICTURE_LIMIT + 1)),
            ("text.png", b"no image".to_vec()),
        ] {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let picture_of_100 = picture(&stores, &uri("good.png"), "").await.unwrap();
        assert_eq!(picture_of_100.size(), 100);
        for (name, etag, word) in [
            ("large.png", "", "400001 bytes"),
            ("text.png", "", "neither PNG nor JPEG"),
            ("gone.png", "", "gone.png"),
            ("good.png", "another", "good.png"),
        ] {
            let missing = picture(&stores, &uri(name), etag).await.unwrap_err();
            assert!(missing.reason.contains(word), "{name}: {}", missing.reason);
            assert!(!missing.is_outage, "{name}");
        }
    }
}
