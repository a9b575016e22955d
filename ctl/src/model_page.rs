//! The page of `ctl describe model`: what the model is, where it comes from, and how far the engines agree about it.

use package::{Measured, PackageManifest, Parity, Threshold};
use proto::v1::Model;

use crate::output::{self, Table, ago};

pub fn render(model: &Model, package: &PackageManifest) -> String {
    let mut text = head(model, package);
    let Some(parity) = &package.parity else {
        text.push_str(
            "parity     not measured: the job did not ask, or an older version made the package\n",
        );
        return text;
    };
    text.push_str(&format!(
        "parity     measured on {} of its images; differences are relative, and engines agree up to {:e}\n",
        parity.images,
        package::TOLERANCE
    ));
    for skipped in &parity.skipped {
        text.push_str(&format!("skipped    {}: {}\n", skipped.uri, skipped.reason));
    }
    text.push('\n');
    text.push_str(&certificate(parity));
    text
}

fn head(model: &Model, package: &PackageManifest) -> String {
    let (made, from) = (&package.model, &package.provenance);
    let seen = &package.preprocessing;
    let size = |[height, width]: [u32; 2]| format!("{height} x {width}");
    let image = match seen.crop {
        Some(crop) => format!("{}, the middle of {}", size(crop), size(seen.resize)),
        None => size(seen.image_size),
    };
    let weights = package.weights.as_ref().map(|weights| {
        let sha256 = weights.sha256.get(..12).unwrap_or(&weights.sha256);
        format!("{} (sha256 {sha256}...)", weights.backbone)
    });
    let arguments = serde_json::Value::Object(made.init_args.clone());
    let decided = match from.rethresholded {
        true => "by `ctl rethreshold` after the job's end, not by its file",
        false => "",
    };
    let rows = [
        ("model", format!("{}@{}", model.name, model.version)),
        ("class", format!("{} {arguments}", made.class_path)),
        ("image", image),
        ("seed", made.seed.to_string()),
        ("weights", weights.unwrap_or("random".to_owned())),
        ("data", format!("{} {}", from.dataset, from.category)),
        ("licences", from.licences.join(", ")),
        ("threshold", threshold(package.thresholds.image.as_ref())),
        ("of pixels", threshold(package.thresholds.pixel.as_ref())),
        ("decided", decided.to_owned()),
        ("job", format!("{} (run {})", model.job, model.run)),
        ("created", ago(model.created_ms, output::now_ms())),
        ("package", model.package.clone()),
    ];
    rows.iter()
        .filter(|(name, value)| *name != "decided" || !value.is_empty())
        .map(|(name, value)| format!("{name:<11}{}\n", value.trim_end()))
        .collect()
}

fn threshold(threshold: Option<&Threshold>) -> String {
    match threshold {
        Some(threshold) => format!(
            "{} (chosen {})",
            threshold.value,
            match threshold.chosen_on {
                package::ChosenOn::Validation => "on validation images",
                package::ChosenOn::Test => "on test images",
                package::ChosenOn::Manual => "by hand",
                package::ChosenOn::Unknown => "nobody knows on what",
            }
        ),
        None => "none".to_owned(),
    }
}

fn certificate(parity: &Parity) -> String {
    let mut table = Table::new(&[
        "engine",
        "version",
        "device",
        "precision",
        ">scores",
        ">maps",
        ">ranks",
        ">flips",
        "",
    ]);
    let nothing = || "-".to_owned();
    let reference = &parity.reference;
    table.row([
        reference.engine.clone(),
        reference.version.clone(),
        reference.device.clone(),
        reference.precision.clone(),
        nothing(),
        nothing(),
        nothing(),
        nothing(),
        "is the reference: the job's".to_owned(),
    ]);
    for compared in &parity.engines {
        let engine = compared.engine.clone();
        let without = |word: String| {
            let mut cells = vec![engine.clone()];
            cells.extend((0..7).map(|_| nothing()));
            cells.push(word);
            cells
        };
        table.row(match &compared.result {
            Measured::Agreement(agreement) => vec![
                engine.clone(),
                agreement.version.clone(),
                agreement.device.clone(),
                agreement.precision.clone(),
                format!("{:.1e}", agreement.score_difference),
                agreement
                    .map_difference
                    .map_or_else(nothing, |map| format!("{map:.1e}")),
                agreement
                    .rank_correlation
                    .map_or_else(nothing, report::metric),
                agreement
                    .flips
                    .map_or_else(nothing, |flips| flips.to_string()),
                match (parity.is_as_exact(agreement), agreement.agrees()) {
                    (false, _) => format!("for jobs with `precision: {}`", agreement.precision),
                    (true, true) => "agrees".to_owned(),
                    (true, false) => "DIFFERS".to_owned(),
                },
            ],
            Measured::Broken(why) => without(format!("BROKEN: {why}")),
            Measured::NotMeasured(why) => without(format!("not measured: {why}")),
        });
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use package::{Agreement, Compared, Computer};

    use super::*;

    #[test]
    fn a_certificate_shows_every_engine_and_what_is_wrong() {
        let text = |text: &str| text.to_owned();
        let agreement = |score_difference, precision| {
            Measured::Agreement(Agreement {
                version: text("1.27"),
                device: text("cpu"),
                precision: text(precision),
                score_difference,
                map_difference: None,
                rank_correlation: Some(0.5),
                flips: Some(2),
            })
        };
        let results = [
            ("a", agreement(1.3e-6, "f32")),
            ("b", agreement(0.25, "f32")),
            ("c", Measured::Broken(text("NaN is no number"))),
            ("d", Measured::NotMeasured(text("not here"))),
            ("e", agreement(0.02, "bf16")),
        ];
        let compared = |(engine, result): (&str, Measured)| Compared {
            engine: text(engine),
            result,
        };
        let parity = Parity {
            images: 16,
            skipped: Vec::new(),
            reference: Computer {
                engine: text("openvino"),
                version: text("2026.4"),
                device: text("cpu"),
                precision: text("f32"),
            },
            engines: results.into_iter().map(compared).collect(),
        };
        let shown = certificate(&parity);
        let squeezed: Vec<String> = shown
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            squeezed,
            [
                "ENGINE VERSION DEVICE PRECISION SCORES MAPS RANKS FLIPS",
                "openvino 2026.4 cpu f32 - - - - is the reference: the job's",
                "a 1.27 cpu f32 1.3e-6 - 0.5000 2 agrees",
                "b 1.27 cpu f32 2.5e-1 - 0.5000 2 DIFFERS",
                "c - - - - - - - BROKEN: NaN is no number",
                "d - - - - - - - not measured: not here",
                "e 1.27 cpu bf16 2.0e-2 - 0.5000 2 for jobs with `precision: bf16`",
            ]
        );
    }
}
