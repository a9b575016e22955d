//! Images without labels, scored by a trained package.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use objects::{Fault, Proxy};
use serde_json::Value;

use crate::cluster::commands;
use crate::images;
use crate::kills::wait_for_socket;
use crate::processes::Signal;
use crate::queues::{Queue, on_both_queues};
use crate::remote::{bucket, server};
use crate::sandbox::{JOB, LIMIT, Running, Sandbox, files};

on_both_queues!(
    every_image_of_every_place_is_scored_once_as_it_is_in_a_test,
    executors_that_are_killed_at_random_lose_and_double_no_image,
    an_incremental_job_scores_what_is_new_or_has_changed_and_answers_for_all,
    tables_of_many_nights_are_read_as_one_and_deleting_them_has_images_scored_again,
    too_many_bad_images_fail_the_job_and_what_was_scored_is_kept,
    images_in_archives_are_scored_where_they_lie,
    images_in_folders_that_are_called_like_archives_have_addresses_of_their_own,
    what_is_anomalous_has_boxes_and_its_map_and_pictures_are_kept,
    what_two_models_decide_otherwise_is_shown,
    images_are_drawn_by_their_exact_names_and_those_that_have_gone_are_told,
    masks_are_drawn_by_the_thresholds_of_pixels_that_a_job_has_now,
    runs_of_a_benchmark_are_drawn_each_by_its_own_model,
    images_in_a_bucket_are_scored_without_a_job_file,
    a_bucket_that_is_closed_in_the_middle_of_a_job_is_said_and_what_is_missing_is_done_when_it_is_open,
    what_is_not_there_is_said,
    a_job_that_computes_less_exactly_says_how_much_and_is_not_mixed_with_exact_ones,
    what_one_job_has_scored_is_skipped_and_what_cannot_be_skipped_is_said,
);

/// With the model `tiny`, trained on the sandbox's images.
fn trained(train: u32, test: u32) -> Sandbox {
    let sandbox = Sandbox::with_job(train, test);
    let train = JOB.replace("kind: benchmark", "kind: train");
    sandbox.write("train.yaml", &train);
    sandbox.ctl(&["run", "train.yaml"]).expect(0);
    sandbox
}

fn cluster(sandbox: &Sandbox, arguments: &[&str]) -> (Running, Running) {
    let coordinator = sandbox.start("coordinator", &[]);
    wait_for_socket(sandbox);
    (coordinator, sandbox.start("worker", arguments))
}

/// Score by the image's place in the sandbox, of rows that have one.
fn scores(sandbox: &Sandbox, job: &str) -> BTreeMap<String, String> {
    let rows = sandbox.json(&["results", job, "--scores"]);
    let rows = rows.as_array().unwrap().iter();
    let rows = rows.filter(|row| !row["score"].is_null());
    rows.map(|row| {
        let uri = row["uri"].as_str().unwrap();
        let place = uri.split_once("/data/").unwrap().1.to_owned();
        (place, row["score"].to_string())
    })
    .collect()
}

fn errors(sandbox: &Sandbox) -> Vec<(String, String)> {
    let rows = sandbox.json(&["results", "last", "--scores"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = rows.as_array().unwrap().iter();
    let bad = rows.filter(|row| row["score"].is_null());
    bad.map(|row| {
        let uri = text(&row["uri"]);
        let name = uri.rsplit('/').next().unwrap().to_owned();
        (name, text(&row["error_class"]))
    })
    .collect()
}

fn every_image_of_every_place_is_scored_once_as_it_is_in_a_test(queue: Queue) {
    let sandbox = trained(12, 6).on(queue);
    let tested = scores(&sandbox, "last");
    assert_eq!(tested.len(), 12);
    let (_coordinator, _worker) = cluster(&sandbox, &[]);

    // Places overlap, and the list names what is not there.
    let gap = "\n# not this one".repeat(3000);
    let list = format!(
        "# picked by hand\ndata/tiny/test/bad/0001.png\n\n./data/tiny/test/good/0002.png{gap}\ndata/tiny/gone.png\n"
    );
    sandbox.write("picked.txt", &list);
    let gap = "1,\n".repeat(3000);
    let list =
        format!("n,uri\n{gap}1,data/tiny/test/good/0003.png\n{gap}2,data/tiny/test/bad/0005.png\n");
    sandbox.write("picked.csv", &list);
    let list = sandbox.json(&["get", "jobs"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let table = files(&sandbox.path("out/jobs")).into_iter().find(|file| {
        file.ends_with("000001/scores.parquet") && file.to_string_lossy().contains(&list)
    });
    let table = table.unwrap();
    sandbox.write(
        "predict.yaml",
        &format!(
            "kind: predict\nname: night\nmodel: {{package: tiny}}\noutput: ./out\nmax_error_rows: 1\ndata:\n  - data/tiny/test/good\n  - \"data/tiny/**/bad/*.png\"\n  - data/tiny/test/good/0000.png\n  - picked.txt\n  - picked.csv\n  - {}\n",
            table.display()
        ),
    );
    let ran = sandbox.ctl(&["submit", "predict.yaml", "--wait"]);
    ran.expect(0);
    ran.tells(&["picked.csv has no address in 6000 of its rows, the first of them line 2"]);
    let mut predicted = scores(&sandbox, "last");
    // Masks are images, too, and the glob does not ask what they are for.
    predicted.retain(|place, _| !place.contains("ground_truth"));
    assert_eq!(predicted, tested);
    assert_eq!(
        errors(&sandbox),
        [("gone.png".to_owned(), "not_found".to_owned())]
    );
    let verified = sandbox.ctl(&["verify", "last"]);
    verified.expect(0);
    assert!(
        verified.stdout.contains("each image once"),
        "{}",
        verified.stdout
    );

    // The decision is that of the package, and what was decided is counted.
    let metrics = sandbox.json(&["results", "last", "--metrics"]);
    let row = &metrics[0];
    assert_eq!(row["metric"], "anomalous_rate");
    assert_eq!(row["threshold_split"], "package:test");
    let rows = sandbox.json(&["results", "last", "--scores"]);
    let anomalous = rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["is_anomalous"] == true);
    assert_eq!(row["anomalous"], anomalous.count());
    assert_eq!(row["errors"], 1);

    let top = sandbox.json(&["results", "last", "--top", "3"]);
    let top: Vec<f64> = top
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["score"].as_f64().unwrap())
        .collect();
    let mut all: Vec<f64> = rows
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["score"].as_f64())
        .collect();
    all.sort_by(|a, b| b.total_cmp(a));
    assert_eq!(top, all[..3]);
    let shown = sandbox.ctl(&["results", "last"]);
    for word in ["ANOMALOUS", "package:test", "--top 20"] {
        assert!(shown.stdout.contains(word), "{}", shown.stdout);
    }
    // A document has the same table.
    let markdown = sandbox.ctl(&["results", "last", "--as", "markdown"]);
    markdown.expect(0);
    let header = "| model | data | images | anomalous | share | errors |";
    assert!(markdown.stdout.contains(header), "{}", markdown.stdout);

    let said = sandbox.json(&["report", "last", "--to", "report.html"]);
    // Of the 12 images and their masks the six with the highest scores, and the six with the lowest.
    assert_eq!(
        (&said["pictures"], &said["pictures_missing"]),
        (&12.into(), &0.into())
    );
    let html = fs::read_to_string(sandbox.path("report.html")).unwrap();
    let found = format!("<dt>Anomalous</dt><dd>{} <small>", row["anomalous"]);
    assert!(html.contains(&found), "{html}");
    assert!(!html.contains("no image was scored"), "{html}");

    // No threshold can be chosen from images without labels: that is said before anything is changed.
    for chosen in [&["--f1"][..], &["--fpr", "0.01"]] {
        let asked = [&["rethreshold", "last"], chosen].concat();
        sandbox
            .ctl(&asked)
            .expect(2)
            .says(&["images without labels", "--manual"]);
    }
    let after = sandbox.json(&["get", "jobs"]);
    assert_eq!(after[0]["state"], "succeeded", "{after}");
}

fn what_is_anomalous_has_boxes_and_its_map_and_pictures_are_kept(queue: Queue) {
    let sandbox = trained(12, 6).served(queue);
    sandbox.write(
        "predict.yaml",
        "kind: predict\nname: night\nmodel: {package: tiny}\noutput: ./out\ndata: data/tiny/test\nmaps: anomalous\npictures: anomalous\n",
    );
    sandbox.ctl(&["run", "predict.yaml"]).expect(0);
    sandbox.ctl(&["verify", "last"]).expect(0);
    let rows = sandbox.json(&["results", "last", "--scores"]);
    let (mut anomalous, mut places) = (Vec::new(), Vec::new());
    for row in rows.as_array().unwrap() {
        let is_anomalous = row["is_anomalous"] == true;
        assert_eq!(row["map_row"].is_null(), !is_anomalous, "{row}");
        assert_eq!(row["boxes"].is_null(), !is_anomalous, "{row}");
        if is_anomalous {
            anomalous.push(row["uri"].as_str().unwrap().to_owned());
            places.push(row["map_row"].as_u64().unwrap());
            let part = row["map_part"].as_str().unwrap();
            assert!(sandbox.path("out").join(part).is_file(), "{part}");
            for one in row["boxes"].as_array().unwrap() {
                let at = |name: &str| one[name].as_u64().unwrap();
                let size = |name: &str| row[name].as_u64().unwrap();
                assert!(
                    at("x") + at("width") <= size("width") && at("width") > 0,
                    "{row}"
                );
                assert!(
                    at("y") + at("height") <= size("height") && at("height") > 0,
                    "{row}"
                );
            }
        }
    }
    assert!(anomalous.len() > 1 && anomalous.len() < 12, "{anomalous:?}");
    let all: Vec<u64> = (0..anomalous.len() as u64).collect();
    assert_eq!(places, all);

    // Drawn again later, and others besides.
    let drawn = sandbox.json(&["render", "last", "--top", "3", "--to", "pictures"]);
    let drawn = drawn["images"].as_array().unwrap().clone();
    assert_eq!(drawn.len(), 3);
    for (rank, image) in drawn.iter().enumerate() {
        assert!(image["note"].is_null(), "{image}");
        let paths = image["files"].as_array().unwrap();
        assert_eq!(paths.len(), 3, "{image}");
        for (file, magic) in paths.iter().zip([
            "\u{fffd}\u{fffd}\u{fffd}",
            "\u{fffd}\u{fffd}\u{fffd}",
            "\u{fffd}PNG",
        ]) {
            let file = file.as_str().unwrap();
            assert!(file.contains(&format!("{:03}-", rank + 1)), "{file}");
            let bytes = fs::read(sandbox.path(file)).unwrap();
            let begin = String::from_utf8_lossy(&bytes).into_owned();
            assert!(begin.starts_with(magic), "{file}");
        }
    }
    // The job that draws shows the model by the name that the job which is drawn has it by.
    let runs = sandbox.json(&["get", "runs", "last"]);
    assert_eq!(runs[0]["model"], "tiny", "{runs}");
    let shown = sandbox.ctl(&["results", "last"]);
    assert!(shown.stdout.contains("\ntiny "), "{}", shown.stdout);
    // Fewer take the place of those; a user's own file stays.
    let job = sandbox.job_ids().swap_remove(1);
    sandbox.write("pictures/notes.txt", "mine");
    sandbox
        .ctl(&["render", &job, "--top", "1", "--to", "pictures"])
        .expect(0);
    let left: Vec<String> = files(&sandbox.path("pictures"))
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        left.iter().filter(|name| name.starts_with("001-")).count(),
        3
    );
    assert_eq!(left.len(), 3 + 2, "{left:?}");
    let several = sandbox.ctl(&["render", "nothing"]);
    several.expect(3);
}

