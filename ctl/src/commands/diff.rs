//! `ctl diff`: what changes from one job to another on the same images.

use std::path::{Path, PathBuf};

use report::{Picture, Side, Switch};
use serde_json::json;

use crate::drawing::{Drawn, Studio};
use crate::scored_run::ScoredRun;
use crate::switched::{self, Decided};
use crate::{Common, Error, output, target};

#[derive(clap::Args)]
pub struct Args {
    /// The job as it was: an id, a unique prefix of one, or a key; one run of several as JOB/RUN
    #[arg(value_name = "JOB", add = crate::completion::jobs())]
    first: String,
    /// The job that it is compared with, on the same images
    #[arg(value_name = "OTHER", add = crate::completion::jobs())]
    second: String,
    /// Pictures of so many flips each way, the clearest; both models draw them, which needs a worker
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(0..=24))]
    pictures: u32,
    /// Write the report there, where nothing is yet; without it, to diff-JOB-OTHER.html in the current folder (of one run of several to diff-JOB-RUN-...)
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub async fn run(common: &Common, args: Args) -> Result<(), Error> {
    let pictures = args.pictures.to_string();
    let mut words = vec!["diff", &args.first, &args.second, "--pictures", &pictures];
    let to = args.to.as_ref().map(|to| to.display().to_string());
    words.extend(to.iter().flat_map(|to| ["--to", to.as_str()]));
    let mut studio = Studio::open(common, &words).await?;
    let result = diff(common, &args, &mut studio).await;
    studio.cluster.close().await;
    result
}

async fn diff(common: &Common, args: &Args, studio: &mut Studio<'_>) -> Result<(), Error> {
    let (first, second) = studio
        .cluster
        .insist(async |cluster| {
            let first = ScoredRun::find(cluster, &args.first).await?;
            Ok((first, ScoredRun::find(cluster, &args.second).await?))
        })
        .await?;
    let runs = [&first, &second];
    let standard = || {
        let [first, second] = runs.map(ScoredRun::file_name);
        format!("diff-{first}-{second}.html").into()
    };
    let to: PathBuf = args.to.clone().unwrap_or_else(standard);
    target::check_new_file(&to).await?;
    let decided = studio.cluster.insist(async |cluster| {
        let mut decided = [Vec::new(), Vec::new()];
        for (scored, decided) in runs.into_iter().zip(&mut decided) {
            let keep = |rows: Vec<tables::ScoreRow>| {
                let rows = rows.into_iter();
                decided.extend(rows.filter_map(|row| Decided::of(row, scored.run)));
            };
            let client = &mut cluster.client;
            scored.results.each_score(client, keep).await?;
        }
        Ok(decided)
    });
    let decided = decided.await?;
    // Without pictures the clearest of each kind is named all the same.
    let shown = (args.pictures as usize).max(1);
    let mut switch = switched::switch(runs.map(side), decided, shown);
    if switch.decided() == 0 {
        let but = match switch.changed {
            0 => String::new(),
            changed => format!(
                "; {} written anew between them",
                output::counted(changed, "image")
            ),
        };
        return Err(Error::NotFound(format!(
            "jobs {} and {} have decided no image that both have{but}",
            first.job.id, second.job.id
        )));
    }
    if args.pictures > 0 {
        for (index, scored) in runs.into_iter().enumerate() {
            let drawn = draw(studio, scored, index, &mut switch).await;
            drawn
                .inspect_err(|_| eprintln!("note: with `--pictures 0` nothing has to be drawn"))?;
        }
    }
    output::new_file(&to, &switch.html())?;
    print(common, &switch, &to)
}

/// Puts a run's pictures to the flips that are shown; `index`: which of the two jobs it is of.
async fn draw(
    studio: &mut Studio<'_>,
    scored: &ScoredRun,
    index: usize,
    switch: &mut Switch,
) -> Result<(), Error> {
    let flips = switch.flips.iter().flatten();
    let uris: Vec<String> = flips.map(|flip| flip.uri.clone()).collect();
    let mut drawn = studio.draw(scored, &uris).await?;
    // What was asked for is what changes: the report says it without pictures, too.
    if let Some(missing) = &drawn.missing {
        missing.warn();
    }
    let picture = |bytes: Option<Vec<u8>>| Picture::new(bytes?).ok();
    for flip in switch.flips.iter_mut().flatten() {
        match drawn.take(&flip.uri) {
            Drawn::Row(row) => {
                let row = *row;
                flip.overlays[index] = picture(row.overlay);
                flip.image = flip.image.take().or_else(|| picture(row.image));
            }
            Drawn::Failed(why) => flip.lacks = Some(why),
        }
    }
    Ok(())
}

fn side(scored: &ScoredRun) -> Side {
    Side {
        job: scored.job.id.clone(),
        name: scored.job.name.clone(),
        model: scored.model().unwrap_or_default().to_owned(),
        version: scored.version(),
        threshold: scored.threshold(),
    }
}

fn print(common: &Common, switch: &Switch, to: &Path) -> Result<(), Error> {
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
        "models": switch.sides.each_ref().map(|side| json!({"model": side.model, "version": side.version})),
        "to_anomalous": to_anomalous, "to_normal": to_normal, "only": switch.only, "changed": switch.changed, "undecided": switch.undecided,
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
            "{}\n\nOf {} {to_anomalous} {} become anomalous ({:.2} %), and {to_normal} normal ({:.2} %)",
            table.render(),
            output::counted(decided, "image"),
            if to_anomalous == 1 { "has" } else { "have" },
            share(to_anomalous),
            share(to_normal)
        );
        if let Some(correlation) = switch.rank_correlation {
            text.push_str(&format!("\nRank correlation of the scores: {}", report::metric(correlation)));
        }
        for (job, only) in switch.sides.iter().zip(switch.only).filter(|(_, only)| *only > 0) {
            text.push_str(&format!(
                "\n{} only job {} has",
                output::counted(only, "image"),
                job.job
            ));
        }
        if switch.changed > 0 {
            let changed = output::counted(switch.changed, "image");
            text.push_str(&format!("\n{changed} written anew between the jobs: not compared"));
        }
        if switch.undecided > 0 {
            let undecided = output::counted(switch.undecided, "image");
            text.push_str(&format!("\n{undecided} at least one of them could not score or decide"));
        }
        text.push_str(&format!("\nReport: {}", to.display()));
        text
    })
}
