//! The program `ctl` as a user meets it: exit codes, messages, start-up time, and what it must not link.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not take for tests"
)]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// `ctl` with a state folder, home and weights of its own.
fn ctl(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ctl"))
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("NIGHTSHIFT_WEIGHTS", folder.join("weights"))
        .env_remove("NIGHTSHIFT_STATE")
        .output()
        .unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `ctl validate` on a file with this content.
fn validate(text: &[u8]) -> (TempDir, Output) {
    let folder = folder();
    std::fs::write(folder.path().join("job.yaml"), text).unwrap();
    let output = ctl(folder.path(), &["validate", "job.yaml"]);
    (folder, output)
}

const VALID: &str = "\
kind: train
name: one
model: {class_path: Padim, init_args: {backbone: resnet18}}
data: {class_path: Folder, init_args: {name: cells, root: cells, normal_dir: good}}
task: classification
";

#[test]
fn a_coordinator_of_another_protocol_is_told_from_one_that_is_not_there() {
    let folder = folder();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // It speaks gRPC, and knows none of the calls.
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(
        tonic::transport::Server::builder()
            .add_routes(tonic::service::Routes::default())
            .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener)),
    );
    let output = ctl(folder.path(), &["get", "jobs", "--coordinator", &url]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("protocol (nightshift.v1)"),
        "{}",
        stderr(&output)
    );
    drop(runtime);
    let output = ctl(folder.path(), &["get", "jobs", "--coordinator", &url]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
}

#[test]
fn help_and_version_are_no_errors() {
    let folder = folder();
    for arguments in [["--help"], ["--version"]] {
        let output = ctl(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty() && output.stderr.is_empty());
    }
    let help = stdout(&ctl(folder.path(), &["--help"]));
    for command in [
        "run", "submit", "validate", "plan", "get", "describe", "logs", "results", "report",
        "cancel", "retry", "doctor", "weights", "import",
    ] {
        assert!(help.contains(command), "{command} is not in the help");
    }
}