fn what_two_models_decide_otherwise_is_shown(queue: Queue) {
    let sandbox = trained(12, 6).served(queue);
    let predict = |threshold: &str| {
        let arguments = ["predict", "tiny", "data/tiny/test", "--to", "./out"];
        let threshold = format!("metrics.threshold={threshold}");
        let set = if threshold.ends_with('=') {
            Vec::new()
        } else {
            vec!["--set", threshold.as_str()]
        };
        sandbox.ctl(&[&arguments[..], &set].concat()).expect(0);
        sandbox.json(&["get", "jobs"])[0]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let first = predict("");
    let top = sandbox.json(&["results", &first, "--top", "12"]);
    let scores: Vec<f64> = top
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["score"].as_f64().unwrap())
        .collect();
    let before = top
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["is_anomalous"] == true)
        .count();
    // Between the first and the second.
    let second = predict(&((scores[0] + scores[1]) / 2.0).to_string());
    let found = sandbox.json(&["diff", &first, &second, "--to", "diff.html"]);
    assert_eq!(found["images"], 12);
    assert_eq!(found["to_anomalous"], 0);
    assert_eq!(found["to_normal"], before - 1);
    assert_eq!(found["rank_correlation"], 1.0);
    let version = |at: usize| found["models"][at]["version"].clone();
    assert_eq!([version(0), version(1)], [1, 1], "{found}");
    let page = fs::read_to_string(sandbox.path("diff.html")).unwrap();
    assert!(page.contains("tiny@1 → tiny@1"));
    let pictures = page.matches("data:image/jpeg").count();
    assert_eq!(
        pictures,
        3 * (before - 1).min(12),
        "image and two maps of each"
    );
    // Without pictures nothing has to be scored.
    let jobs = sandbox.json(&["get", "jobs"]).as_array().unwrap().len();
    let against_itself = [
        "diff",
        &first,
        &first,
        "--pictures",
        "0",
        "--to",
        "same.html",
    ];
    let same = sandbox.ctl(&against_itself);
    same.expect(0);
    assert!(
        same.stdout.contains("Of 12 images 0 have become anomalous"),
        "{}",
        same.stdout
    );
    assert_eq!(
        sandbox.json(&["get", "jobs"]).as_array().unwrap().len(),
        jobs
    );
    let there = sandbox.ctl(&against_itself);
    there.expect(2);
    // A camera that uses a name again has made another image.
    let place = sandbox.path("data/tiny/test/good/0000.png");
    images::write_sized(&place, &[90; 64 * 64], 64, 64);
    let again = [
        "predict",
        "tiny",
        "data/tiny/test",
        "--to",
        "./out",
        "--new",
    ];
    sandbox.ctl(&again).expect(0);
    let third = sandbox.job_ids().swap_remove(0);
    let changed = sandbox.json(&["diff", &first, &third, "--pictures", "0"]);
    let counted = ["images", "changed", "to_anomalous", "to_normal"].map(|name| &changed[name]);
    assert_eq!(counted, [11, 1, 0, 0], "{changed}");
}

