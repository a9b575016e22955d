//! `ctl report`: a job's results as one HTML file.

use std::path::PathBuf;

use proto::v1::{GetJobRequest, ListRunsRequest};
use serde_json::json;
use tables::{AupimoRow, CurveRow, MetricRow, PictureRow, ScoreRow, TimingRow};

use super::{JobArg, results, with_cluster};
use crate::job_report::{self, Tables};
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
        results::has_tables(&job)?;
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
        let curves = found.read_if_there::<CurveRow>(&mut cluster.client).await?;
        let pictures = found
            .read_if_there::<PictureRow>(&mut cluster.client)
            .await?;
        let aupimo = found
            .read_if_there::<AupimoRow>(&mut cluster.client)
            .await?;
        let reused = results::reused(cluster, Some(&found)).await?;
        let place = found.place();
        let tables = Tables {
            job: &job,
            runs: &runs,
            scores: &scores,
            metrics: &metrics,
            timings: &timings,
            curves: &curves,
            pictures: &pictures,
            aupimo: &aupimo,
            reused,
            place: &place,
        };
        let report = tables.report(&results::licences(&metrics));
        let [shown, missing] = job_report::pictures(&report);
        let html = report.html();
        let to = args
            .to
            .clone()
            .unwrap_or_else(|| format!("report-{}.html", job.id).into());
        output::new_file(&to, &html)?;
        let value = json!({
            "job": job.id, "report": to, "bytes": html.len(), "pictures": shown, "pictures_missing": missing,
        });
        common.output.print(&value, || {
            let mut text = format!("Report: {}", to.display());
            if missing > 0 {
                text.push_str(&format!("\n{missing} of the images that it shows have no picture; each says why"));
            }
            text
        })
    })
    .await
}
