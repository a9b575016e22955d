//! What a report guarantees, whatever is in it.

use std::collections::BTreeMap;

use metrics::{FprLimit, Origin, RawScore, SplitRole, Threshold};

use crate::*;

fn scored(truth: Truth, number: usize, score: f32) -> Scored {
    Scored {
        uri: format!("file:///data/{}/{number:04}.png", truth.word()),
        truth,
        score: RawScore::new(score).unwrap(),
    }
}

fn scores(normal: usize, anomalous: usize) -> Scores {
    let normal = (0..normal).map(|i| scored(Truth::Normal, i, (i * 37 % 101) as f32));
    let anomalous =
        (0..anomalous).map(|i| scored(Truth::Anomalous, i, 60.0 + (i * 41 % 97) as f32));
    Scores::new(normal.chain(anomalous).collect())
}

fn cut(origin: Origin) -> Cut {
    Cut {
        threshold: Threshold::restore(80.0, origin).unwrap(),
        of_package: false,
    }
}

fn finished(scores: Scores) -> Finished {
    Finished {
        predicts: false,
        scores,
        unreadable: 0,
        cut: Some(cut(Origin::ChosenOn(SplitRole::Validation))),
        pixels: PixelCurves::default(),
        times: Times::default(),
        pictures: BTreeMap::new(),
        aupimo: BTreeMap::new(),
        heat: None,
        warnings: Vec::new(),
    }
}

fn run(index: u32, outcome: Outcome) -> Run {
    Run {
        index,
        model: "Padim".to_owned(),
        dataset: "texture".to_owned(),
        category: "brick".to_owned(),
        seed: 3,
        settings: String::new(),
        metrics: BTreeMap::from([(image("AUROC"), Measure::known(0.5 + f64::from(index) / 1e3))]),
        outcome,
    }
}

fn image(name: &str) -> Metric {
    Metric::Image(name.to_owned())
}

fn report(runs: Vec<Run>) -> Report {
    Report {
        job: Job {
            id: "abcd".to_owned(),
            name: "night".to_owned(),
            kind: "benchmark".to_owned(),
            state: "succeeded".to_owned(),
            facts: Vec::new(),
        },
        runs,
        means: Vec::new(),
        search: None,
        notes: Vec::new(),
    }
}

fn good(index: u32) -> Run {
    run(index, Outcome::Finished(Box::new(finished(scores(50, 40)))))
}

/// Every element is closed in its order, attributes are quoted, and nothing else follows a `<`.
///
/// # Panics
/// Where that is not so, with what stands there.
fn assert_well_formed(html: &str) {
    const VOID: [&str; 3] = ["meta", "img", "!DOCTYPE"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let mut quoted = false;
        let end = rest.find(|c| {
            quoted ^= c == '"';
            c == '>' && !quoted
        });
        let tag = &rest[..end.unwrap_or_else(|| panic!("a tag without end: {:.60}", rest))];
        rest = &rest[tag.len() + 1..];
        assert!(!tag.contains('<'), "a tag in a tag: {tag:.80}");
        let name = tag.split_whitespace().next().unwrap_or_default();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "before {:.80}", rest);
        } else if !VOID.contains(&name) && !tag.ends_with('/') {
            assert!(
                name.chars().all(|c| c.is_ascii_alphanumeric()),
                "<{tag:.40}"
            );
            open.push(name);
            if name == "style" {
                let end = rest.find("</style>").unwrap();
                assert!(!rest[..end].contains('<'));
                rest = &rest[end..];
            }
        }
        for attribute in tag.split('"').step_by(2).skip(1) {
            assert!(
                !attribute.contains('\''),
                "an attribute in other quotes: {tag:.80}"
            );
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
}

/// What would make a browser run or fetch something, or leave the file.
fn assert_self_contained(html: &str) {
    let lower = html.to_ascii_lowercase();
    for bad in [
        "<script", "<link", "<iframe", "<object", "<embed", "<base", "<form", "@import", "url(",
    ] {
        assert!(!lower.contains(bad), "{bad}");
    }
    for (attribute, allowed) in [(" src=\"", "data:image/"), (" href=\"", "#run-")] {
        for value in lower.split(attribute).skip(1) {
            assert!(value.starts_with(allowed), "{attribute}{:.60}", value);
        }
    }
    // Handlers, as attributes of a tag.
    for tag in lower.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        for part in tag.split('"').step_by(2) {
            assert!(!part.trim_start().starts_with("on"), "{tag:.80}");
        }
    }
    assert_eq!(html.matches("Content-Security-Policy").count(), 1);
    assert!(html.contains("content=\"default-src 'none';"));
}

