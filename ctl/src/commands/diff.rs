//! `ctl diff`: what changes from one job to another on the same images.

use std::path::PathBuf;

use report::{Picture, Side, Switch};
use serde_json::json;

use crate::cluster::Cluster;
use crate::drawing::ScoredRun;
use crate::switched::{self, Decided};
use crate::watch::Signals;
use crate::{Common, Error, output, places, resume};

#[derive(clap::Args)]
pub struct Args {
    /// The job as it was: an id or a unique prefix of one; one run of several as JOB/RUN
    #[arg(value_name = "JOB")]
    first: String,
    /// The job that it is compared with, on the same images
    #[arg(value_name = "OTHER")]
    second: String,
    /// Pictures of so many flips each way, the clearest; both models draw them, which needs a worker
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(0..=24))]
    pictures: u32,
    /// Write the report there, where nothing is yet; without it, to diff-JOB-OTHER.html in the current folder
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let pictures = args.pictures.to_string();
    let words = ["diff", &args.first, &args.second, "--pictures", &pictures];
    let resume = resume::command(common, &words);
    let place = places::coordinator(common)?;
    let mut cluster = signals
        .or(&resume, Cluster::open(&place, common.config()))
        .await?;
    let result = async {
        let first = ScoredRun::find(&mut cluster, &args.first).await?;
        let second = ScoredRun::find(&mut cluster, &args.second).await?;
        let mut decided = [Vec::new(), Vec::new()];
        for (scored, decided) in [&first, &second].into_iter().zip(&mut decided) {
            let keep = |rows: Vec<tables::ScoreRow>| {
                let rows = rows.into_iter();
                decided.extend(rows.filter_map(|row| Decided::of(row, scored.run)));
            };
            scored.results.each_score(&mut cluster.client, keep).await?;
        }
        // A list of flips for programs is as long as there are flips; people get those with pictures.
        let shown = (args.pictures as usize).max(1);
        let sides = [side(&first), side(&second)];
        let mut switch = switched::switch(sides, decided, shown);
        if switch.decided() == 0 {
            return Err(Error::NotFound(format!(
                "jobs {} and {} have decided no image that both have",
                first.job.id, second.job.id
            )));
        }
        if args.pictures > 0 {
            for (place_of, scored) in [&first, &second].into_iter().enumerate() {
                let uris: Vec<String> = flips(&switch);
                let drawn = scored
                    .draw(
                        (common, &resume),
                        &mut cluster,
                        (&place, &mut signals),
                        &uris,
                    )
                    .await?;
                for flip in switch.flips.iter_mut().flatten() {
                    let Some(row) = drawn.get(&flip.uri) else {
                        continue;
                    };
                    let picture = |bytes: &Option<Vec<u8>>| Picture::new(bytes.clone()?).ok();
                    flip.overlays[place_of] = picture(&row.overlay);
                    flip.image = flip.image.take().or_else(|| picture(&row.image));
                }
            }
        }
        let to = args
            .to
            .clone()
            .unwrap_or_else(|| format!("diff-{}-{}.html", first.job.id, second.job.id).into());
        output::new_file(&to, &switch.html())?;
        print(common, &switch, &to)
    }
    .await;
    cluster.close().await;
    result
}

fn flips(switch: &Switch) -> Vec<String> {
    let flips = switch.flips.iter().flatten();
    flips.map(|flip| flip.uri.clone()).collect()
}

fn side(scored: &ScoredRun) -> Side {
    Side {
        job: scored.job.id.clone(),
        name: scored.job.name.clone(),
        model: scored.model().to_owned(),
        threshold: scored.threshold(),
    }
}

fn print(common: &Common, switch: &Switch, to: &std::path::Path) -> Result<(), Error> {
    let [to_anomalous, to_normal] = switch.flipped();
    let decided = switch.decided();
    let folders = switch.folders.iter().map(|folder| {
        json!({"folder": folder.name, "images": folder.images, "anomalous": folder.anomalous, "flipped": folder.flipped})
    });
    let clearest =
        switch.flips.iter().flatten().map(
            |flip| json!({"uri": flip.uri, "scores": flip.scores, "normalized": flip.normalized}),
        );
    let value = json!({
        "jobs": switch.sides.each_ref().map(|side| &side.job), "images": decided,
        "to_anomalous": to_anomalous, "to_normal": to_normal, "only": switch.only, "undecided": switch.undecided,
        "rank_correlation": switch.rank_correlation, "folders": folders.collect::<Vec<_>>(),
        "clearest": clearest.collect::<Vec<_>>(), "report": to,
    });
    common.output.print(&value, || {
        let mut table = output::Table::new(&["", ">second: normal", ">second: anomalous"]);
        for (name, row) in ["first: normal", "first: anomalous"].iter().zip(switch.images) {
            table.row([(*name).to_owned(), row[0].to_string(), row[1].to_string()]);
        }
        let share = |count: u64| 100.0 * count as f64 / decided as f64;
        let mut text = format!(
            "{}\n\nOf {decided} images {to_anomalous} are anomalous now ({:.2} %), and {to_normal} normal ({:.2} %)",
            table.render(),
            share(to_anomalous),
            share(to_normal)
        );
        if let Some(correlation) = switch.rank_correlation {
            text.push_str(&format!("\nRank correlation of the scores: {correlation:.4}"));
        }
        for (job, only) in switch.sides.iter().zip(switch.only).filter(|(_, only)| *only > 0) {
            text.push_str(&format!("\n{only} images only job {} has", job.job));
        }
        if switch.undecided > 0 {
            let undecided = switch.undecided;
            text.push_str(&format!("\n{undecided} images at least one of them could not score or decide"));
        }
        text.push_str(&format!("\nReport: {}", to.display()));
        text
    })
}