fn images_are_drawn_by_their_exact_names_and_those_that_have_gone_are_told(queue: Queue) {
    let sandbox = trained(12, 6).on(queue);
    // Nothing else is where the job's pool has its workers.
    let (_coordinator, _worker) = cluster(&sandbox, &["--pool", "night"]);
    let odd = sandbox.path("data/odd");
    fs::create_dir(&odd).unwrap();
    let names = ["{brace}.png", "a[1]*?.png", "list.txt", "gone.png"];
    for (name, image) in names.into_iter().zip(["0000", "0001", "0002", "0003"]) {
        let image = sandbox.path(&format!("data/tiny/test/bad/{image}.png"));
        fs::copy(image, odd.join(name)).unwrap();
    }
    for archive in ["a.tar", "b.tar"] {
        let good = sandbox.path("data/tiny/test/good");
        tar(&good, &odd.join(archive), &["-cf"]);
    }
    let places = "[data/odd/*.png, data/odd/*.tar, data/odd/list.csv, 'data/odd/{{bra*']";
    sandbox.write("data/odd/list.csv", "uri\nlist.txt\n");
    let predict = |threshold: &str| {
        let text = format!(
            "kind: predict\nname: odd\nmodel: {{package: tiny}}\noutput: ./out\nresources: {{pool: night, retries: 5}}\ndata: {places}\nmetrics: {{threshold: {threshold}}}\n"
        );
        sandbox.write("odd.yaml", &text);
        sandbox.ctl(&["submit", "odd.yaml", "--wait"]).expect(0);
        sandbox.job_ids().swap_remove(0)
    };
    let (first, second) = (predict("0"), predict("1e9"));
    let count = sandbox.json(&["results", &first, "--scores"]);
    let count = count.as_array().unwrap().len();
    assert_eq!(count, 4 + 2 * 6);
    fs::remove_file(odd.join("gone.png")).unwrap();
    fs::remove_file(odd.join("b.tar")).unwrap();

    let drawn = sandbox.ctl(&["render", &first, "--to", "odd", "-o", "json"]);
    drawn
        .expect(0)
        .says(&["warning: 7 of 16 images could not be drawn", "not_found"]);
    let drawn: Value = serde_json::from_str(&drawn.stdout).unwrap();
    let drawn = drawn["images"].as_array().unwrap();
    assert_eq!(drawn.len(), count);
    for image in drawn {
        let uri = image["uri"].as_str().unwrap();
        let files = image["files"].as_array().unwrap().len();
        if uri.contains("gone.png") || uri.contains("b.tar!/") {
            let note = image["note"].as_str().unwrap();
            assert!(note.starts_with("not drawn: not_found"), "{image}");
            assert_eq!(files, 0, "{image}");
        } else {
            assert!(image["note"].is_null() && files == 3, "{image}");
        }
    }
    let job = sandbox.json(&["describe", "last"]);
    let resources = &job["resolved"]["resources"];
    assert_eq!(
        (&resources["pool"], &resources["retries"]),
        (&"night".into(), &5.into())
    );

    let changed = sandbox.ctl(&["diff", &first, &second, "--pictures", "24"]);
    changed
        .expect(0)
        .says(&["warning: 7 of 16 images could not be drawn"]);
    let page = sandbox.path(&format!("diff-{first}-{second}.html"));
    let page = fs::read_to_string(page).unwrap();
    assert_eq!(page.matches("data:image/jpeg").count(), 3 * 9);
    assert_eq!(page.matches("class=\"absent\">not_found: ").count(), 7);

    // Where the files cannot be is seen before a job runs.
    let jobs = sandbox.job_ids();
    sandbox.write("file", "");
    for (arguments, code, words) in [
        (
            &["render", &second, "--to", "odd"][..],
            2,
            "holds the pictures of run 0 of job",
        ),
        (&["render", &first, "--to", "file"], 2, "file is no folder"),
        (&["diff", &first, &second], 2, "is there already"),
        (
            &["diff", &first, &second, "--to", "no/x.html"],
            3,
            "cannot write no/x.html",
        ),
    ] {
        sandbox.ctl(arguments).expect(code).says(&[words]);
    }
    assert_eq!(sandbox.job_ids(), jobs);

    // Nothing of it is there any more: it is told of each, the command fails as its job does, and the pictures that an earlier one
    // drew stay.
    fs::remove_dir_all(&odd).unwrap();
    let before = files(&sandbox.path("odd"));
    let none = sandbox.ctl(&["render", &first, "--to", "odd", "-o", "json"]);
    none.expect(1).says(&[&format!(
        "ctl: not one of 16 images of job {first} could be drawn; nothing was written to odd"
    )]);
    let none: Value = serde_json::from_str(&none.stdout).unwrap();
    assert_eq!(none["folder"], Value::Null);
    let told = none["images"].as_array().unwrap();
    assert_eq!(told.len(), 16);
    for image in told {
        let note = image["note"].as_str().unwrap();
        assert!(note.starts_with("not drawn: not_found"), "{image}");
    }
    assert_eq!(files(&sandbox.path("odd")), before);
    assert_eq!(
        sandbox.json(&["describe", "last"])["job"]["state"],
        "failed"
    );
    sandbox
        .ctl(&["render", &first, "--to", "none"])
        .expect(1)
        .tells(&["not drawn: not_found"]);
    assert!(!sandbox.path("none").exists());
    // What changes is known without pictures.
    let changed = ["diff", &first, &second, "--to", "none.html"];
    sandbox
        .ctl(&changed)
        .expect(0)
        .says(&["warning: 12 of 12 images could not be drawn"]);
    let page = fs::read_to_string(sandbox.path("none.html")).unwrap();
    assert_eq!(page.matches("data:image/jpeg").count(), 0);
    assert_eq!(page.matches("class=\"absent\">not_found: ").count(), 12);
}

/// The masks that `ctl render` draws of a job's images, each once.
fn masks(sandbox: &Sandbox, job: &str, to: &str) -> BTreeSet<Vec<u8>> {
    sandbox.ctl(&["render", job, "--to", to]).expect(0);
    let files = files(&sandbox.path(to)).into_iter();
    let masks = files.filter(|path| path.to_string_lossy().ends_with("-mask.png"));
    masks.map(|path| fs::read(path).unwrap()).collect()
}

fn masks_are_drawn_by_the_thresholds_of_pixels_that_a_job_has_now(queue: Queue) {
    let sandbox = trained(12, 6).served(queue);
    let train = sandbox.job_ids().swap_remove(0);
    let predict = |set: &str| {
        let place = ["predict", "tiny", "data/tiny/test", "--to", "./out"];
        sandbox
            .ctl(&[&place[..], &["--set", set]].concat())
            .expect(0);
        sandbox.job_ids().swap_remove(0)
    };
    // Above every pixel, and below every one: all masks are alike.
    let job = predict("metrics.threshold={pixel: 1e9}");
    let nothing = masks(&sandbox, &job, "nothing");
    assert_eq!(nothing.len(), 1);
    let shown = sandbox.ctl(&["describe", &job]);
    let said = "masks    pixels at and above 1000000000\n";
    assert!(shown.stdout.contains(said), "{}", shown.stdout);
    let own = masks(&sandbox, &train, "own");
    assert!(own.len() > 1, "each image has its own");

    let mut all = None;
    for job in [&job, &train] {
        sandbox
            .ctl(&[
                "rethreshold",
                job,
                "--manual",
                "1",
                "--pixel",
                "-1",
                "--wait",
            ])
            .expect(0);
        let drawn = masks(&sandbox, job, &format!("all-{job}"));
        assert_eq!(drawn.len(), 1, "{job}");
        assert_ne!(drawn, nothing);
        assert_eq!(all.get_or_insert(drawn.clone()), &drawn);
    }
    let shown = sandbox.ctl(&["describe", &job]);
    let said = "masks    pixels at and above -1; boxes, and pictures that the job kept, are of the";
    assert!(shown.stdout.contains(said), "{}", shown.stdout);

    // Of a job without scores nothing is drawn.
    sandbox.write("data/bad.png", "no image");
    let bad = ["predict", "tiny", "data/bad.png", "--to", "./out"];
    sandbox
        .ctl(&[&bad[..], &["--set", "max_error_rows=100%"]].concat())
        .expect(1)
        .tells(&["not one of 1 image could be scored"]);
    let job = sandbox.job_ids().swap_remove(0);
    let jobs = sandbox.job_ids();
    sandbox
        .ctl(&["render", &job, "--to", "none"])
        .expect(3)
        .says(&["has scored no image"]);
    assert_eq!(sandbox.job_ids(), jobs);
    assert!(!sandbox.path("none").exists());
}