fn checked(report: &Report) -> String {
    let html = report.html();
    assert_well_formed(&html);
    assert_self_contained(&html);
    assert!(html.len() < FILE_LIMIT, "{} bytes", html.len());
    assert_eq!(report.html(), html, "the same report, other bytes");
    html
}

/// A PNG as far as anybody looks.
fn picture(bytes: usize) -> Picture {
    let mut file = vec![0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];
    file.resize(bytes.max(8), 7);
    Picture::new(file).unwrap()
}

fn with_pictures(index: u32, bytes: usize) -> Run {
    let mut finished = finished(scores(50, 40));
    finished.pictures = Finished::shown(&finished.scores)
        .into_iter()
        .map(|scored| {
            let pictured = Pictured::WithMap {
                image: picture(bytes),
                overlay: picture(bytes),
            };
            (scored.uri.clone(), pictured)
        })
        .collect();
    run(index, Outcome::Finished(Box::new(finished)))
}

#[test]
fn an_empty_job_is_a_page_that_says_so() {
    let html = checked(&report(Vec::new()));
    assert!(html.contains("The job has no runs."));
    assert!(!html.contains("<h2>Runs</h2>") && !html.contains("<h2>Notes</h2>"));
}

#[test]
fn a_run_has_its_section_its_curves_and_its_images() {
    let html = checked(&report(vec![with_pictures(0, 300)]));
    assert!(html.contains("href=\"#run-0\"") && html.contains("id=\"run-0\""));
    for title in [
        "Image scores",
        "aria-label=\"ROC: AUROC 0.5000\"",
        "Precision and recall",
    ] {
        assert!(html.contains(title), "{title}");
    }
    assert_eq!(
        html.matches("<li class=\"card").count(),
        4 * PICTURES_PER_LIST
    );
    assert_eq!(html.matches("<img ").count(), 2 * 4 * PICTURES_PER_LIST);
    assert!(html.contains("chosen on the validation images"));
    assert!(!html.contains("look better than they are"));
}

#[test]
fn every_picture_has_a_text_and_every_drawing_a_name() {
    let html = checked(&report(vec![with_pictures(0, 300)]));
    for tag in html.split("<img ").skip(1) {
        assert!(
            tag.contains("alt=\"") && !tag.starts_with("alt=\"\""),
            "{tag:.80}"
        );
    }
    for tag in html.split("<svg ").skip(1) {
        assert!(
            tag.starts_with("role=\"img\"") && tag.contains("aria-label=\""),
            "{tag:.80}"
        );
    }
    for head in html
        .split("<th")
        .skip(1)
        .filter(|head| !head.starts_with("ead"))
    {
        assert!(head.starts_with(" scope=\""), "{head:.60}");
    }
    assert!(html.contains("<html lang=\"en\">") && html.contains("<caption>"));
}

#[test]
fn nothing_that_a_user_names_is_markup() {
    let evil = "</title></style><script>alert(1)</script><img src=x onerror='alert(1)'>\" onload=\"alert(1)";
    let mut scores = scores(3, 3);
    scores = Scores::new(
        scores
            .iter()
            .map(|scored| Scored {
                uri: format!("file:///{}{evil}", scored.uri),
                ..scored.clone()
            })
            .collect(),
    );
    let mut finished = finished(scores);
    finished.warnings = vec![evil.to_owned()];
    finished.pictures = finished
        .scores
        .iter()
        .enumerate()
        .map(|(at, scored)| {
            let pictured = match at {
                0 => Pictured::Image(picture(20)),
                _ => Pictured::Missing {
                    reason: evil.to_owned(),
                },
            };
            (scored.uri.clone(), pictured)
        })
        .collect();
    let mut bad = run(
        1,
        Outcome::Unfinished {
            state: evil.to_owned(),
            error: evil.to_owned(),
        },
    );
    for text in [
        &mut bad.model,
        &mut bad.dataset,
        &mut bad.category,
        &mut bad.settings,
    ] {
        *text = evil.to_owned();
    }
    bad.metrics = BTreeMap::from([
        (image(evil), Measure::unknown(evil)),
        (Metric::Pixel(evil.to_owned()), Measure::known(0.5)),
    ]);
    let mean = Mean {
        model: evil.to_owned(),
        dataset: evil.to_owned(),
        settings: evil.to_owned(),
        name: evil.to_owned(),
        metrics: bad.metrics.clone(),
        times: Times::default(),
    };
    let mut report = report(vec![run(0, Outcome::Finished(Box::new(finished))), bad]);
    report.job = Job {
        id: evil.to_owned(),
        name: evil.to_owned(),
        kind: evil.to_owned(),
        state: evil.to_owned(),
        facts: vec![(evil.to_owned(), evil.to_owned())],
    };
    report.means = vec![mean];
    report.notes = vec![evil.to_owned()];
    let html = checked(&report);
    assert!(html.matches("&lt;script&gt;alert(1)").count() > 15);
}

