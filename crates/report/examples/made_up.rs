//! Writes a report of made-up results, to look at: `cargo run -p report --example made_up -- report.html`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use metrics::{FprLimit, Interval, Origin, RawScore, ScoreCounts, SplitRole, Threshold};
use report::{
    Curve, Cut, Finished, Job, Mean, Measure, Metric, Outcome, Picture, Pictured, PixelCurves,
    Report, Run, Scored, Scores, Search, Setting, Times, Trial, Truth,
};
use vision::{Channels, Heat, HeatScale, Image, Mask, Preprocess, Thumbnail, encode_jpeg};

const MODELS: [(&str, f64); 3] = [
    ("Padim mobilenet_v2", 4.2),
    ("Patchcore mobilenet_v2", 5.0),
    ("Dfm resnet18 fre", 2.6),
];
const CATEGORIES: [&str; 2] = ["brick", "grass"];
const PICTURE: u32 = 176;
/// What maps show as nothing and as the strongest colour.
const HEAT: [f32; 2] = [0.1, 1.0];

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: made_up FILE");
        return ExitCode::from(2);
    };
    match std::fs::write(&path, report().html()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write {path}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report() -> Report {
    let mut runs = Vec::new();
    for (model, apart) in MODELS {
        for category in CATEGORIES {
            runs.push(run(runs.len() as u32, model, category, apart));
        }
    }
    runs.push(of_one_class(runs.len() as u32));
    runs.push(failed(runs.len() as u32));
    let means = MODELS.map(|(model, _)| mean(model, &runs));
    let facts = [
        ("Submitted", "2026-11-27 22:00:04 UTC"),
        ("Finished", "2026-11-27 22:41:37 UTC, after 41 min 33 s"),
        ("Engine", "openvino 2026.3, 2 threads"),
        ("Store", "s3://lab/results"),
        ("Nightshift", env!("CARGO_PKG_VERSION")),
    ];
    Report {
        search: Some(search()),
        job: Job {
            id: "7k2m9x4c".to_owned(),
            name: "textures of the night <3".to_owned(),
            kind: "benchmark".to_owned(),
            state: "failed".to_owned(),
            facts: facts
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        },
        runs,
        means: means.into(),
        notes: vec![
            "Licence of data: made up, CC0".to_owned(),
            "Licence of weights mobilenet_v2: BSD-3-Clause".to_owned(),
        ],
    }
}

/// A search that learns: each trial is as good as its backbone, its layers and its number of features make it.
fn search() -> Search {
    const BACKBONES: [(&str, f64); 3] = [
        ("resnet18", 0.04),
        ("mobilenet_v2", 0.0),
        ("efficientnet_lite0", 0.02),
    ];
    const LAYERS: [(&str, f64); 4] = [
        ("features.3,features.6", 0.02),
        ("features.6,features.13", 0.0),
        ("features.3,features.6,features.13", 0.01),
        ("features.13", 0.05),
    ];
    const TRIALS: u32 = 40;
    let mut noise = noise(7);
    let mut trials = Vec::new();
    for trial in 0..TRIALS {
        // More and more of them are like the best.
        let keeps = f64::from(trial) / f64::from(TRIALS);
        let mut chosen = |best: usize, of: usize| {
            let any = ((noise() * of as f64) as usize).min(of - 1);
            if noise() < keeps { best } else { any }
        };
        let (backbone, layers) = (chosen(1, BACKBONES.len()), chosen(1, LAYERS.len()));
        let features = 0.7 + (1.0 - keeps) * (noise() - 0.7);
        let rate = noise();
        let set = |at: usize, of: usize, name: &str| {
            Some(Setting {
                place: at as f64 / (of - 1) as f64,
                name: name.to_owned(),
            })
        };
        let number = |place: f64, name: String| Some(Setting { place, name });
        let lost = BACKBONES[backbone].1 + LAYERS[layers].1 + 0.1 * (features - 0.7).powi(2);
        let value = 0.957 - lost + 0.004 * spread(&mut noise);
        trials.push(Trial {
            value: (trial % 13 != 5).then_some(value),
            settings: vec![
                set(backbone, BACKBONES.len(), BACKBONES[backbone].0),
                set(layers, LAYERS.len(), LAYERS[layers].0),
                number(features, format!("{:.0}", 10.0 * 25_f64.powf(features))),
                // It counts with one of the backbones only.
                number(rate, format!("{:.4}", 10_f64.powf(4.0 * rate - 4.0)))
                    .filter(|_| backbone == 1),
            ],
        });
    }
    let values = trials.iter().enumerate();
    let values = values.filter_map(|(index, trial)| Some((index, trial.value?)));
    let best = values.max_by(|a, b| a.1.total_cmp(&b.1));
    Search {
        objective: "image_AUROC".to_owned(),
        maximize: true,
        parameters: ["backbone", "layers", "n_features", "rate"]
            .map(str::to_owned)
            .into(),
        best: best.map(|(index, _)| index),
        found: best
            .map(|(index, value)| {
                format!("Trial {index} of {TRIALS}: image_AUROC {value:.4} on the split validation")
            })
            .unwrap_or_default(),
        trials,
    }
}

/// Numbers from 0 to 1 that look random and are the same each time.
fn noise(seed: u32) -> impl FnMut() -> f64 {
    let mut state = u64::from(seed) + 1;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1_u64 << 24) as f64
    }
}