fn runs_of_a_benchmark_are_drawn_each_by_its_own_model(queue: Queue) {
    let sandbox = Sandbox::with_job(12, 6).served(queue);
    let grid = JOB.replace("seed: 0", "seed: {grid: [0, 1]}");
    sandbox.write("job.yaml", &grid);
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    let job = sandbox.job_ids().swap_remove(0);
    sandbox
        .ctl(&["render", &job])
        .expect(2)
        .says(&["has 2 runs"]);
    let packages = [0, 1].map(|run| {
        let drawn = sandbox.json(&["render", &format!("{job}/{run}"), "--top", "2"]);
        assert_eq!(drawn["folder"], format!("pictures-{job}-{run}"));
        for image in drawn["images"].as_array().unwrap() {
            assert_eq!(image["files"].as_array().unwrap().len(), 3, "{drawn}");
            assert!(image["note"].is_null(), "{drawn}");
        }
        let drawing = sandbox.json(&["describe", "last"]);
        // Each package has no name of its own: it is called what the run was.
        assert_eq!(drawing["runs"][0]["model"], "Padim resnet18", "{drawing}");
        drawing["resolved"]["runs"][0]["model"].clone()
    });
    assert_ne!(packages[0], packages[1]);
    let (first, second) = (format!("{job}/0"), format!("{job}/1"));
    let found = sandbox.json(&["diff", &first, &second]);
    let report = format!("diff-{job}-0-{job}-1.html");
    assert_eq!(
        (&found["report"], &found["images"]),
        (&report.clone().into(), &12.into())
    );
    assert!(sandbox.path(&report).is_file());
}

fn images_in_a_bucket_are_scored_without_a_job_file(queue: Queue) {
    let mut sandbox = trained(12, 6);
    let tested = scores(&sandbox, "last");
    let url = bucket(&sandbox, &server().endpoint(), str::to_owned).url;
    let config = sandbox.path("config.yaml").display().to_string();
    sandbox.set("NIGHTSHIFT_CONFIG", &config);
    let sandbox = sandbox.served(queue);
    let glob = format!("{url}/data/tiny/test/**/*.png");
    let ran = sandbox.ctl(&["predict", "tiny", &glob, "--to", "./out"]);
    ran.expect(0);
    assert!(ran.stdout.contains("package:test"), "{}", ran.stdout);
    assert_eq!(scores(&sandbox, "last"), tested);
}

const DENIED: Fault = Fault::Answer(
    "403 Forbidden",
    "<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>",
);

/// From the second request of a kind on, whoever asks is refused.
fn refuse_after_one(proxy: &Proxy, asks: impl Fn(&str) -> bool + Send + 'static) {
    let before = AtomicU32::new(0);
    proxy.set(
        move |line, _| match asks(line) && before.fetch_add(1, Ordering::Relaxed) > 0 {
            true => DENIED,
            false => Fault::Pass,
        },
    );
}

fn a_bucket_that_is_closed_in_the_middle_of_a_job_is_said_and_what_is_missing_is_done_when_it_is_open(
    queue: Queue,
) {
    let mut sandbox = Sandbox::with_job(12, 6);
    images::mvtec(&sandbox.path("data/tiny/night"), 300, 0);
    let proxy = Proxy::before(server().port());
    let bucket = bucket(&sandbox, &proxy.endpoint(), str::to_owned);
    let config = sandbox.path("config.yaml").display().to_string();
    sandbox.set("NIGHTSHIFT_CONFIG", &config);
    let sandbox = sandbox.served(queue);
    let train = bucket.job.replace("kind: benchmark", "kind: train");
    sandbox.write("train.yaml", &train);
    sandbox.ctl(&["run", "train.yaml"]).expect(0);
    let (night, out) = (
        format!("{}/data/tiny/night", bucket.url),
        format!("{}/out", bucket.url),
    );
    let predict = ["predict", "tiny", &night, "--to", &out, "--new"];

    // What is computed may not be written any more.
    refuse_after_one(&proxy, |line| {
        line.starts_with("PUT") && line.contains("/tasks/") && line.contains("scores.parquet")
    });
    let ran = sandbox.ctl(&predict);
    ran.expect(1);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("no permission to write s3://"), "{said}");
    assert!(said.contains("ctl retry"), "{said}");
    proxy.set(|_, _| Fault::Pass);
    sandbox.ctl(&["retry", "last", "--wait"]).expect(0);
    assert_eq!(scores(&sandbox, "last").len(), 300);
    sandbox.ctl(&["verify", "last"]).expect(0);
    let quiet = scores(&sandbox, "last");

    // Images may not be read any more: what was scored is not scored again.
    fs::remove_dir_all(sandbox.path("cache")).unwrap();
    refuse_after_one(&proxy, |line| {
        line.starts_with("GET") && line.contains("/night/") && line.contains("7.png")
    });
    let ran = sandbox.ctl(&predict);
    ran.expect(1);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    for words in ["29 of 300 images could not be scored", "7.png"] {
        assert!(said.contains(words), "{said}");
    }
    let denied = errors(&sandbox);
    assert!(
        denied.iter().all(|(_, word)| word == "denied"),
        "{denied:?}"
    );
    proxy.set(|_, _| Fault::Pass);
    let skip = [&predict[..], &["--skip", "last"]].concat();
    sandbox.ctl(&skip).expect(0);
    let job = sandbox.json(&["results", "last"]);
    assert_eq!(job["reused"]["images"], 271, "{job}");
    assert_eq!(scores(&sandbox, "last"), quiet);
    let verified = sandbox.json(&["verify", "last"]);
    let run = &verified["runs"][0];
    assert_eq!(
        (&run["scored"], &run["reused"]),
        (&29.into(), &271.into()),
        "{run}"
    );
}

fn too_many_bad_images_fail_the_job_and_what_was_scored_is_kept(queue: Queue) {
    let sandbox = trained(12, 6).served(queue);
    images::write_truncated(&sandbox.path("data/tiny/test/good/0001.png"));
    fs::write(sandbox.path("data/tiny/test/good/0002.png"), "no image").unwrap();
    fs::write(sandbox.path("data/tiny/test/good/moving.gif"), "GIF89a").unwrap();
    let arguments = ["predict", "tiny", "data/tiny/test/good", "--to", "./out"];
    let ran = sandbox.ctl(&arguments);
    ran.expect(1);
    ran.tells(&[
        "2 of 6 images could not be scored",
        "max_error_rows (1 %)",
        "000",
    ]);
    // The listing's warning, whatever became of the job.
    for said in [
        format!("{}{}", ran.stdout, ran.stderr),
        sandbox.ctl(&["describe", "last"]).stdout,
        sandbox.ctl(&["results", "last"]).stdout,
    ] {
        assert_eq!(said.matches("warning: run 0: ").count(), 1, "{said}");
        assert!(said.contains(".gif"), "{said}");
    }
    assert_eq!(scores(&sandbox, "last").len(), 4);
    assert_eq!(errors(&sandbox).len(), 2);
    ran.tells(&["`skip` of this one"]);
    // Those are the images of which somebody wants to see more.
    let failed = sandbox.job_ids().swap_remove(0);
    let drawn = sandbox.ctl(&["render", &failed, "--to", "drawn"]);
    drawn.expect(0);
    drawn.tells(&["drawn by tiny of its job file"]);
    let drawn = fs::read_dir(sandbox.path("drawn")).unwrap();
    assert!(drawn.count() > 4);
    let anew = sandbox.ctl(&["rethreshold", &failed, "--manual", "1"]);
    anew.expect(2);
    anew.says(&["images are scored", "has failed", "`ctl describe"]);
    assert!(!anew.stderr.contains("ctl retry"), "{}", anew.stderr);
    // What is taken over is answered for: nothing was mended.
    let skip = [&arguments[..], &["--skip", &failed]].concat();
    let ran = sandbox.ctl(&skip);
    ran.expect(1);
    ran.tells(&["2 of 6 images could not be scored"]);
    let bearable = [&skip[..], &["--set", "max_error_rows=40%"]].concat();
    sandbox.ctl(&bearable).expect(0);
    let bearable = [&arguments[..], &["--set", "max_error_rows=40%"]].concat();
    let ran = sandbox.ctl(&bearable);
    ran.expect(0);
    assert_eq!(scores(&sandbox, "last").len(), 4);

    sandbox
        .ctl(&["results", "last", "--top", "0"])
        .expect(2)
        .says(&["--top"]);
    // What the first page says of it, from top to bottom, until another job is the last.
    let text = commands("README.md", "## What you get");
    let (before, after) = text.split_once("bin/ctl export").unwrap();
    assert!(before.contains("rethreshold last") && !after.contains("last"));
    for line in before.lines().filter(|line| line.contains("last")) {
        let line = line.split('#').next().unwrap();
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        sandbox.ctl(&words).expect(0);
    }
}