#[test]
fn a_value_that_is_missing_has_its_reason_beside_it() {
    let mut one_class = run(0, Outcome::Finished(Box::new(finished(scores(5, 0)))));
    one_class.metrics = BTreeMap::from([(image("AUROC"), Measure::unknown("one_class"))]);
    let mut asked_more = good(1);
    asked_more.metrics.insert(
        Metric::Pixel("AUROC".to_owned()),
        Measure::unknown("no_map"),
    );
    let html = checked(&report(vec![one_class, asked_more]));
    assert!(
        html.contains("<span class=\"none\">none</span><small class=\"reason\">one_class</small>")
    );
    assert!(html.contains("<code>one_class</code>: all scored items are of one class"));
    assert!(html.contains("<code>no_map</code>: the model says nothing of single pixels"));
    assert!(html.contains("No curve: all scored images are of one class"));
    // What a run was not asked for is not a failure.
    assert!(html.contains("<span class=\"none\">–</span>"));
}

#[test]
fn a_failed_run_is_a_row_with_its_error() {
    let unfinished = |state: &str, error: &str| Outcome::Unfinished {
        state: state.to_owned(),
        error: error.to_owned(),
    };
    let html = checked(&report(vec![
        good(0),
        run(1, unfinished("failed", "no normal image in train/good")),
        run(2, unfinished("cancelled", "")),
    ]));
    assert_eq!(html.matches("no normal image in train/good").count(), 2);
    assert_eq!(html.matches("<tr class=\"error\">").count(), 1);
    assert!(html.contains("✗ failed") && html.contains(">cancelled<"));
    assert!(html.contains(">of 3 succeeded<"));
}

#[test]
fn the_best_is_bold_where_there_is_a_choice() {
    let bold = |runs: Vec<Run>| -> Vec<String> {
        let html = checked(&report(runs));
        let table = html.split("</table>").next().unwrap().to_owned();
        let of = |part: &str| part.split("</b>").next().unwrap().to_owned();
        table.split("<b>").skip(1).map(of).collect()
    };
    assert_eq!(bold(vec![good(1)]), [""; 0]);
    assert_eq!(bold(vec![good(1), good(7), good(4)]), ["0.5070"]);
    // Values that look the same are the same to a reader.
    let mut near = good(7);
    near.metrics = BTreeMap::from([(image("AUROC"), Measure::known(0.507_000_1))]);
    assert_eq!(bold(vec![good(7), near]), ["0.5070", "0.5070"]);
    // Other images cannot be compared.
    let mut other = good(1);
    other.category = "grass".to_owned();
    assert_eq!(bold(vec![good(7), other]), [""; 0]);
}

#[test]
fn means_stand_below_the_runs_and_are_compared_with_each_other() {
    let mean = |model: &str, value: f64| Mean {
        model: model.to_owned(),
        dataset: "texture".to_owned(),
        settings: String::new(),
        name: "mean of 3".to_owned(),
        metrics: BTreeMap::from([(image("AUROC"), Measure::known(value))]),
        times: Times::default(),
    };
    let mut report = report(vec![good(0)]);
    report.means = vec![mean("Padim", 0.8), mean("Dfm", 0.9)];
    let html = checked(&report);
    let means = html.split("<tbody class=\"means\">").nth(1).unwrap();
    assert!(means.contains("mean of 3") && means.contains(">0.8000<"));
    assert!(means.contains("<b>0.9000</b>") && !means.contains("<b>0.8000</b>"));
}

fn line(end: f64) -> Option<Curve> {
    Some(Curve::new(vec![[0.0, 0.0], [end, 1.0], [1.0, 1.0]]).unwrap())
}

#[test]
fn pixels_have_the_curves_that_there_are() {
    let mut with_pixels = finished(scores(50, 40));
    with_pixels.pixels = PixelCurves {
        roc: line(0.25),
        precision_recall: None,
        pro: line(0.5),
        fpr_limit: FprLimit::new(0.3),
        pimo: Curve::new(vec![[1e-5, 0.0], [1e-4, 1.0]]).ok(),
    };
    let html = checked(&report(vec![run(
        0,
        Outcome::Finished(Box::new(with_pixels)),
    )]));
    for said in [
        "ROC of pixels",
        "Overlap with defects",
        "AUPRO is the shaded area up to the rate 0.30",
        "Overlap at few false alarms",
        ">1e-5</text>",
    ] {
        assert!(html.contains(said), "{said}");
    }
    assert!(!html.contains("Precision and recall of pixels"));
    assert!(
        !html.contains("<h2>Curves</h2>"),
        "there is nothing to compare"
    );
}

