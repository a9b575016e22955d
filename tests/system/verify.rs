//! `ctl verify`: whole results are proved to be whole, from the files alone; what is not is named.

use std::fs;

use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{JOB, Sandbox};
use tables::ScoreRow;

on_both_queues!(whole_results_are_proved_and_each_damage_is_named,);

fn whole_results_are_proved_and_each_damage_is_named(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).served(queue);
    // One image is not one: it has a row with an error, which counts.
    fs::write(sandbox.path("data/tiny/test/good/900.png"), "no image").unwrap();
    sandbox.write("job.yaml", &JOB.replace("seed: 0", "seed: {grid: [0, 1]}"));
    sandbox.ctl(&["run", "job.yaml"]).expect(0);
    let report = sandbox.json(&["verify", "last"]);
    assert_eq!(report["whole"], true, "{report}");
    for run in report["runs"].as_array().unwrap() {
        assert_eq!(
            (&run["samples"], &run["scored"], &run["errors"]),
            (&7.into(), &6.into(), &1.into()),
            "{run}"
        );
        assert_eq!(run["samples_sha256"], run["rows_sha256"]);
    }
    let [id] = &sandbox.job_ids()[..] else {
        panic!("one job")
    };

    // Without a coordinator's word, and nothing is started for it.
    let folder = format!("out/jobs/{id}");
    let by_folder = sandbox.ctl(&["verify", &folder, "--state", "nowhere"]);
    by_folder.expect(0);
    assert!(
        by_folder.stdout.contains("each image once"),
        "{}",
        by_folder.stdout
    );
    assert!(!sandbox.path("nowhere").exists());

    // A row is lost.
    let scores = sandbox.path(&format!("{folder}/results/000001/scores.parquet"));
    let kept = fs::read(&scores).unwrap();
    let mut rows: Vec<ScoreRow> = tables::read_bytes(kept.clone().into()).unwrap();
    let lost = rows.remove(3);
    fs::write(&scores, tables::write_bytes(rows).unwrap().0).unwrap();
    let ended = sandbox.ctl(&["verify", &folder]);
    ended.expect(1).says(&["not whole"]);
    assert!(
        ended
            .stdout
            .contains(&format!("run 0: missing {}", lost.uri)),
        "{}",
        ended.stdout
    );
    fs::write(&scores, &kept).unwrap();

    // What cannot be read is told with its place, and the rest with it.
    let samples = crate::sandbox::files(&sandbox.path(&format!("{folder}/tasks")));
    let samples = samples
        .into_iter()
        .find(|path| path.ends_with("samples.parquet"))
        .unwrap();
    let plan = sandbox.path(&format!("{folder}/plan.json"));
    let manifest = sandbox.path(&format!("{folder}/manifest/000001.parquet"));
    for path in [&scores, &samples, &plan, &manifest] {
        let kept = fs::read(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut longer = kept.clone();
        longer.push(0);
        // Its bytes may be those of another name, too.
        fs::remove_file(path).unwrap();
        fs::write(path, longer).unwrap();
        let ended = sandbox.ctl(&["verify", &folder]);
        ended.expect(1).says(&["not whole"]);
        let said = format!("{name} is damaged");
        assert!(ended.stdout.contains(&said), "{said}: {}", ended.stdout);
        assert!(!ended.stdout.contains("Parquet error"), "{}", ended.stdout);
        fs::remove_file(path).unwrap();
        // By the folder alone, without a manifest nothing says that anything was published; a coordinator knows.
        let asked = if path == &manifest { id } else { &folder };
        let ended = sandbox.ctl(&["verify", asked]);
        ended.expect(1);
        let said = format!("{name} is missing");
        assert!(ended.stdout.contains(&said), "{said}: {}", ended.stdout);
        if path == &manifest {
            let place = format!("{folder}/manifest/{said}");
            assert!(ended.stdout.contains(&place), "{place}: {}", ended.stdout);
            let by_folder = sandbox.ctl(&["verify", &folder]);
            by_folder
                .expect(3)
                .says(&["no manifest", "not all of its folder"]);
        }
        fs::write(path, &kept).unwrap();
    }
    sandbox.ctl(&["verify", &folder]).expect(0);

    // The manifest is in no manifest. In place, so that a link to it has the same damage; of what is read of a page's header nothing.
    let kept = fs::read(&manifest).unwrap();
    let mut altered = kept.clone();
    altered[11] ^= 4;
    fs::write(&manifest, &altered).unwrap();
    let ended = sandbox.ctl(&["verify", &folder]);
    ended.expect(1);
    let said = "is not what the last task wrote";
    assert!(ended.stdout.contains(said), "{ended:?}");
    fs::write(&manifest, kept).unwrap();
    sandbox.ctl(&["verify", &folder]).expect(0);
    let attempts = crate::sandbox::files(&sandbox.path(&format!("{folder}/tasks")));

    // A committed object is changed without changing its size.
    let part = attempts
        .iter()
        .find(|path| path.ends_with("statistics.safetensors"))
        .unwrap();
    let mut bytes = fs::read(part).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(part, bytes).unwrap();
    let ended = sandbox.ctl(&["verify", &folder]);
    ended.expect(1);
    assert!(
        ended
            .stdout
            .contains("statistics.safetensors has another content"),
        "{}",
        ended.stdout
    );

    fs::remove_file(part).unwrap();
    let ended = sandbox.ctl(&["verify", &folder]);
    ended.expect(1);
    assert!(
        ended.stdout.contains("statistics.safetensors is missing"),
        "{}",
        ended.stdout
    );

    sandbox
        .ctl(&["verify", "out/elsewhere"])
        .expect(2)
        .says(&["jobs/JOB"]);
    sandbox
        .ctl(&["verify", "out/jobs/zzzzzzzz"])
        .expect(3)
        .says(&["no manifest"]);
}