fn what_is_not_there_is_said(queue: Queue) {
    let sandbox = trained(12, 2).served(queue);
    fs::create_dir(sandbox.path("data/empty")).unwrap();
    sandbox.write("predict.py", "");
    for (place, words) in [
        (
            "data/tiny/tset",
            "there is no such folder; did you mean \"test\"?",
        ),
        ("data/empty", "the folder is empty"),
        ("predict.py", "is a file whose ending is that of no image"),
        ("data/tiny/tset/*.png", "there is no image to score at"),
        ("data/tiny/test/good/9.png", "does not exist"),
        ("data/list.csv", "does not exist"),
    ] {
        let ran = sandbox.ctl(&["predict", "tiny", place, "--to", "./out"]);
        ran.expect(1);
        ran.tells(&[words]);
    }
    // What an archive has instead is why.
    let links = sandbox.path("links");
    fs::create_dir(&links).unwrap();
    std::os::unix::fs::symlink("elsewhere.png", links.join("link.png")).unwrap();
    tar(&links, &sandbox.path("data/links.tar"), &["-cf"]);
    let ran = sandbox.ctl(&["predict", "tiny", "data/links.tar", "--to", "./out"]);
    ran.expect(1);
    ran.tells(&[
        "there is no image to score at",
        "1 entry is left out: ",
        "link.png: it is a link",
    ]);
    // Nor are images forgotten that nothing here reads.
    fs::create_dir(sandbox.path("data/moving")).unwrap();
    sandbox.write("data/moving/a.gif", "GIF89a");
    let ran = sandbox.ctl(&["predict", "tiny", "data/moving", "--to", "./out"]);
    ran.expect(1);
    let said = "1 image is left out: .gif is not read here";
    ran.tells(&[said]);
    let new = ["--set", "data.init_args.modified_since='2100-01-01'"];
    let place = ["predict", "tiny", "data/tiny/test/good", "--to", "./out"];
    let ran = sandbox.ctl(&[&place[..], &new].concat());
    ran.expect(1);
    ran.tells(&["2 images are there, and left out by min_bytes"]);
    // One that is named is a row.
    let gif = ["predict", "tiny", "data/moving/a.gif", "--to", "./out"];
    sandbox
        .ctl(&[&gif[..], &["--set", "max_error_rows=1"]].concat())
        .expect(1);
    assert_eq!(
        errors(&sandbox),
        [("a.gif".to_owned(), "unsupported".to_owned())]
    );
    // One odd name costs no night, and what looks like an image is a row.
    let odd = sandbox.path("data/odd [1]");
    fs::create_dir_all(odd.join("sub")).unwrap();
    fs::copy(
        sandbox.path("data/tiny/test/good/0000.png"),
        odd.join("a.png"),
    )
    .unwrap();
    std::os::unix::fs::symlink("nowhere", odd.join("today")).unwrap();
    std::os::unix::fs::symlink("nowhere", odd.join("b.png")).unwrap();
    std::os::unix::fs::symlink("..", odd.join("sub/up")).unwrap();
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff");
    fs::write(odd.join("sub").join(name), "x").unwrap();
    let bearable = ["--set", "max_error_rows=1"];
    let place = ["predict", "tiny", "data/odd [1]", "--to", "./out"];
    let ran = sandbox.ctl(&[&place[..], &bearable].concat());
    ran.expect(0);
    ran.tells(&["3 names are left out, for the first one this is why: "]);
    let row = ("b.png".to_owned(), "not_found".to_owned());
    assert_eq!(errors(&sandbox), [row]);
    let glob = ["predict", "tiny", "data/odd [[]1]/a.*", "--to", "./out"];
    let ran = sandbox.ctl(&glob);
    ran.expect(0);
    assert!(!ran.stdout.contains("left out"), "{}", ran.stdout);
    sandbox.write("list.csv", "n,path\n1,a.png\n");
    let ran = sandbox.ctl(&["predict", "tiny", "list.csv", "--to", "./out"]);
    ran.expect(1);
    let said = "list.csv: there is no column \"uri\"; the file has n, path";
    ran.tells(&[said]);
    let ran = sandbox.ctl(&["predict", "small", "data/tiny/test", "--to", "./out"]);
    ran.expect(1);
    ran.tells(&["no model \"small\""]);
    let by = |model: &str| {
        let write = format!("model.package={model}");
        sandbox.write(
            "by.yaml",
            "kind: predict\nname: by\nmodel: {package: tiny}\noutput: ./out\ndata: data/tiny/test\n",
        );
        sandbox.ctl(&["run", "by.yaml", "--set", &write])
    };
    let ran = by("tiny@9");
    ran.expect(1);
    ran.tells(&["no model \"tiny@9\""]);
    sandbox.write("tiny.pt", "PK");
    let ran = by("./tiny.pt");
    ran.expect(1);
    ran.tells(&["TorchScript, which is not read"]);
    // What stands in the store's `models/` says where the package is.
    by("./out/models/tiny/000001.json").expect(0);
}

fn executors_that_are_killed_at_random_lose_and_double_no_image(queue: Queue) {
    let sandbox = trained(12, 2).on(queue);
    images::mvtec(&sandbox.path("data/many"), 700, 2);
    let (_coordinator, worker) = cluster(&sandbox, &["--slots", "2"]);
    sandbox.write(
        "predict.yaml",
        "kind: predict\nmodel: {package: tiny}\noutput: ./out\ndata: data/many/train/good\nresources: {retries: 20}\n",
    );
    let following = sandbox.start("ctl", &["submit", "predict.yaml", "--wait"]);
    for _ in 0..2 {
        let executor = worker.program("executor");
        executor.signal(Signal::KILL);
        executor.wait_for_end(LIMIT);
    }
    following.wait(LIMIT).expect(0);
    assert_eq!(scores(&sandbox, "last").len(), 700);
    sandbox.ctl(&["verify", "last"]).expect(0);
}