#[test]
fn wrong_arguments_are_exit_code_2_and_name_the_nearest() {
    let folder = folder();
    let output = ctl(folder.path(), &["validat", "x.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("validate"), "{}", stderr(&output));
}

#[test]
fn a_missing_job_file_is_exit_code_3() {
    let folder = folder();
    for command in ["validate", "plan", "run", "submit"] {
        let output = ctl(folder.path(), &[command, "nowhere.yaml"]);
        assert_eq!(
            output.status.code(),
            Some(3),
            "{command}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("nowhere.yaml"),
            "{}",
            stderr(&output)
        );
    }
    assert!(
        !folder.path().join("state").exists(),
        "nothing is made for a file that is not there"
    );
}

#[test]
fn a_valid_file_is_exit_code_0() {
    let (_folder, output) = validate(VALID.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("1 run"), "{}", stdout(&output));
}

#[test]
fn an_invalid_file_is_exit_code_2_with_line_and_column() {
    let cases: [(&str, &str, &str); 5] = [
        ("bad YAML", "kind: [train\n", "job.yaml:"),
        (
            "duplicate key",
            "kind: train\nkind: train\n",
            "job.yaml:2:1",
        ),
        ("unknown key", &VALID.replace("task:", "tsk:"), "\"task\""),
        (
            "unknown model",
            &VALID.replace("Padim", "Padmi"),
            "\"Padim\"",
        ),
        (
            "a search that does not search",
            &VALID.replace("train", "hpo"),
            "`search` is missing",
        ),
    ];
    for (what, text, expected) in cases {
        let (_folder, output) = validate(text.as_bytes());
        assert_eq!(output.status.code(), Some(2), "{what}: {}", stderr(&output));
        assert!(
            stderr(&output).contains(expected),
            "{what}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn all_errors_of_a_file_come_at_once() {
    let text = VALID.replace("Padim", "Padmi").replace("task:", "tsk:");
    let (_folder, output) = validate(text.as_bytes());
    let message = stderr(&output);
    assert!(
        message.contains("Padmi") && message.contains("tsk"),
        "{message}"
    );
}

#[test]
fn what_is_no_text_or_far_too_large_is_refused() {
    for bytes in [b"\xff\xfe\x00k".to_vec(), vec![b'#'; (1 << 20) + 1]] {
        let (_folder, output) = validate(&bytes);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("job.yaml"), "{}", stderr(&output));
    }
}

#[test]
fn an_alias_bomb_is_refused_quickly() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let reference = format!("*a{}", level - 1);
        text.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            [reference.as_str(); 9].join(", ")
        ));
    }
    let start = Instant::now();
    let (_folder, output) = validate(text.as_bytes());
    assert_eq!(output.status.code(), Some(2));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn set_changes_a_value_and_a_wrong_one_names_the_argument() {
    let folder = folder();
    std::fs::write(folder.path().join("job.yaml"), VALID).unwrap();
    let output = ctl(
        folder.path(),
        &["plan", "job.yaml", "--set", "seed=7", "-o", "json"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("\"seed\": 7"),
        "{}",
        stdout(&output)
    );
    let output = ctl(folder.path(), &["plan", "job.yaml", "--set", "sede=7"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("sede"), "{}", stderr(&output));
}

#[test]
fn a_plan_lists_runs_and_tasks() {
    let folder = folder();
    std::fs::write(folder.path().join("job.yaml"), VALID).unwrap();
    let output = ctl(folder.path(), &["plan", "job.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for word in ["list", "fit", "evaluate", "reduce", "cells"] {
        assert!(
            stdout(&output).contains(word),
            "{word}: {}",
            stdout(&output)
        );
    }
}

/// Files of the dataset of [`planned`]: nothing looks into them.
fn cells(folder: &Path, good: usize, bad: usize) {
    for (name, count) in [("good", good), ("bad", bad)] {
        let place = folder.join("cells").join(name);
        std::fs::create_dir_all(&place).unwrap();
        for index in 0..count {
            std::fs::write(place.join(format!("{index}.png")), [0; 1_000]).unwrap();
        }
    }
}

const PADIM: &str = "{class_path: Padim, init_args: {backbone: resnet18, n_features: 100}}";
const PATCHCORE: &str =
    "{class_path: Patchcore, init_args: {backbone: resnet18, layers: [layer2, layer3]}}";
const DFKDE: &str = "{class_path: Dfkde, init_args: {backbone: resnet18, layers: [layer4]}}";

/// What `ctl plan` estimates of these models on the files of [`cells`].
fn planned(folder: &Path, models: &str, data: &str, more: &str) -> serde_json::Value {
    let job = format!(
        "kind: benchmark\nmodel: {{grid: [{models}]}}\n\
         data: {{class_path: Folder, init_args: {{name: cells, root: cells, normal_dir: good, abnormal_dir: bad{data}}}}}\n\
         task: classification\n{more}"
    );
    std::fs::write(folder.join("job.yaml"), job).unwrap();
    let output = ctl(folder, &["plan", "job.yaml", "-o", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let value: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    value["estimate"].clone()
}

#[test]
fn a_plan_counts_images_and_its_time_grows_with_them() {
    let seconds = |good, bad| {
        let folder = folder();
        cells(folder.path(), good, bad);
        let estimate = planned(folder.path(), PATCHCORE, "", "");
        let run = &estimate["runs"][0];
        let [train, scored] = ["train", "scored"].map(|split| run[split].as_u64().unwrap());
        assert!(train > 0 && scored > 0, "{run}");
        assert_eq!(train + scored, (good + bad) as u64);
        assert!(run["spool_bytes"].as_u64() > Some(0), "{run}");
        assert!(estimate["wall_s"].as_f64() > Some(0.0), "{estimate}");
        assert_eq!(estimate["problems"], serde_json::json!([]));
        estimate["cpu_s"].as_f64().unwrap()
    };
    // Four times the images, and a bank that grows with them.
    let (few, many) = (seconds(20, 10), seconds(80, 40));
    assert!(many > 2.0 * few, "{few} and {many}");
}

#[test]
fn of_runs_that_share_a_pass_one_is_charged_for_it() {
    let folder = folder();
    cells(folder.path(), 40, 10);
    let both = planned(folder.path(), &format!("{PADIM}, {DFKDE}"), "", "");
    let alone = planned(folder.path(), DFKDE, "", "");
    let of =
        |estimate: &serde_json::Value, run: usize| estimate["runs"][run]["cpu_s"].as_f64().unwrap();
    assert!(of(&both, 1) < of(&alone, 0), "{both} and {alone}");
}

#[test]
fn a_plan_says_what_will_not_fit_and_what_to_do() {
    let folder = folder();
    cells(folder.path(), 400, 10);
    let problems = |estimate: serde_json::Value| -> Vec<String> {
        serde_json::from_value(estimate["problems"].clone()).unwrap()
    };
    let limited = planned(folder.path(), PADIM, "", "resources: {memory: 100MB}\n");
    let limited = problems(limited);
    assert_eq!(limited.len(), 1, "{limited:?}");
    for word in ["run 0", "Padim", "resources.memory", "n_features"] {
        assert!(limited[0].contains(word), "{word}: {}", limited[0]);
    }
    // A matrix of 448 x 448 for each of a million places: 0.4 TB, and features of 0.7 TB.
    let huge = "{class_path: Padim, init_args: {backbone: resnet18, n_features: 448}}";
    let huge = planned(folder.path(), huge, ", image_size: [4096, 4096]", "");
    let huge = problems(huge);
    assert!(
        huge.iter().any(|line| line.contains("this machine has")),
        "{huge:?}"
    );
    assert!(huge.iter().any(|line| line.contains("scratch")), "{huge:?}");
    let people = stdout(&ctl(folder.path(), &["plan", "job.yaml"]));
    assert!(people.contains("Will not fit: run 0"), "{people}");
    assert!(people.contains("Basis, time: "), "{people}");
}

#[test]
fn images_that_are_not_here_leave_numbers_for_each() {
    let folder = folder();
    let estimate = planned(folder.path(), PATCHCORE, "", "");
    for unknown in ["train", "memory_bytes", "cpu_s"] {
        assert!(estimate["runs"][0][unknown].is_null(), "{estimate}");
    }
    assert!(estimate["cpu_s"].is_null() && estimate["wall_s"].is_null());
    let basis: Vec<String> = serde_json::from_value(estimate["basis"].clone()).unwrap();
    let unknown = basis.iter().find(|line| line.starts_with("images: "));
    let unknown = unknown.unwrap();
    assert!(
        unknown.contains("not known") && unknown.contains("cells"),
        "{unknown}"
    );
}

#[test]
fn a_file_of_anomalib_is_valid_and_becomes_a_job_file() {
    let folder = folder();
    let theirs = "model: {class_path: anomalib.models.Padim}\ndata: {class_path: MVTec}\ntrainer: {max_epochs: 1}\n";
    std::fs::write(folder.path().join("padim.yaml"), theirs).unwrap();
    let warning = "warning: padim.yaml:3:1: trainer.max_epochs is not used here";
    let output = ctl(folder.path(), &["validate", "padim.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).starts_with(warning), "{}", stderr(&output));
    let import = ["import", "anomalib", "padim.yaml"];
    let output = ctl(folder.path(), &import);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).starts_with(warning), "{}", stderr(&output));
    let ours = stdout(&output);
    assert!(ours.starts_with("kind: train\nname: padim\n"), "{ours}");
    let to_file = [import.as_slice(), &["--to", "ours.yaml"]].concat();
    let output = ctl(folder.path(), &to_file);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let written = std::fs::read_to_string(folder.path().join("ours.yaml")).unwrap();
    assert_eq!(written, ours);
    let output = ctl(folder.path(), &["validate", "ours.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    // What is there stays, and ours is no file of Anomalib.
    let output = ctl(folder.path(), &to_file);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let output = ctl(folder.path(), &["import", "anomalib", "ours.yaml"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).starts_with("ours.yaml:1:1: "),
        "{}",
        stderr(&output)
    );
}

#[test]
fn weights_that_are_none_are_refused_and_nothing_is_written() {
    let folder = folder();
    std::fs::write(folder.path().join("x.pth"), "these are no weights").unwrap();
    let output = ctl(
        folder.path(),
        &["weights", "import", "x.pth", "--backbone", "mobilenet_v2"],
    );
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("x.pth"), "{}", stderr(&output));
    let output = ctl(
        folder.path(),
        &[
            "weights",
            "import",
            "nowhere.pth",
            "--backbone",
            "mobilenet_v2",
        ],
    );
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let output = ctl(
        folder.path(),
        &["weights", "import", "x.pth", "--backbone", "mobilnet"],
    );
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("mobilenet_v2"),
        "{}",
        stderr(&output)
    );
    assert!(!folder.path().join("weights").exists());
}

#[test]
fn the_list_of_weights_names_every_backbone() {
    let folder = folder();
    let output = ctl(folder.path(), &["weights", "list", "-o", "yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for backbone in ["mobilenet_v2", "resnet18"] {
        assert!(stdout(&output).contains(backbone), "{}", stdout(&output));
    }
}

#[test]
fn a_state_folder_whose_socket_path_is_too_long_says_so() {
    let folder = folder();
    let long = "x".repeat(120);
    let output = ctl(folder.path(), &["get", "jobs", "--state", &long]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("--state"), "{}", stderr(&output));
}

#[test]
fn without_its_sibling_programs_it_says_which_is_missing() {
    let folder = folder();
    let alone = folder.path().join("ctl");
    std::fs::copy(env!("CARGO_BIN_EXE_ctl"), &alone).unwrap();
    let output = Command::new(&alone)
        .args(["get", "jobs", "--state", "s"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("coordinator is missing"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn no_native_library_and_no_image_codec_is_linked() {
    for package in ["ctl", "worker"] {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--offline",
                "--locked",
                "--edges",
                "normal",
                "--prefix",
                "none",
                "--format",
                "{p}",
                "--package",
                package,
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let tree = stdout(&output);
        let linked: Vec<&str> = tree
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert!(linked.contains(&"types"), "{tree}");
        for unwanted in [
            "tch",
            "torch-sys",
            "ort",
            "ort-sys",
            "openvino",
            "openvino-sys",
            "png",
            "turbojpeg",
            "turbojpeg-sys",
            "fast_image_resize",
            "vision",
            "engines",
        ] {
            assert!(!linked.contains(&unwanted), "{package} links {unwanted}");
        }
    }
}

#[test]
fn an_output_folder_is_looked_at_before_anything_is_begun() {
    let folder = folder();
    let output = |place: &str| {
        let text = format!("{VALID}output: {place}\n");
        std::fs::write(folder.path().join("job.yaml"), text).unwrap();
        ctl(folder.path(), &["submit", "job.yaml"])
    };
    std::fs::write(folder.path().join("my ü file"), "").unwrap();
    for place in ["./my ü file", "./my ü file/below"] {
        let refused = output(place);
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
        assert!(
            stderr(&refused).contains("my ü file is no folder"),
            "{}",
            stderr(&refused)
        );
    }
    // A folder of that kind of name is one, also for somebody who may write nowhere else.
    let mine = folder.path().join("my ö folder");
    std::fs::create_dir(&mine).unwrap();
    let taken = output("./my ö folder/new");
    assert_ne!(taken.status.code(), Some(2), "{}", stderr(&taken));
    std::fs::set_permissions(&mine, Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(mine.join("probe"), "").is_err() {
        let refused = output("./my ö folder/new");
        assert_eq!(refused.status.code(), Some(5), "{}", stderr(&refused));
        assert!(stderr(&refused).contains("my ö folder/new"));
    }
}

#[test]
fn a_folder_or_a_pipe_in_the_place_of_a_file_is_exit_code_2() {
    let folder = folder();
    for name in [
        "f/x.png",
        "f/y.zip",
        "f/l.txt",
        "f/l.parquet",
        "f/m.onnx",
        "f/package.json",
    ] {
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let pipe = folder.path().join("p.csv");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    for (model, place, named, what) in [
        ("tiny", "f/x.png", "f/x.png", "a folder"),
        ("tiny", "f/y.zip", "f/y.zip", "a folder"),
        ("tiny", "f/y.zip!/a.png", "f/y.zip", "a folder"),
        ("tiny", "f/l.txt", "f/l.txt", "a folder"),
        ("tiny", "f/l.parquet", "f/l.parquet", "a folder"),
        ("tiny", "p.csv", "p.csv", "a named pipe"),
        ("./f/m.onnx", "f", "f/m.onnx", "a folder"),
        ("./f/package.json", "f", "f/package.json", "a folder"),
    ] {
        let refused = ctl(folder.path(), &["predict", model, place]);
        let said = stderr(&refused);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        let words = format!("{named} is {what}, not a file");
        assert!(said.contains(&words), "{words}: {said}");
        let is_folder_of_images = what == "a folder" && model == "tiny";
        assert_eq!(said.contains("`FOLDER/**`"), is_folder_of_images, "{said}");
    }
    let text =
        "kind: predict\nname: n\nmodel: {package: tiny}\ndata: [f, f/x.png]\noutput: ./out\n";
    std::fs::write(folder.path().join("job.yaml"), text).unwrap();
    let refused = ctl(folder.path(), &["submit", "job.yaml"]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
}

#[test]
fn a_configuration_file_that_is_not_there_is_exit_code_3() {
    let folder = folder();
    let output = ctl(folder.path(), &["doctor", "--config", "nowhere.yaml"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("nowhere.yaml"),
        "{}",
        stderr(&output)
    );
}
