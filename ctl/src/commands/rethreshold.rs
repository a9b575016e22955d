//! `ctl rethreshold`: another threshold for a job that has ended, without scoring anything again.

use job::Rethreshold;
use job::resolved::ThresholdSpec;
use proto::v1::{GetJobRequest, Job, RethresholdRequest};
use serde_json::json;
use tables::MetricRow;

use super::JobArg;
use super::retry::follow_again;
use crate::cluster::Cluster;
use crate::output::counted;
use crate::redecision::{self, Side};
use crate::rows::Results;
use crate::{Common, Error, client, places};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    job: JobArg,
    #[command(flatten)]
    threshold: Chosen,
    /// Raw score at and above which a pixel is anomalous, beside --manual
    #[arg(
        long,
        value_name = "X",
        requires = "manual",
        conflicts_with_all = ["f1", "fpr"],
        allow_negative_numbers = true
    )]
    pixel: Option<f64>,
    /// Only this run of the job, counted from 0; may be given several times
    #[arg(long = "run", value_name = "RUN")]
    runs: Vec<u32>,
    /// Stay until it is done, and show what it changed; brings a worker along if no live one serves the job's pool
    #[arg(long)]
    wait: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Chosen {
    /// Raw score at and above which an image is anomalous; pixels keep theirs without --pixel
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    manual: Option<f64>,
    /// The score with the highest F1 on the validation split
    #[arg(long)]
    f1: bool,
    /// The lowest score that at most this share of the normal images of the validation split reaches; of pixels alike
    #[arg(long, value_name = "RATE")]
    fpr: Option<f64>,
}

impl Args {
    fn rethreshold(&self) -> Result<Rethreshold, Error> {
        let both = |threshold| Rethreshold {
            image: Some(threshold),
            pixel: Some(threshold),
        };
        let manual = |value| ThresholdSpec::Manual { value };
        let new = match (self.threshold.manual, self.threshold.fpr) {
            (Some(image), _) => Rethreshold {
                image: Some(manual(image)),
                pixel: self.pixel.map(manual),
            },
            (None, Some(rate)) => both(ThresholdSpec::FalsePositiveRate { rate }),
            (None, None) => both(ThresholdSpec::F1Adaptive),
        };
        // Before it is written as JSON, which has no word for what is not finite.
        new.check().map_err(Error::Usage)?;
        Ok(new)
    }
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let new = args.rethreshold()?;
    let new_json = serde_json::to_string(&new)
        .map_err(|source| Error::cannot_run_because("cannot write JSON", source))?;
    let place = places::coordinator(common)?;
    let mut cluster = Cluster::open(&place, common.config()).await?;
    let result = async {
        let request_id = client::request_id()?;
        let (job, reply) = cluster
            .insist(async |cluster| {
                let request = GetJobRequest {
                    job: args.job.job.clone(),
                };
                let job = cluster.client.get_job(request).await?.into_inner();
                let request = RethresholdRequest {
                    request_id: request_id.clone(),
                    job: job.id.clone(),
                    runs: args.runs.clone(),
                    new_json: new_json.clone(),
                };
                let reply = cluster.client.rethreshold(request).await?.into_inner();
                Ok((job, reply))
            })
            .await?;
        let (tasks, before) = (reply.tasks, reply.before);
        let said = format!(
            "job {}: {} back in the queue; results before are generation {before}",
            job.id,
            counted(tasks.into(), "task")
        );
        if !args.wait {
            let value = json!({"job": job.id, "tasks": tasks, "before": before});
            return common.output.print(&value, || said);
        }
        eprintln!("{said}");
        // The new threshold is in the queue: who asks again by a retry waits for it.
        let job = follow_again(
            common,
            &mut cluster,
            &place,
            &job,
            &["retry", &job.id, "--wait"],
        )
        .await?;
        show(common, &mut cluster, &job, before, &args.runs).await
    }
    .await;
    cluster.close().await;
    result
}

/// What the new threshold changed; an error if it came to nothing.
async fn show(
    common: &Common,
    cluster: &mut Cluster,
    job: &Job,
    before: u64,
    runs: &[u32],
) -> Result<(), Error> {
    if !job.rethreshold_failure.is_empty() {
        return Err(Error::AsBefore {
            job: job.id.clone(),
            why: job.rethreshold_failure.clone(),
        });
    }
    let (old, new, generation) = cluster
        .insist(async |cluster| {
            let results = Results::find(&mut cluster.client, &job.id).await?;
            let results = results.ok_or_else(|| super::results::none_yet(job))?;
            let earlier = results.of_generation(before);
            let mut tables = Vec::new();
            for results in [&earlier, &results] {
                let mut scores = Vec::new();
                let keep = |batch| scores.extend(batch);
                results.each_score(&mut cluster.client, keep).await?;
                let metrics = results.read::<MetricRow>(&mut cluster.client).await?;
                tables.push(Side { scores, metrics });
            }
            let new = tables.pop().unwrap_or_default();
            Ok((tables.pop().unwrap_or_default(), new, results.generation()))
        })
        .await?;
    let found = redecision::changes(&old, &new, runs);
    for note in found.iter().filter_map(redecision::Change::note) {
        eprintln!("note: {note}");
    }
    let value = json!({
        "job": job.id, "before": before, "generation": generation, "runs": redecision::json(&found),
    });
    common
        .output
        .print(&value, || redecision::table(&found).render())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn read(words: &str) -> Option<Result<Rethreshold, Error>> {
        let words = std::iter::once("x").chain(words.split(' '));
        Line::try_parse_from(words)
            .ok()
            .map(|line| line.args.rethreshold())
    }

    #[test]
    fn exactly_one_way_to_choose() {
        let manual = |value| Some(ThresholdSpec::Manual { value });
        let new = |words| read(words).unwrap().unwrap();
        assert_eq!(new("last --manual -3.5").image, manual(-3.5));
        assert_eq!(new("last --manual 3.5").pixel, None);
        assert_eq!(new("last --manual 1 --pixel -2").pixel, manual(-2.0));
        let both = new("last --fpr 0.001");
        assert_eq!(
            both.image,
            Some(ThresholdSpec::FalsePositiveRate { rate: 0.001 })
        );
        assert_eq!(both.image, both.pixel);
        assert_eq!(
            new("last --f1 --run 0 --run 3").image,
            Some(ThresholdSpec::F1Adaptive)
        );
        for wrong in ["last", "last --f1 --fpr 0.1", "last --f1 --pixel 1", "--f1"] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
        for wrong in [
            "--manual inf",
            "--manual NaN",
            "--manual 1e300",
            "--fpr 0.7",
            "--fpr NaN",
        ] {
            let read = read(&format!("last {wrong}")).unwrap();
            assert!(matches!(read, Err(Error::Usage(_))), "{wrong}");
        }
    }
}