fn an_incremental_job_scores_what_is_new_or_has_changed_and_answers_for_all(queue: Queue) {
    let sandbox = trained(12, 6).served(queue);
    let training = sandbox.json(&["get", "jobs"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let yaml = "kind: predict\nname: night\nmodel: {package: tiny}\noutput: ./out\nmax_error_rows: 50%\ndata: [data/tiny/test, list.txt]\nincremental: true\n";
    sandbox.write("night.yaml", yaml);
    sandbox.write("list.txt", "data/later/0000.png\n");
    images::write_truncated(&sandbox.path("data/tiny/test/good/0001.png"));
    // Scored anew, and of them reused.
    let night = |scored: usize, reused: u64| {
        sandbox.ctl(&["run", "night.yaml", "--new"]).expect(0);
        let job = sandbox.json(&["results", "last"]);
        assert_eq!(
            job["reused"]["images"].as_u64().unwrap_or(0),
            reused,
            "{job}"
        );
        let metrics = sandbox.json(&["results", "last", "--metrics"]);
        let number = |name: &str| metrics[0][name].as_u64().unwrap() as usize;
        assert_eq!(
            number("normal") + number("anomalous") + number("errors"),
            scored
        );
        let verified = sandbox.json(&["verify", "last"]);
        assert_eq!(verified["whole"], true, "{verified}");
        assert_eq!(verified["runs"][0]["reused"], reused, "{verified}");
        scores(&sandbox, "last")
    };
    let first = night(13, 0);
    assert_eq!(errors(&sandbox).len(), 2);
    // The broken image stays broken; the missing one may have come.
    assert_eq!(night(1, 12), first);
    assert_eq!(errors(&sandbox).len(), 2);

    images::mvtec(&sandbox.path("data/later-made"), 1, 0);
    fs::create_dir_all(sandbox.path("data/later")).unwrap();
    fs::rename(
        sandbox.path("data/later-made/train/good/0000.png"),
        sandbox.path("data/later/0000.png"),
    )
    .unwrap();
    images::write_sized(
        &sandbox.path("data/tiny/test/good/0002.png"),
        &[90; 64 * 64],
        64,
        64,
    );
    let later = night(2, 11);
    assert_eq!(later.len(), first.len() + 1);
    let changed: Vec<&String> = first
        .iter()
        .filter(|(image, score)| later[*image] != **score)
        .map(|(image, _)| image)
        .collect();
    assert_eq!(changed, ["tiny/test/good/0002.png"]);
    assert_eq!(night(0, 13), later);
    // Where a job looks, and what it leaves out, is in no score.
    let elsewhere = "{class_path: PredictDataset, init_args: {path: data, min_bytes: 1, extensions: .png, modified_since: '{yesterday}'}}";
    let elsewhere = yaml.replace("[data/tiny/test, list.txt]", elsewhere);
    sandbox.write("night.yaml", &elsewhere);
    // Images to learn from, and masks, are new.
    let of_all = night(12 + 6, 13);
    assert!(later.iter().all(|(image, score)| of_all[image] == *score));
    sandbox.write("night.yaml", yaml);
    // Another threshold makes another version of the model, and no other raw score.
    sandbox
        .ctl(&["rethreshold", &training, "--manual", "1e9", "--wait"])
        .expect(0);
    assert_eq!(night(0, 13), later);
    let rows = sandbox.json(&["results", "last", "--scores"]);
    let mut decided = rows.as_array().unwrap().iter();
    assert!(decided.all(|row| row["is_anomalous"] != true), "{rows}");
    // This job, too, decides otherwise what earlier ones had scored: all but the broken one.
    let last = ["rethreshold", "last", "--manual", "-1e9", "--wait"];
    let changed = sandbox.json(&last);
    assert_eq!(changed["runs"][0]["to_anomalous"], 12, "{changed}");
    assert_eq!(changed["runs"][0]["to_normal"], 0, "{changed}");

    // What is asked for of them now would take scoring them.
    sandbox.write("night.yaml", &format!("{yaml}maps: all\npictures: all\n"));
    assert_eq!(night(0, 13), later);
    let told = sandbox.ctl(&["results", "last"]).stdout;
    for said in [
        "warning: run 0: `maps`: there is none of 12 images that earlier jobs have scored",
        "pictures of images scored before are kept by the jobs that scored them",
    ] {
        assert!(told.contains(said), "{told}");
    }
    sandbox
        .ctl(&["report", "last", "--to", "none.html"])
        .expect(0);
    let page = fs::read_to_string(sandbox.path("none.html")).unwrap();
    assert!(page.contains("no image was scored anew: 13 images by earlier jobs"));
    assert!(!page.contains("false alarms"), "nothing is measured");

    // Another engine knows nothing of it.
    let other = yaml.replace("data: [data/tiny/test, list.txt]", "data: data/tiny/test");
    let other = format!("{other}resources: {{engine: onnxruntime}}\nmaps: all\n");
    sandbox.write("night.yaml", &other);
    night(12, 0);
    // Maps are those of the jobs that have scored the images: nothing is missing.
    night(0, 12);
    let told = sandbox.ctl(&["results", "last"]).stdout;
    assert!(!told.contains("`maps`"), "{told}");
    // They go with those jobs.
    for path in crate::sandbox::files(&sandbox.path("out/jobs")) {
        if path.ends_with("maps.parquet") {
            fs::remove_file(path).unwrap();
        }
    }
    night(0, 12);
    let told = sandbox.ctl(&["results", "last"]).stdout;
    assert!(told.contains("`maps`: there is none of"), "{told}");
}

/// Copies of a night's table stand for more nights: what they say is known already.
fn tables_of_many_nights_are_read_as_one_and_deleting_them_has_images_scored_again(queue: Queue) {
    let sandbox = trained(12, 6).served(queue);
    let yaml = "kind: predict\nname: night\nmodel: {package: tiny}\noutput: ./out\ndata: data/tiny/test\nincremental: true\n";
    sandbox.write("night.yaml", yaml);
    let night = |reused: u64| {
        sandbox.ctl(&["run", "night.yaml", "--new"]).expect(0);
        let verified = sandbox.json(&["verify", "last"]);
        assert_eq!(verified["whole"], true, "{verified}");
        assert_eq!(verified["runs"][0]["reused"], reused, "{verified}");
        scores(&sandbox, "last")
    };
    let first = night(0);
    let folder = only_entry(&sandbox.path("out/index"));
    let merged = folder.join("merged");
    let segment = only_entry(&folder);
    for copy in 1..16 {
        fs::copy(&segment, folder.join(format!("copy{copy:04}.parquet"))).unwrap();
    }
    assert_eq!(night(12), first);
    let table = only_entry(&merged);
    // Else the seventeen would have been merged again.
    assert_eq!(night(12), first);
    assert_eq!(only_entry(&merged), table);
    // One that is gone, and the merged one is void; the others say the same.
    fs::remove_file(folder.join("copy0001.parquet")).unwrap();
    assert_eq!(night(12), first);
    assert_eq!(merged.read_dir().unwrap().count(), 2);
    // Without any there is nothing that is known, whatever the merged ones say.
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(night(0), first);
    fs::remove_dir_all(&merged).unwrap();
    assert_eq!(night(12), first);
    // One that is damaged is as if it was not there, and is named.
    let size = |file: &std::path::PathBuf| fs::metadata(file).unwrap().len();
    let segment = segments(&folder).into_iter().max_by_key(size).unwrap();
    for file in segments(&folder) {
        if file != segment {
            fs::remove_file(file).unwrap();
        }
    }
    let whole = fs::read(&segment).unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap();
    fs::write(&segment, &whole[..500]).unwrap();
    let ran = sandbox.ctl(&["run", "night.yaml", "--new"]);
    ran.expect(0);
    ran.tells(&[
        name,
        "cannot be read",
        "its images are scored again; delete it",
    ]);
    assert_eq!(scores(&sandbox, "last"), first);
    assert_eq!(sandbox.json(&["verify", "last"])["whole"], true);
    // In its midst, with its end whole; what was scored again is known beside it.
    let mut broken = whole.clone();
    broken[8..200].fill(0xff);
    fs::write(&segment, &broken).unwrap();
    assert_eq!(night(12), first);
    fs::write(&segment, &whole).unwrap();
    // A merged table of which nobody knows what it is made of is named.
    fs::create_dir(&merged).unwrap();
    fs::copy(&segment, merged.join("foreign.parquet")).unwrap();
    let refused = sandbox.ctl(&["run", "night.yaml", "--new"]);
    refused.expect(1);
    refused.tells(&["foreign.parquet does not say which tables of the index it was merged from"]);
}

/// The one thing in a folder.
fn only_entry(folder: &std::path::Path) -> std::path::PathBuf {
    let mut entries = folder.read_dir().expect("a folder");
    let entry = entries.next().expect("something").expect("an entry");
    assert!(entries.next().is_none(), "more than one in {folder:?}");
    entry.path()
}

/// The files of a folder.
fn segments(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = folder.read_dir().expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.is_file()).collect()
}

/// A tar as `tar` writes it.
pub fn tar(folder: &std::path::Path, archive: &std::path::Path, arguments: &[&str]) {
    let status = std::process::Command::new("tar")
        .args(arguments)
        .arg(archive)
        .arg("-C")
        .arg(folder)
        .arg(".")
        .status()
        .unwrap();
    assert!(status.success());
}

fn images_in_archives_are_scored_where_they_lie(queue: Queue) {
    let sandbox = trained(12, 6).served(queue);
    let tested = scores(&sandbox, "last");
    let folder = sandbox.path("data/tiny/test");
    std::os::unix::fs::symlink("good/0000.png", folder.join("link.png")).unwrap();
    tar(&folder, &sandbox.path("data/a.tar"), &["-cf"]);
    tar(&folder, &sandbox.path("data/b.tar.gz"), &["-czf"]);
    fs::remove_file(folder.join("link.png")).unwrap();
    for archive in ["a.tar", "b.tar.gz"] {
        let place = format!("data/{archive}");
        let ran = sandbox.ctl(&["predict", "tiny", &place, "--to", "./out"]);
        ran.expect(0);
        ran.tells(&["1 entry is left out: ", "link.png: it is a link"]);
        let found: BTreeMap<String, String> = scores(&sandbox, "last")
            .into_iter()
            .map(|(place, score)| (place.replace(&format!("{archive}!/"), "tiny/test/"), score))
            .collect();
        assert_eq!(found, tested, "{archive}");
        sandbox.ctl(&["verify", "last"]).expect(0);
        // The pictures of the two that are most anomalous.
        let to = format!("pictures-{archive}");
        let drawn = sandbox.json(&["render", "last", "--top", "2", "--to", &to]);
        let images = drawn["images"].as_array().unwrap();
        assert_eq!(images.len(), 2, "{drawn}");
        for image in images {
            assert_eq!(image["note"], Value::Null, "{drawn}");
            let files = image["files"].as_array().unwrap();
            assert!(files.len() >= 2, "{drawn}");
            for file in files {
                let picture = fs::read(sandbox.path(file.as_str().unwrap())).unwrap();
                assert!(picture.len() > 100, "{file}");
            }
        }
    }

    // What a job has written of images in archives is a list, and so is what somebody writes who knows their names. Those
    // that are not to be had are rows like others.
    let names = ["b.tar.gz!/bad/0001.png", "a.tar!/good/0000.png"];
    let bad = ["a.tar!/link.png", "a.tar!/gone.png", "gone.zip!/a.png"];
    let lines = [&names[..], &bad[..], &["tiny/test"]].concat();
    sandbox.write("data/archived.txt", &lines.join("\n"));
    let list = [
        "predict",
        "tiny",
        "data/archived.txt",
        "data/a.tar!/gone.png",
        "--set",
        "max_error_rows=4",
        "--to",
        "./out",
    ];
    sandbox.ctl(&list).expect(0);
    let found = scores(&sandbox, "last");
    let expected = names.map(|name| {
        let (_, place) = name.split_once("!/").unwrap();
        (
            name.to_owned(),
            tested[&format!("tiny/test/{place}")].clone(),
        )
    });
    assert_eq!(found, expected.into());
    let expected = [
        ("gone.png", "not_found"),
        ("link.png", "not_a_file"),
        ("a.png", "not_found"),
        ("test", "not_a_file"),
    ];
    let expected = expected.map(|(name, word)| (name.to_owned(), word.to_owned()));
    assert_eq!(errors(&sandbox), expected);
    let csv = sandbox.ctl(&["results", "last", "--scores", "--as", "csv"]);
    sandbox.write("again.csv", &csv.stdout);
    let list = ["predict", "tiny", "again.csv", "--to", "./out"];
    let bearable = [&list[..], &["--set", "max_error_rows=4"]].concat();
    sandbox.ctl(&bearable).expect(0);
    assert_eq!(scores(&sandbox, "last"), found);

    // A glob that ends like archives opens them; a folder only says that they are there.
    let ran = sandbox.ctl(&["predict", "tiny", "data/[ab].tar*", "--to", "./out"]);
    ran.expect(1);
    ran.tells(&["2 archives are not opened, the first is "]);
    sandbox
        .ctl(&["predict", "tiny", "data/?.tar", "--to", "./out"])
        .expect(0);
    assert_eq!(scores(&sandbox, "last").len(), tested.len());

    // Cut off, and changed between listing and scoring.
    let whole = fs::read(sandbox.path("data/a.tar")).unwrap();
    fs::write(sandbox.path("data/cut.tar"), &whole[..whole.len() / 2]).unwrap();
    let ran = sandbox.ctl(&["predict", "tiny", "data/cut.tar", "--to", "./out"]);
    ran.expect(1);
    assert!(
        ran.stdout.contains("data/cut.tar") || ran.stderr.contains("data/cut.tar"),
        "{ran:?}"
    );
    fs::write(sandbox.path("data/no.zip"), "no archive").unwrap();
    let ran = sandbox.ctl(&["predict", "tiny", "data/no.zip", "--to", "./out"]);
    ran.expect(1);
    assert!(
        ran.stdout.contains("is not a zip archive") || ran.stderr.contains("is not a zip archive"),
        "{ran:?}"
    );
}

fn images_in_folders_that_are_called_like_archives_have_addresses_of_their_own(queue: Queue) {
    let sandbox = trained(12, 6).served(queue);
    let tested = scores(&sandbox, "last");
    // As paths the images in the folder are called what those in the archive are.
    tar(
        &sandbox.path("data/tiny/test/bad"),
        &sandbox.path("data/x.tar"),
        &["-cf"],
    );
    let folder = sandbox.path("data/x.tar!");
    fs::create_dir(&folder).unwrap();
    for name in ["0000.png", "0001.png"] {
        let image = sandbox.path("data/tiny/test/good").join(name);
        fs::copy(image, folder.join(name)).unwrap();
    }
    let expected: BTreeMap<String, String> = tested
        .iter()
        .filter_map(|(place, score)| {
            let name = match place.rsplit_once('/')? {
                ("tiny/test/bad", name) => format!("x.tar!/{name}"),
                (_, name @ ("0000.png" | "0001.png")) => format!("x.tar%21/{name}"),
                _ => return None,
            };
            Some((name, score.clone()))
        })
        .collect();
    assert_eq!(expected.len(), 8);
    let both = ["predict", "tiny", "data/x.tar", "data/x.tar!"];
    sandbox
        .ctl(&[&both[..], &["--to", "./out"]].concat())
        .expect(0);
    assert_eq!(scores(&sandbox, "last"), expected);
    sandbox.ctl(&["verify", "last"]).expect(0);
    let csv = sandbox.ctl(&["results", "last", "--scores", "--as", "csv"]);

    let drawn = sandbox.json(&["render", "last", "--to", "drawn"]);
    let drawn = drawn["images"].as_array().unwrap();
    assert_eq!(drawn.len(), 8);
    for image in drawn {
        // Of another image there would be a note that it has changed.
        assert!(image["note"].is_null(), "{image}");
        assert_eq!(image["files"].as_array().unwrap().len(), 3, "{image}");
    }
    // A table is a list, and its addresses are addresses for a user, too.
    sandbox.write("again.csv", &csv.stdout);
    let again = ["predict", "tiny", "again.csv", "--to", "./out"];
    sandbox.ctl(&again).expect(0);
    assert_eq!(scores(&sandbox, "last"), expected);
    let address = format!("file://{}", sandbox.path("data/x.tar%21/*.png").display());
    sandbox
        .ctl(&["predict", "tiny", &address, "--to", "./out"])
        .expect(0);
    let found = scores(&sandbox, "last");
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|(place, score)| expected[place] == *score));

    // Where there is no such archive, the address that is meant is told.
    fs::remove_file(sandbox.path("data/x.tar")).unwrap();
    let said = "an image in the folder that is called so with a `!` has the address";
    let named = ["predict", "tiny", "data/x.tar!/0001.png", "--to", "./out"];
    sandbox
        .ctl(&named)
        .expect(1)
        .tells(&[said, "/x.tar%21/0001.png"]);
    sandbox.write(
        "data/picked.txt",
        "x.tar!/0000.png\ntiny/test/good/0000.png",
    );
    let listed = ["predict", "tiny", "data/picked.txt", "--to", "./out"];
    let bearable = [&listed[..], &["--set", "max_error_rows=1"]].concat();
    sandbox.ctl(&bearable).expect(0);
    assert_eq!(
        errors(&sandbox),
        [("0000.png".to_owned(), "not_found".to_owned())]
    );
    let rows = sandbox.ctl(&["results", "last", "--scores", "--as", "csv"]);
    assert!(rows.stdout.contains(said), "{}", rows.stdout);
}

