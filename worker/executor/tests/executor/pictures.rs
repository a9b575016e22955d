//! The pictures of a run, as a report shows them.

use std::{fs, path::Path};

use tables::{CurveRow, PictureRow};
use types::TaskKind;
use vision::{Limits, decode};

use crate::{
    images,
    job::{Job, yaml},
    process::Executor,
};

const PATCHCORE: &str = "{class_path: Patchcore, init_args: {backbone: resnet18, layers: [layer1, layer2], pre_trained: false}}";
/// Neither square, nor of the model's size.
const WIDTH: u32 = 128;
const HEIGHT: u32 = 96;

/// Where the square of a defect begins, whose side is 16.
fn square(index: u32) -> [u32; 2] {
    [20 + 11 * index, 16 + 23 * index]
}

/// The texture of the other tests with this size, and a square where there is a defect.
fn image(seed: u32, defect: Option<u32>) -> Vec<u8> {
    let texture = images::texture(seed);
    let pixel = |at: u32| {
        let (y, x) = (at / WIDTH, at % WIDTH);
        let is_defect = defect.is_some_and(|index| {
            let [top, left] = square(index);
            (top..top + 16).contains(&y) && (left..left + 16).contains(&x)
        });
        if is_defect {
            return 250;
        }
        texture[(y % images::SIDE * images::SIDE + x % images::SIDE) as usize]
    };
    (0..WIDTH * HEIGHT).map(pixel).collect()
}

fn dataset(root: &Path, anomalous: u32) {
    let write = |name: String, grey: &[u8]| {
        images::write_sized(&root.join("tiny").join(name), grey, WIDTH, HEIGHT);
    };
    for index in 0..8 {
        write(format!("train/good/{index:03}.png"), &image(index, None));
        let other = image(1000 + index, None);
        write(format!("test/good/{index:03}.png"), &other);
    }
    for index in 0..anomalous {
        let bad = image(2000 + index, Some(index));
        write(format!("test/bad/{index:03}.png"), &bad);
        let [top, left] = square(index);
        let inside = |at: u32| {
            let (y, x) = (at / WIDTH, at % WIDTH);
            (top..top + 16).contains(&y) && (left..left + 16).contains(&x)
        };
        let mask: Vec<u8> = (0..WIDTH * HEIGHT)
            .map(|at| if inside(at) { 255 } else { 0 })
            .collect();
        write(format!("ground_truth/bad/{index:03}_mask.png"), &mask);
    }
}

fn job(folder: &Path, out: &str) -> Job {
    let text = yaml(folder, "").replace("/out", out);
    let lines = text.lines().map(|line| match line.split_once(": ") {
        Some(("model", _)) => format!("model: {PATCHCORE}\n"),
        _ => format!("{line}\n"),
    });
    Job::new(folder, &lines.collect::<String>())
}

/// The middle of what is hottest in an overlay of a grey image: (y, x) in pixels.
fn middle_of_heat(jpeg: &[u8]) -> [f64; 2] {
    let picture = decode(jpeg, &Limits::default()).expect("a picture");
    assert_eq!((picture.width, picture.height), (WIDTH, HEIGHT));
    // Of the colours of heat, green goes first; the outline of the mask has no red.
    let heat: Vec<u8> = picture
        .data
        .chunks_exact(3)
        .map(|pixel| pixel[0].saturating_sub(pixel[1]))
        .collect();
    let most = heat.iter().copied().max().expect("pixels");
    assert!(most > 40, "nothing is hot");
    let (mut count, mut y, mut x) = (0.0, 0.0, 0.0);
    for (at, heat) in (0..).zip(heat) {
        if f64::from(heat) > 0.9 * f64::from(most) {
            count += 1.0;
            y += f64::from(at / WIDTH) + 0.5;
            x += f64::from(at % WIDTH) + 0.5;
        }
    }
    [y / count, x / count]
}