#[test]
fn runs_on_the_same_images_share_a_drawing_and_each_colour_is_named() {
    let mut others = good(3);
    others.category = "grass".to_owned();
    let mut runs: Vec<Run> = (0..3).map(good).collect();
    runs.push(others);
    let html = checked(&report(runs));
    let groups = html.split("<h2>Curves</h2>").nth(1).unwrap();
    let groups = groups.split("<h2>Runs</h2>").next().unwrap();
    assert_eq!(groups.matches("<div class=\"group\">").count(), 1);
    // Once in the drawing, once beside its name.
    for colour in ["c0", "c1", "c2"] {
        let class = format!("class=\"curve {colour}\"");
        assert_eq!(groups.matches(&class).count(), 2, "{colour}");
    }
    assert!(groups.contains("<a href=\"#run-2\">Run 2</a> Padim · seed 3 <small>AUROC 0.5020"));
    assert!(!groups.contains("grass") && !groups.contains("ROC of pixels"));
    let html = checked(&report((0..20).map(good).collect()));
    assert!(html.contains("12 runs more, not drawn"));
}

#[test]
fn the_scale_of_the_maps_is_said_where_there_are_maps() {
    let Outcome::Finished(mut with_maps) = with_pictures(0, 300).outcome else {
        panic!("it is finished");
    };
    with_maps.heat = Some([12.5, 30.0]);
    let html = checked(&report(vec![run(0, Outcome::Finished(with_maps))]));
    assert!(
        html.contains("from 12.50 to 30.00. Light blue"),
        "the scale"
    );
}

#[test]
fn what_was_chosen_on_the_test_images_is_said_to_flatter() {
    let mut chosen = finished(scores(50, 40));
    chosen.cut = Some(cut(Origin::ChosenOn(SplitRole::Test)));
    let html = checked(&report(vec![run(0, Outcome::Finished(Box::new(chosen)))]));
    assert!(html.contains("chosen on the very images that are measured here"));
    let mut unknown = finished(scores(50, 40));
    unknown.cut = Cut::read(60.0, "package:unknown");
    let html = checked(&report(vec![run(0, Outcome::Finished(Box::new(unknown)))]));
    assert!(html.contains("does not say on which images its threshold was chosen"));
}

#[test]
fn what_has_no_label_is_shown_and_not_measured() {
    let unknown = |scored: &Scored| Scored {
        truth: Truth::Unknown,
        ..scored.clone()
    };
    let mut predicted = finished(Scores::new(scores(50, 40).iter().map(unknown).collect()));
    predicted.cut = Cut::read(80.0, "package:test");
    let called = predicted.scores.iter();
    let called = called.filter(|scored| scored.score.value() >= 80.0).count();
    let html = checked(&report(vec![run(
        0,
        Outcome::Finished(Box::new(predicted)),
    )]));
    for said in [
        "<dt>Image scores</dt><dd>90 <small>images scored",
        &format!("<dt>Anomalous</dt><dd>{called} <small>"),
        "<dt>Images without label</dt><dd>90</dd>",
        &format!("{called} of 90 anomalous"),
        "without label, 90",
        "<h4>Highest scores",
        "called anomalous</span>",
    ] {
        assert!(html.contains(said), "{said}");
    }
    for unsaid in [
        "False alarms",
        "Missed",
        "No curve",
        "no image was scored",
        "Test images",
        "better than they are",
        "called normal",
    ] {
        assert!(!html.contains(unsaid), "{unsaid}");
    }
}

#[test]
fn thresholds_are_read_as_tables_have_them() {
    for (word, origin, of_package) in [
        ("validation", Origin::ChosenOn(SplitRole::Validation), false),
        ("test", Origin::ChosenOn(SplitRole::Test), false),
        ("manual", Origin::Manual, false),
        (
            "package:validation",
            Origin::ChosenOn(SplitRole::Validation),
            true,
        ),
        ("package:manual", Origin::Manual, true),
        ("package:unknown", Origin::Unknown, true),
    ] {
        let cut = Cut::read(f64::from(0.1_f32), word).unwrap();
        assert_eq!(cut.threshold, Threshold::restore(0.1, origin).unwrap());
        assert_eq!(cut.of_package, of_package);
    }
    assert_eq!(Cut::read(1.0, "somewhere"), None);
    assert_eq!(Cut::read(f64::NAN, "manual"), None);
}