fn a_job_that_computes_less_exactly_says_how_much_and_is_not_mixed_with_exact_ones(queue: Queue) {
    let sandbox = trained(12, 6).served(queue);
    let exact = ["predict", "tiny", "data/tiny/test", "--to", "./out"];
    let incremental = ["--set", "incremental=true", "--new"];
    sandbox.ctl(&[&exact[..], &incremental].concat()).expect(0);
    let described = sandbox.json(&["describe", "last"]);
    assert_eq!(described["parity"].as_array().map(Vec::len), Some(0));
    let stages = described["slowest"]["stages"].as_array().unwrap();
    assert!(
        stages.iter().any(|stage| stage["stage"] == "infer"),
        "{described}"
    );
    let page = sandbox.ctl(&["describe", "last"]).stdout;
    assert!(
        page.contains("\nslowest  ") && page.contains("ms an image"),
        "{page}"
    );
    let night = sandbox.job_ids().swap_remove(0);

    // None of the images are JPEGs: every score is the same, and none is taken over.
    let scaled = [&exact[..], &["--set", "scaled_decoding=true"]].concat();
    sandbox.ctl(&[&scaled[..], &incremental].concat()).expect(0);
    let described = sandbox.json(&["describe", "last"]);
    let certificate = &described["parity"][0];
    assert_eq!(certificate["scaled_decoding"], true, "{described}");
    assert_eq!(certificate["images"], 12);
    assert_eq!(certificate["agreement"]["score_difference"], 0.0);
    assert_eq!(certificate["agreement"]["flips"], 0);
    let reused = |job: &Value| job["reused"]["images"].as_u64().unwrap_or(0);
    assert_eq!(reused(&sandbox.json(&["results", "last"])), 0);
    let page = sandbox.ctl(&["describe", "last"]).stdout;
    assert!(
        page.contains("\nparity   f32, images decoded at a fraction"),
        "{page}"
    );
    // Each finds its own.
    for arguments in [&scaled[..], &exact[..]] {
        sandbox.ctl(&[arguments, &incremental].concat()).expect(0);
        assert_eq!(reused(&sandbox.json(&["results", "last"])), 12);
    }
    // Of nothing there is nothing to say.
    sandbox.ctl(&[&scaled[..], &incremental].concat()).expect(0);
    let page = sandbox.ctl(&["describe", "last"]).stdout;
    assert!(page.contains("could not be measured"), "{page}");
    sandbox
        .ctl(&[&scaled[..], &["--skip", &night, "--new"]].concat())
        .expect(2)
        .says(&["this job is to with `precision: f32` and `scaled_decoding: true`"]);
}