/// About normally distributed.
fn spread(noise: &mut impl FnMut() -> f64) -> f64 {
    (0..8).map(|_| noise()).sum::<f64>() - 4.0
}

fn run(index: u32, model: &str, category: &str, apart: f64) -> Run {
    let mut noise = noise(index * 977);
    let mut scored = Vec::new();
    for (truth, folder, count, middle) in [
        (Truth::Normal, "good", 140, 14.0),
        (Truth::Anomalous, "scratch", 60, 14.0 + apart * 0.75),
        (Truth::Anomalous, "foreign", 50, 14.0 + apart * 1.3),
    ] {
        for number in 0..count {
            let score = middle + 1.6 * spread(&mut noise);
            scored.push(Scored {
                uri: format!("s3://lab/textures/{category}/test/{folder}/{number:03}.png"),
                truth,
                score: RawScore::new(score as f32).expect("made of finite numbers"),
            });
        }
    }
    let scores = Scores::new(scored);
    let mut counts = ScoreCounts::new();
    for scored in scores.iter() {
        counts.observe(scored.score, scored.truth == Truth::Anomalous);
    }
    let threshold = Threshold::restore(
        (14.0 + apart * 0.55) as f32,
        Origin::ChosenOn(if index == 3 {
            SplitRole::Test
        } else {
            SplitRole::Validation
        }),
    )
    .expect("finite");
    let summary = counts.summary(&[threshold]);
    let f1 = summary.decided[0].confusion;
    let known = |value: f64, interval: Option<Interval>| Measure::Known { value, interval };
    let image = |name: &str| Metric::Image(name.to_owned());
    let pixel = |name: &str| Metric::Pixel(name.to_owned());
    let metrics = BTreeMap::from([
        (
            image("AUROC"),
            known(summary.auroc.unwrap_or(0.0), summary.auroc_interval),
        ),
        (image("AUPR"), known(summary.aupr.unwrap_or(0.0), None)),
        (
            image("F1Score"),
            known(f1.f1().unwrap_or(0.0), f1.f1_interval()),
        ),
        if model.starts_with("Dfm") {
            (pixel("AUROC"), Measure::unknown("no_map"))
        } else {
            (pixel("AUROC"), Measure::known(0.9 + apart / 60.0))
        },
        if model.starts_with("Dfm") {
            (pixel("AUPRO"), Measure::unknown("no_map"))
        } else {
            (pixel("AUPRO"), Measure::known(0.8 + apart / 40.0))
        },
    ]);
    let pictures = Finished::shown(&scores)
        .into_iter()
        .enumerate()
        .map(|(at, scored)| {
            (
                scored.uri.clone(),
                pictured(index * 100 + at as u32, scored, model),
            )
        })
        .collect();
    let pixels = if model.starts_with("Dfm") {
        PixelCurves::default()
    } else {
        PixelCurves {
            roc: Some(overlap_curve(1.5 * apart)),
            pro: Some(overlap_curve(apart)),
            fpr_limit: Some(FprLimit::STANDARD),
            ..PixelCurves::default()
        }
    };
    Run {
        index,
        model: model.to_owned(),
        dataset: "texture".to_owned(),
        category: category.to_owned(),
        seed: 0,
        settings: String::new(),
        metrics,
        outcome: Outcome::Finished(Box::new(Finished {
            predicts: false,
            aupimo: Default::default(),
            scores,
            unreadable: u64::from(index == 1) * 3,
            cut: Some(Cut {
                threshold,
                of_package: false,
            }),
            pixels,
            times: Times {
                fit_s: Some(6.2 + 11.0 * f64::from(index)),
                test_s: Some(3.1 + f64::from(index)),
                images_per_s: Some(250.0 / (2.0 + f64::from(index))),
            },
            pictures,
            heat: Some(HEAT),
            warnings: if index == 1 {
                vec![
                    "3 images could not be scored; the table `scores` says which and why"
                        .to_owned(),
                ]
            } else {
                Vec::new()
            },
        })),
    }
}