#[test]
fn decisions_are_counted_and_named() {
    let scores = Scores::new(vec![
        scored(Truth::Normal, 0, 10.0),
        scored(Truth::Normal, 1, 80.0), // at the threshold is anomalous
        scored(Truth::Normal, 2, 20.0),
        scored(Truth::Anomalous, 0, 79.9),
        scored(Truth::Anomalous, 1, 99.0),
    ]);
    let html = checked(&report(vec![run(
        0,
        Outcome::Finished(Box::new(finished(scores))),
    )]));
    for cell in [
        "<td class=\"right\"><b>2</b> passed",
        "<td class=\"wrong\"><b>1</b> false alarms",
        "<td class=\"wrong\"><b>1</b> missed",
        "<td class=\"right\"><b>1</b> found",
    ] {
        assert!(html.contains(cell), "{cell}");
    }
    assert_eq!(html.matches("class=\"verdict\">false alarm<").count(), 1);
    assert_eq!(html.matches("class=\"verdict\">missed<").count(), 1);
}

#[test]
fn an_image_whose_defect_has_an_aupimo_says_it_and_the_run_says_how_they_spread() {
    let scores = Scores::new(vec![
        scored(Truth::Normal, 0, 10.0),
        scored(Truth::Anomalous, 0, 79.9),
        scored(Truth::Anomalous, 1, 99.0),
    ]);
    let uris: Vec<String> = scores.iter().map(|scored| scored.uri.clone()).collect();
    let with = |aupimo: &[(usize, f64)]| {
        let values = aupimo.iter().map(|(at, value)| (uris[*at].clone(), *value));
        let finished = Finished {
            aupimo: values.collect(),
            ..finished(scores.clone())
        };
        checked(&report(vec![run(0, Outcome::Finished(Box::new(finished)))]))
    };
    let html = with(&[(1, 0.0), (2, 0.75)]);
    assert!(html.contains("<span class=\"aupimo\">AUPIMO 0.7500<"));
    assert!(html.contains("0.0000 to 0.7500, median 0.0000; nothing found in 1 of 2 images"));
    // Of a job without them nothing is said.
    assert!(!with(&[]).contains("AUPIMO"));
}

#[test]
fn a_hundred_runs_with_their_pictures_fit_and_what_is_left_out_is_said() {
    let runs: Vec<Run> = (0..100).map(|i| with_pictures(i, 9_000)).collect();
    let html = checked(&report(runs));
    assert_eq!(html.matches("<section class=\"run\"").count(), 100);
    // Each has some, the most important ones, and none has all.
    for section in html.split("<section class=\"run\"").skip(1) {
        let pictures = section.matches("<img ").count();
        assert!((2..48).contains(&pictures), "{pictures}");
        assert!(section.find("<img ") < section.find("left out to keep the file below 10 MB"));
    }
    let html = checked(&report(vec![with_pictures(0, PICTURE_LIMIT)]));
    assert!(html.contains("<img ") && html.contains("left out to keep"));
}

#[test]
fn thousands_of_runs_and_endless_texts_fit_too() {
    let mut runs: Vec<Run> = (0..3_000)
        .map(|i| {
            run(
                i,
                Outcome::Unfinished {
                    state: "failed".to_owned(),
                    error: "<\u{202e}".repeat(2_500),
                },
            )
        })
        .collect();
    for run in &mut runs {
        run.model = "\"".repeat(1_000);
    }
    let mut report = report(runs);
    report.job.name = "&".repeat(1_000_000);
    report.job.facts = vec![("'".repeat(100_000), "'".repeat(100_000)); 1_000];
    report.notes = vec!["\"".repeat(100_000); 1_000];
    let html = checked(&report);
    assert!(html.contains("left out here"));
}

#[test]
fn what_is_no_picture_is_not_embedded() {
    assert_eq!(
        Picture::new(b"<svg onload=alert(1)>".to_vec()),
        Err(NotAPicture::Format)
    );
    assert_eq!(Picture::new(Vec::new()), Err(NotAPicture::Format));
    let mut jpeg = vec![0xff, 0xd8, 0xff, 0xe0];
    assert!(Picture::new(jpeg.clone()).is_ok());
    jpeg.resize(PICTURE_LIMIT + 1, 0);
    let bytes = PICTURE_LIMIT + 1;
    assert_eq!(Picture::new(jpeg), Err(NotAPicture::TooLarge { bytes }));
}