fn what_one_job_has_scored_is_skipped_and_what_cannot_be_skipped_is_said(queue: Queue) {
    let sandbox = trained(12, 6).served(queue);
    let good = ["predict", "tiny", "data/tiny/test/good", "--to", "./out"];
    sandbox.ctl(&good).expect(0);
    let night = sandbox.job_ids().swap_remove(0);
    let first = scores(&sandbox, "last");
    images::write_sized(
        &sandbox.path("data/tiny/test/good/0002.png"),
        &[90; 64 * 64],
        64,
        64,
    );
    let all = ["predict", "tiny", "data/tiny/test", "--to", "./out"];
    for (scored, reused) in [(7, 5), (0, 12)] {
        sandbox
            .ctl(&[&all[..], &["--skip", "last", "--new"]].concat())
            .expect(0);
        let job = sandbox.json(&["results", "last"]);
        assert_eq!(job["reused"]["images"].as_u64(), Some(reused), "{job}");
        let metrics = sandbox.json(&["results", "last", "--metrics"]);
        let number = |name: &str| metrics[0][name].as_u64().unwrap();
        let counted = number("normal") + number("anomalous") + number("errors");
        assert_eq!(counted, scored);
        sandbox.ctl(&["verify", "last"]).expect(0);
        let morning = scores(&sandbox, "last");
        assert_eq!(morning.len(), 12);
        let mut other = first
            .iter()
            .filter(|(image, score)| morning[*image] != **score);
        assert_eq!(other.next().unwrap().0, "tiny/test/good/0002.png");
        assert_eq!(other.next(), None);
    }

    let elsewhere = ["predict", "tiny", "data/tiny/test", "--to", "./elsewhere"];
    let engine = ["--set", "resources.engine=onnxruntime"];
    let train = sandbox.json(&["get", "jobs"]);
    let train = train.as_array().unwrap().last().unwrap()["id"].clone();
    let train = train.as_str().unwrap();
    for (arguments, code, said) in [
        (
            [&all[..], &["--skip", "zzzz"]].concat(),
            3,
            "no job's id begins with",
        ),
        (
            [&all[..], &["--set", "skip=zzzz"]].concat(),
            3,
            "it is not known",
        ),
        (
            [&all[..], &["--set", "skip=last"]].concat(),
            2,
            "ctl predict --skip last",
        ),
        (
            [&elsewhere[..], &["--skip", &night]].concat(),
            2,
            "its results are in",
        ),
        (
            [&all[..], &["--skip", &night], &engine].concat(),
            2,
            "by the engine auto",
        ),
        (
            [&all[..], &["--skip", train]].concat(),
            2,
            "it is of kind train",
        ),
    ] {
        let jobs = sandbox.job_ids().len();
        sandbox.ctl(&arguments).expect(code).says(&[said]);
        assert_eq!(sandbox.job_ids().len(), jobs, "{arguments:?}");
    }
    sandbox.write(
        "empty.yaml",
        "kind: predict\nmodel: {package: tiny}\noutput: ./out\ndata: data/tiny/test\nresources: {pool: nobody}\n",
    );
    sandbox.ctl(&["submit", "empty.yaml"]).expect(0);
    sandbox.ctl(&["cancel", "last"]).expect(0);
    sandbox
        .ctl(&[&all[..], &["--skip", "last"]].concat())
        .expect(2)
        .says(&["it is cancelled and has no published scores"]);

    // A version that has learned the same is the same; one of another seed scores otherwise.
    let again = ["run", "train.yaml", "--new"];
    sandbox.ctl(&again).expect(0);
    let same = [&all[..], &["--skip", &night]].concat();
    sandbox.ctl(&same).expect(0);
    sandbox
        .ctl(&[&again[..], &["--set", "seed=7"]].concat())
        .expect(0);
    let other = sandbox.ctl(&[&all[..], &["--skip", &night]].concat());
    other.expect(1);
    let said = format!("{}{}", other.stdout, other.stderr);
    assert!(
        said.contains(&format!(
            "job {night} (`skip`) scored its images by the package"
        )),
        "{said}"
    );
}