fn overlap_curve(apart: f64) -> Curve {
    let point = |at: u32| {
        let rate = (f64::from(at) / 400.0).powi(3);
        [
            rate,
            (1.0 - (-rate * apart * 9.0).exp()) / (1.0 - (-apart * 9.0).exp()),
        ]
    };
    Curve::new((0..=400).map(point).collect()).expect("within the unit square")
}

fn of_one_class(index: u32) -> Run {
    let mut noise = noise(5);
    let scored = (0..40).map(|number| Scored {
        uri: format!("s3://lab/textures/gravel/test/good/{number:03}.png"),
        truth: Truth::Normal,
        score: RawScore::new((14.0 + spread(&mut noise)) as f32).expect("finite"),
    });
    let scores = Scores::new(scored.collect());
    let missing = |scored: &Scored| {
        let reason = "3.1 MB are too many to be embedded".to_owned();
        (scored.uri.clone(), Pictured::Missing { reason })
    };
    let pictures = Finished::shown(&scores).into_iter().map(missing).collect();
    let names = ["AUROC", "AUPR", "F1Score"].map(|name| Metric::Image(name.to_owned()));
    Run {
        index,
        model: "Padim mobilenet_v2".to_owned(),
        dataset: "texture".to_owned(),
        category: "gravel".to_owned(),
        seed: 0,
        settings: String::new(),
        metrics: names
            .map(|name| (name, Measure::unknown("one_class")))
            .into(),
        outcome: Outcome::Finished(Box::new(Finished {
            predicts: false,
            aupimo: Default::default(),
            scores,
            unreadable: 0,
            cut: None,
            pixels: PixelCurves::default(),
            times: Times::default(),
            pictures,
            heat: Some(HEAT),
            warnings: Vec::new(),
        })),
    }
}

fn failed(index: u32) -> Run {
    let error = "invalid_input: s3://lab/textures/gravel/train/good holds no image; a model learns from at least one";
    Run {
        index,
        model: "Patchcore mobilenet_v2".to_owned(),
        dataset: "texture".to_owned(),
        category: "gravel".to_owned(),
        seed: 0,
        settings: String::new(),
        metrics: BTreeMap::from([(Metric::Image("AUROC".to_owned()), Measure::unknown(error))]),
        outcome: Outcome::Unfinished {
            state: "failed".to_owned(),
            error: error.to_owned(),
        },
    }
}

