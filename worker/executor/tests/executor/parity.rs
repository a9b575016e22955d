//! The certificate in the package of a run that trains.

use std::{fs, path::Path};

use package::{Agreement, Measured, PackageManifest, Parity, TOLERANCE};
use plan::ResultDetail;
use types::TaskKind;

use crate::{
    images,
    job::{Job, yaml},
    process::Executor,
};

fn package(job: &Job) -> PackageManifest {
    let (result, prefix) = job.accepted(TaskKind::Evaluate);
    let ResultDetail::Evaluate {
        package: Some(package),
        ..
    } = &result.detail
    else {
        panic!("{result:?}")
    };
    let path = job.store.local_path(&format!("{prefix}/{package}"));
    PackageManifest::from_json(&fs::read(path.expect("is there")).expect("is there"))
        .expect("is there")
}

fn run(folder: &Path, more: &str, out: &str, threads: u32) -> Job {
    let text = yaml(folder, more).replace("/out", out);
    let mut job = Job::new(folder, &text);
    job.run(&mut Executor::start(), threads);
    job
}

fn certificate(job: &Job) -> Parity {
    package(job).parity.expect("is there")
}

fn agreement(parity: &Parity) -> &Agreement {
    let compared = &parity.engines[0];
    assert_eq!(compared.engine, "onnxruntime");
    match &compared.result {
        Measured::Agreement(agreement) => agreement,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_other_engine_is_compared_or_named() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 8, 4);
    let one = certificate(&run(folder.path(), "", "/one", 2));
    // All of the eight test images.
    assert_eq!((one.images, one.skipped.len()), (8, 0));
    assert_eq!(one.reference.engine, "openvino");
    let found = agreement(&one);
    assert!(found.score_difference < 1e-4 && found.map_difference.unwrap() < 1e-4);
    // Two libraries do not round alike: zeros would mean that one was compared with itself.
    assert!(found.score_difference > 0.0, "{found:?}");
    assert!(found.rank_correlation.unwrap() > 0.95 && found.flips.unwrap() <= 1);
    let [_, torch, bf16] = &one.engines[..] else {
        panic!("{one:?}")
    };
    assert_eq!(torch.engine, "torch-cpu");
    let Measured::NotMeasured(why) = &torch.result else {
        panic!("{torch:?}")
    };
    assert!(why.contains("does not have it"), "{why}");
    assert_eq!(bf16.engine, "openvino-bf16");
    match &bf16.result {
        Measured::Agreement(found) => {
            assert_eq!(found.precision, "bf16");
            assert!(
                found.score_difference > 1e-5 && found.score_difference < 0.2,
                "{found:?}"
            );
        }
        // Of a processor without.
        Measured::NotMeasured(why) => assert!(why.contains("no instructions"), "{why}"),
        broken => panic!("{broken:?}"),
    }
    assert!(one.problems().is_empty(), "{one:?}");
    // It is the same again, on whatever threads.
    assert_eq!(certificate(&run(folder.path(), "", "/two", 1)), one);
}

#[test]
fn the_job_says_on_how_many_images_and_whether_at_all() {
    let folder = tempfile::tempdir().unwrap();
    images::dataset(&folder.path().join("data"), 8, 4);
    let three = certificate(&run(folder.path(), "parity: 3\n", "/three", 2));
    assert_eq!(three.images, 3);
    let none = run(folder.path(), "parity: 0\n", "/none", 2);
    assert_eq!(package(&none).parity, None);
    // It uses no engine then.
    let (result, _) = none.accepted(TaskKind::Evaluate);
    assert!(
        result
            .timings
            .iter()
            .all(|timing| timing.stage != "compile")
    );
}

#[test]
fn an_image_that_cannot_be_used_is_named_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    images::dataset(&data, 8, 4);
    let broken = data.join("tiny/test/good/000.png");
    let png = fs::read(&broken).unwrap();
    fs::write(&broken, &png[..png.len() / 2]).unwrap();
    let parity = certificate(&run(folder.path(), "", "/out", 2));
    let [skipped] = &parity.skipped[..] else {
        panic!("{parity:?}")
    };
    assert!(skipped.uri.ends_with("test/good/000.png"), "{skipped:?}");
    assert!(!skipped.reason.is_empty());
    assert_eq!(parity.images, 7);
    assert!(agreement(&parity).score_difference <= TOLERANCE);
}