#[test]
fn heat_lies_on_the_defect_of_an_image_that_is_resized_and_cropped() {
    let folder = tempfile::tempdir().unwrap();
    dataset(&folder.path().join("data"), 4);
    let mut executor = Executor::start();
    let mut first = job(folder.path(), "/out");
    first.run(&mut executor, 2);
    let rows: Vec<PictureRow> = first.table(TaskKind::Reduce, "pictures.parquet");
    // Eight normal images are six of the worst and two of the best.
    let of = |label: &str, list: &str| {
        let is_of = |row: &&PictureRow| row.label == label && row.list == list;
        rows.iter().filter(is_of).count()
    };
    assert_eq!(of("normal", "worst"), 6);
    assert_eq!(of("normal", "best"), 2);
    assert_eq!(of("anomalous", "worst"), 4);
    assert_eq!(rows.len(), 12);
    for row in &rows {
        assert!(row.error.is_none(), "{row:?}");
        assert!(row.heat_low < row.heat_high);
        let image = decode(row.image.as_ref().unwrap(), &Limits::default()).unwrap();
        assert_eq!((image.width, image.height), (WIDTH, HEIGHT));
    }
    for index in 0..4 {
        let name = format!("bad/{index:03}.png");
        let row = rows.iter().find(|row| row.uri.ends_with(&name)).unwrap();
        let found = middle_of_heat(row.overlay.as_ref().unwrap());
        let expected = square(index).map(|first| f64::from(first + 8));
        for axis in 0..2 {
            // A cell of the map is 8 pixels wide and 6 high, and the weights are random.
            let off = (found[axis] - expected[axis]).abs();
            assert!(off < 9.0, "{name}: {found:?} instead of {expected:?}");
        }
    }
    let curves: Vec<CurveRow> = first.table(TaskKind::Reduce, "curves.parquet");
    for (level, curve) in [
        ("image", "ROC"),
        ("image", "PR"),
        ("pixel", "ROC"),
        ("pixel", "PR"),
        ("pixel", "PRO"),
    ] {
        let points: Vec<_> = curves
            .iter()
            .filter(|row| (row.level.as_str(), row.curve.as_str()) == (level, curve))
            .collect();
        let last = points.last().unwrap();
        assert_eq!((points[0].x, last.x), (0.0, 1.0), "{level} {curve}");
        assert_eq!(last.point as usize + 1, points.len());
    }

    // With other threads, the same bytes.
    let mut second = job(folder.path(), "/again");
    second.run(&mut executor, 1);
    let again: Vec<PictureRow> = second.table(TaskKind::Reduce, "pictures.parquet");
    assert_eq!(again, rows);
}

#[test]
fn a_picture_that_cannot_be_drawn_says_why_and_fails_nothing() {
    let folder = tempfile::tempdir().unwrap();
    dataset(&folder.path().join("data"), 3);
    let mut executor = Executor::start();
    let mut job = job(folder.path(), "/out");
    job.run_through(TaskKind::Score, &mut executor, 2);
    let data = folder.path().join("data/tiny");
    fs::remove_file(data.join("test/bad/000.png")).unwrap();
    fs::write(data.join("ground_truth/bad/001_mask.png"), b"no mask").unwrap();
    job.run(&mut executor, 2);
    let rows: Vec<PictureRow> = job.table(TaskKind::Reduce, "pictures.parquet");
    let of = |name: &str| rows.iter().find(|row| row.uri.ends_with(name)).unwrap();
    let gone = of("bad/000.png");
    assert_eq!((&gone.image, &gone.overlay), (&None, &None));
    assert!(gone.error.as_ref().unwrap().contains("000.png"), "{gone:?}");
    let without_outline = of("bad/001.png");
    assert!(without_outline.overlay.is_some());
    let error = without_outline.error.as_ref().unwrap();
    assert!(error.contains("001_mask.png"), "{error}");
    assert!(of("bad/002.png").error.is_none());
    let (result, _) = job.accepted(TaskKind::Evaluate);
    let said = result.warnings.join("\n");
    assert!(said.contains("2 of 11 pictures"), "{said}");
}