fn mean(model: &str, runs: &[Run]) -> Mean {
    let of: Vec<&Run> = runs
        .iter()
        .filter(|run| run.model == model && CATEGORIES.contains(&run.category.as_str()))
        .collect();
    let average = |metric: &Metric| {
        let values: Option<Vec<f64>> = of
            .iter()
            .map(|run| match run.metrics.get(metric) {
                Some(Measure::Known { value, .. }) => Some(*value),
                _ => None,
            })
            .collect();
        match values {
            Some(values) => Measure::known(values.iter().sum::<f64>() / values.len() as f64),
            None => Measure::unknown("not in every run"),
        }
    };
    let metrics = of.first().map(|run| {
        run.metrics
            .keys()
            .map(|metric| (metric.clone(), average(metric)))
            .collect()
    });
    Mean {
        model: model.to_owned(),
        dataset: "texture".to_owned(),
        settings: String::new(),
        name: format!("mean of {}", of.len()),
        metrics: metrics.unwrap_or_default(),
        times: Times::default(),
    }
}

/// A texture with a defect if the label says so, and a map that is hot about there.
fn pictured(seed: u32, scored: &Scored, model: &str) -> Pictured {
    let mut noise = noise(seed * 31 + 7);
    let [height, width] = [192_usize, 256];
    let defect = [
        40.0 + 110.0 * noise(),
        50.0 + 150.0 * noise(),
        10.0 + 14.0 * noise(),
    ];
    let anomalous = scored.truth == Truth::Anomalous;
    let inside = |y: usize, x: usize| {
        let away = [(y as f64 - defect[0]) / 0.6, x as f64 - defect[1]];
        anomalous && away[0].hypot(away[1]) < defect[2]
    };
    let mut data = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            let shift = if y / 24 % 2 == 0 { 0 } else { 24 };
            let joint = y % 24 < 3 || (x + shift) % 48 < 3;
            let base = if joint {
                [150.0, 144.0, 138.0]
            } else {
                [168.0, 96.0, 72.0]
            };
            let light = 0.82 + 0.3 * (x as f64 / width as f64) + 0.1 * (noise() - 0.5);
            let shade = if inside(y, x) { 0.45 } else { 1.0 };
            data.extend(base.map(|value| (value * light * shade) as u8));
        }
    }
    let image = Image {
        width: width as u32,
        height: height as u32,
        channels: Channels::Rgb,
        data,
    };
    let mask = anomalous.then(|| Mask {
        width: image.width,
        height: image.height,
        data: (0..height * width)
            .map(|at| u8::from(inside(at / width, at % width)))
            .collect(),
    });
    let encoded = |image: &Image| {
        let bytes = encode_jpeg(image, 85).expect("a picture of its size");
        Picture::new(bytes).expect("a small JPEG")
    };
    let small = Thumbnail::new(&image, PICTURE);
    if model.starts_with("Dfm") {
        return Pictured::Image(encoded(&small.image));
    }
    // The model sees a square of the middle.
    let preprocess = Preprocess::new([128, 128], Some([112, 112]));
    let strength = (scored.score.value() - 10.0) / 12.0;
    let map: Vec<f32> = (0..112 * 112)
        .map(|at| {
            let (y, x) = ((at / 112) as f64 + 8.5, (at % 112) as f64 + 8.5);
            let (y, x) = (y / 128.0 * height as f64, x / 128.0 * width as f64);
            let away = ((y - defect[0]) / 0.7).hypot(x - defect[1] + 3.0);
            strength * (-(away / 26.0).powi(2)).exp() as f32 + 0.08 * noise() as f32
        })
        .collect();
    let scale = HeatScale::new(HEAT[0], HEAT[1]).expect("ascending");
    let heat = Heat::new(&map, preprocess, scale).expect("a map of its size");
    let overlay = small
        .overlay(&heat, mask.as_ref())
        .expect("a mask of its size");
    Pictured::WithMap {
        image: encoded(&small.image),
        overlay: encoded(&overlay),
    }
}
