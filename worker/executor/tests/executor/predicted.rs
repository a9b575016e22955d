//! Images without labels and packages that are not what they should be: each has its typed outcome with the place.

use std::{
    collections::BTreeMap,
    fs,
    io::{Cursor, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use package::PackageManifest;
use serde_json::{Value, json};
use tables::ScoreRow;
use types::{Failure, FailureClass, TaskKind};
use zip::{CompressionMethod, ZipWriter, write::FileOptions};

use crate::{
    images,
    job::{Job, yaml},
    process::{Executor, NOBODY},
};

/// Trains a model on images of the folder; the address of its package.
fn trained(folder: &Path, executor: &mut Executor) -> String {
    images::dataset(&folder.join("data"), 4, 2);
    let mut job = Job::new(folder, &yaml(folder, ""));
    job.run(executor, 2);
    let (_, prefix) = job.accepted(TaskKind::Evaluate);
    job.store.uri(&format!("{prefix}/package.json"))
}

/// A job that scores the places by the package, in place of the one before.
fn predict(folder: &Path, package: &str, places: &[&str]) -> Job {
    predict_with(folder, package, places, "")
}

fn predict_with(folder: &Path, package: &str, places: &[&str], more: &str) -> Job {
    let before = folder.join("predicted/jobs");
    if before.exists() {
        fs::remove_dir_all(before).expect("as set up here");
    }
    let yaml = format!(
        "kind: predict\nname: night\nmodel: {{package: '{package}'}}\ndata: [{}]\nmax_error_rows: 100%\noutput: {}/predicted\n{more}",
        places.join(", "),
        folder.display()
    );
    Job::new(folder, &yaml)
}

/// Class of the error by the end of the address; empty: scored.
fn outcomes(job: &Job) -> BTreeMap<String, String> {
    let rows: Vec<ScoreRow> = job.table(TaskKind::Reduce, "scores.parquet");
    let outcome = |row: &ScoreRow| {
        assert_eq!(row.score.is_some(), row.error_class.is_none(), "{row:?}");
        assert_eq!(row.error.is_some(), row.error_class.is_some(), "{row:?}");
        let name = row.uri.rsplit('/').next().expect("as set up here");
        (name.to_owned(), row.error_class.clone().unwrap_or_default())
    };
    let found: BTreeMap<_, _> = rows.iter().map(outcome).collect();
    assert_eq!(found.len(), rows.len(), "{rows:?}");
    found
}

fn expected(outcomes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, word): &(&str, &str)| ((*name).to_owned(), (*word).to_owned());
    outcomes.iter().map(owned).collect()
}

/// As bytes, of images that differ.
fn pictures<const N: usize>(folder: &Path) -> [Vec<u8>; N] {
    std::array::from_fn(|index| {
        let path = folder.join("one.png");
        images::write(&path, &images::texture(500 + index as u32));
        fs::read(&path).expect("as set up here")
    })
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        // Names that no writer would take.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *bytes).expect("as set up here");
    }
    builder.into_inner().expect("as set up here")
}

fn zip(files: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = FileOptions::default().compression_method(method);
        writer.start_file(*name, options).expect("as set up here");
        writer.write_all(bytes).expect("as set up here");
    }
    writer.finish().expect("as set up here").into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("as set up here");
    encoder.finish().expect("as set up here")
}

/// Flips a bit of the middle of `part` where it lies in `whole`.
fn damage(whole: &mut [u8], part: &[u8]) {
    let at = whole.windows(part.len()).position(|bytes| bytes == part);
    whole[at.expect("as set up here") + part.len() / 2] ^= 0x10;
}

fn warnings(job: &Job) -> String {
    job.accepted(TaskKind::Evaluate).0.warnings.join("\n")
}

#[track_caller]
fn expect_refused(failure: &Failure, words: &[&str]) {
    assert_eq!(failure.class, FailureClass::InvalidInput, "{failure}");
    for word in words {
        assert!(failure.message.contains(word), "{word:?}: {failure}");
    }
}

#[test]
fn what_becomes_of_an_image_between_listing_and_scoring_is_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let root = fs::metadata(folder).unwrap();
    let user = (root.uid() == 0).then_some(NOBODY);
    for path in ["", "out", "predicted", "scratch"] {
        let path = folder.join(path);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let mut executor = Executor::start_as(user, &[]);
    let package = trained(folder, &mut executor);
    let night = folder.join("night");
    for (index, name) in ["changed", "gone", "locked", "same"].iter().enumerate() {
        let texture = images::texture(300 + index as u32);
        images::write(&night.join(format!("{name}.png")), &texture);
    }
    let [one, two] = pictures(folder);
    let tarred = tar(&[("in-changed.png", &one)]);
    fs::write(folder.join("changed.tar"), &tarred).unwrap();
    fs::write(folder.join("gone.tar"), tar(&[("in-gone.png", &one)])).unwrap();
    let packed = zip(&[("in-zip.png", &two)], CompressionMethod::Stored);
    fs::write(folder.join("changed.zip"), packed).unwrap();

    let places = ["./night", "./changed.tar", "./gone.tar", "./changed.zip"];
    let mut job = predict(folder, &package, &places);
    job.run_through(TaskKind::List, &mut executor, 2);
    images::write_sized(&night.join("changed.png"), &[9; 32 * 32], 32, 32);
    fs::remove_file(night.join("gone.png")).unwrap();
    let locked = night.join("locked.png");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    fs::write(folder.join("changed.tar"), tar(&[("in-changed.png", &two)])).unwrap();
    fs::remove_file(folder.join("gone.tar")).unwrap();
    let other = zip(&[("other.png", &one)], CompressionMethod::Stored);
    fs::write(folder.join("changed.zip"), other).unwrap();
    job.run(&mut executor, 2);
    assert_eq!(
        outcomes(&job),
        expected(&[
            ("changed.png", "changed"),
            ("gone.png", "not_found"),
            ("in-changed.png", "changed"),
            ("in-gone.png", "not_found"),
            ("in-zip.png", "changed"),
            ("locked.png", "denied"),
            ("same.png", ""),
        ])
    );
    let said = warnings(&job);
    assert!(said.contains("6 images cannot be used"), "{said}");
}

#[test]
fn what_is_no_file_is_refused_by_name_or_a_row_and_nothing_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut executor = Executor::start();
    let package = trained(folder, &mut executor);
    images::write(&folder.join("one.png"), &images::texture(300));
    for (kind, what) in [("pipes", "a named pipe"), ("folders", "a folder")] {
        let at = folder.join(kind);
        fs::create_dir(&at).unwrap();
        let make = |name: &str| match kind {
            "pipes" => {
                let made = Command::new("mkfifo").arg(at.join(name)).status().unwrap();
                assert!(made.success());
            }
            _ => fs::create_dir(at.join(name)).unwrap(),
        };
        for name in ["x.png", "x.csv", "x.parquet", "x.txt", "x.zip", "x.tar.gz"] {
            make(name);
            let mut job = predict(folder, &package, &[&format!("./{kind}/{name}")]);
            job.run(&mut executor, 2);
            let failure = job.failure(TaskKind::List);
            expect_refused(failure, &[name, &format!("is {what}, not a file")]);
        }
        for name in ["x.onnx", "x.xml", "package.json"] {
            make(name);
            let model = at.join(name).display().to_string();
            let mut job = predict(folder, &model, &["./data/tiny/test"]);
            job.run(&mut executor, 2);
            let failure = job.failure(TaskKind::List);
            expect_refused(failure, &[name, &format!("is {what}, not a file")]);
        }
        symlink("x.png", at.join("link.png")).unwrap();
        let lines = ["x.png", "link.png", "x.zip!/in.png", "../one.png"];
        let lines = lines.map(|line| format!("{kind}/{line}"));
        fs::write(folder.join("list.txt"), lines.join("\n")).unwrap();
        let mut job = predict(folder, &package, &["./list.txt"]);
        job.run(&mut executor, 2);
        assert_eq!(
            outcomes(&job),
            expected(&[
                ("in.png", "not_a_file"),
                ("link.png", "not_a_file"),
                ("one.png", ""),
                ("x.png", "not_a_file"),
            ])
        );
    }
    // A way to name such a folder, as its refusal says.
    fs::copy(folder.join("one.png"), folder.join("folders/x.zip/in.png")).unwrap();
    let mut job = predict(folder, &package, &["'./folders/x.zip/**'"]);
    job.run(&mut executor, 2);
    assert_eq!(outcomes(&job), expected(&[("in.png", "")]));
}

#[test]
fn archives_that_nothing_opens_are_counted_once_and_those_in_others_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut executor = Executor::start();
    let package = trained(folder, &mut executor);
    let [one, two, three, four] = pictures(folder);
    let night = folder.join("night");
    fs::create_dir(&night).unwrap();
    fs::write(night.join("1.png"), &one).unwrap();
    fs::write(night.join("a.tar"), tar(&[("2.png", &two)])).unwrap();
    let inner = tar(&[("4.png", &four)]);
    let nested = [("3.png", &three[..]), ("in.tar", &inner), ("in.tgz", b"")];
    fs::write(night.join("b.zip"), zip(&nested, CompressionMethod::Stored)).unwrap();
    let one = ("1.png", "");
    let all = [one, ("2.png", ""), ("3.png", "")];
    let inside = "2 archives inside of other archives are not opened, the first is";
    let unopened = |count: &str| format!("{count} not opened, the first is");
    for (places, found, said, unsaid) in [
        (
            // Found twice.
            &["./night", "'./night/*'"][..],
            &[one][..],
            vec![unopened("2 archives are")],
            vec![inside.to_owned()],
        ),
        (
            &["./night", "./night/a.tar"],
            &all[..2],
            vec![unopened("1 archive is"), "night/b.zip".to_owned()],
            vec!["night/a.tar".to_owned()],
        ),
        (
            &["./night", "'./night/*.tar'", "./night/b.zip!/3.png"],
            &all,
            vec![],
            vec!["not opened".to_owned()],
        ),
        (
            &["'./night/*.zip'", "./night", "'./night/*.tar'"],
            &all,
            vec![inside.to_owned(), "night/b.zip!/in.tar".to_owned()],
            vec![unopened("1 archive is"), unopened("2 archives are")],
        ),
    ] {
        let mut job = predict(folder, &package, places);
        job.run(&mut executor, 2);
        assert_eq!(outcomes(&job), expected(found), "{places:?}");
        let warnings = warnings(&job);
        for words in said {
            assert!(warnings.contains(&words), "{places:?}: {words}: {warnings}");
        }
        for words in unsaid {
            assert!(
                !warnings.contains(&words),
                "{places:?}: {words}: {warnings}"
            );
        }
    }
}

#[test]
fn what_lies_beside_a_model_file_is_not_taken_for_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut executor = Executor::start();
    images::write(&folder.join("night/1.png"), &images::texture(300));
    for (file, model) in [
        ("net/net.bin", "net/net.xml"),
        ("a/metadata.json", "a/model.onnx"),
        ("b/metadata.json", "b/model.xml"),
    ] {
        for name in [file, model] {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{}").unwrap();
        }
        let mut job = predict(
            folder,
            &folder.join(file).display().to_string(),
            &["./night"],
        );
        job.run(&mut executor, 2);
        expect_refused(job.failure(TaskKind::List), &[file, model, "no model"]);
    }
}

#[test]
fn a_night_in_which_nothing_can_be_scored_fails_whatever_it_allows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut executor = Executor::start();
    let package = trained(folder, &mut executor);
    let night = folder.join("night");
    fs::create_dir(&night).unwrap();
    for name in ["1.png", "2.png"] {
        fs::write(night.join(name), "no image").unwrap();
    }
    let mut job = predict(folder, &package, &["./night"]);
    job.run(&mut executor, 2);
    let failure = job.failure(TaskKind::Evaluate);
    expect_refused(failure, &["not one of 2 images could be scored", ".png: "]);
    let [one] = pictures(folder);
    fs::write(night.join("3.png"), one).unwrap();
    let mut job = predict(folder, &package, &["./night"]);
    job.run(&mut executor, 2);
    let bad = [("1.png", "not_an_image"), ("2.png", "not_an_image")];
    assert_eq!(outcomes(&job), expected(&[bad[0], bad[1], ("3.png", "")]));
}

#[test]
fn links_out_of_the_roots_cost_only_globs_that_can_mean_them() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (folder, elsewhere) = (folder.path(), elsewhere.path());
    let config = folder.join("config.yaml");
    let roots = format!("files: {{roots: [{}]}}\n", folder.display());
    fs::write(&config, roots).unwrap();
    let mut executor = Executor::start_as(None, &[("NIGHTSHIFT_CONFIG", &config)]);
    let package = trained(folder, &mut executor);
    for name in ["line1/1.png", "line2/2.png"] {
        images::write(&folder.join("in").join(name), &images::texture(300));
    }
    let [one] = pictures(folder);
    fs::write(folder.join("in/b.tar"), tar(&[("3.png", &one)])).unwrap();
    fs::write(elsewhere.join("a.tar"), tar(&[("4.png", &one)])).unwrap();
    let out = |link: &str| symlink(elsewhere.join("a.tar"), folder.join("in").join(link)).unwrap();
    for link in ["a.tar", "line1/.a.png", "line1/a.tar", "line1/a.txt"] {
        out(link);
    }
    let both = [("1.png", ""), ("2.png", "")];
    for (glob, found) in [
        ("in/l*/*.png", &both[..]),
        ("in/line?/*", &both),
        ("in/line2/**", &both[1..]),
        ("in/[b]*.tar", &[("3.png", "")]),
    ] {
        let mut job = predict(folder, &package, &[&format!("'./{glob}'")]);
        job.run(&mut executor, 2);
        assert_eq!(outcomes(&job), expected(found), "{glob}");
    }
    // The links may be folders, images or archives of these.
    out("line2/l.png");
    for (glob, link) in [
        ("in/*/*.png", "in/a.tar"),
        ("in/l*/*.png", "in/line2/l.png"),
        ("in/*.tar", "in/a.tar"),
    ] {
        let mut job = predict(folder, &package, &[&format!("'./{glob}'")]);
        job.run(&mut executor, 2);
        let failure = job.failure(TaskKind::List);
        assert!(failure.message.contains(link), "{glob}: {failure}");
    }
}

#[test]
fn an_archive_that_is_damaged_in_the_middle_is_named_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut executor = Executor::start();
    let package = trained(folder, &mut executor);
    let [one, two, three] = pictures(folder);
    let files = [("1.png", &one[..]), ("2.png", &two), ("3.png", &three)];

    // What follows a header that is none, nobody can know.
    let mut header = tar(&files);
    let at = 512 + one.len().next_multiple_of(512);
    header[at + 3] ^= 0x10;
    let mut stream = gzip(&tar(&files));
    let middle = stream.len() / 2;
    stream[middle..middle + 8].fill(0xff);
    let mut directory = zip(&files, CompressionMethod::Stored);
    let at = directory
        .windows(4)
        .position(|bytes| bytes == b"PK\x01\x02");
    directory[at.unwrap()] ^= 0x10;
    for (name, bytes, words) in [
        ("header.tar", &header, "is damaged at byte"),
        ("stream.tar.gz", &stream, "stream.tar.gz"),
        ("directory.zip", &directory, "directory.zip"),
    ] {
        fs::write(folder.join(name), bytes).unwrap();
        let mut job = predict(folder, &package, &[&format!("./{name}")]);
        job.run(&mut executor, 2);
        expect_refused(job.failure(TaskKind::List), &[name, words]);
    }

    // Damage within one image is that image's.
    let (mut tarred, mut zipped) = (tar(&files), zip(&files, CompressionMethod::Stored));
    damage(&mut tarred, &two);
    damage(&mut zipped, &two);
    for (name, bytes, word) in [
        ("contents.tar", &tarred, "decode_error"),
        ("contents.zip", &zipped, "archive_error"),
    ] {
        fs::write(folder.join(name), bytes).unwrap();
        let mut job = predict(folder, &package, &[&format!("./{name}")]);
        job.run(&mut executor, 2);
        let found = outcomes(&job);
        let each = [("1.png", ""), ("2.png", word), ("3.png", "")];
        assert_eq!(found, expected(&each), "{name}");
    }
}

#[test]
fn entries_that_lead_out_or_would_fill_memory_are_left_out_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut executor = Executor::start();
    let package = trained(folder, &mut executor);
    let [one, two] = pictures(folder);
    // 1,000 to 1 by Deflate, and above what is too little to count.
    let bomb = vec![0; 100 << 20];
    let climbing = [
        ("../up.png", &two[..]),
        ("a/../../b.png", &two),
        ("in.png", &one),
    ];
    for (name, bytes) in [
        ("climbs.tar", tar(&climbing)),
        ("climbs.tar.gz", gzip(&tar(&climbing))),
        ("climbs.zip", zip(&climbing, CompressionMethod::Deflated)),
    ] {
        fs::write(folder.join(name), bytes).unwrap();
        let mut job = predict(folder, &package, &[&format!("./{name}")]);
        job.run(&mut executor, 2);
        assert_eq!(outcomes(&job), expected(&[("in.png", "")]), "{name}");
        let said = warnings(&job);
        let words =
            format!("{name}: 2 entries are left out: ../up.png and 1 more: its name climbs");
        assert!(said.contains(&words), "{said}");
    }
    assert!(!folder.join("up.png").exists() && !folder.join("b.png").exists());

    let bombs = [("bomb.png", &bomb[..]), ("in.png", &one)];
    for (name, bytes) in [
        ("bomb.zip", zip(&bombs, CompressionMethod::Deflated)),
        ("bomb.tar.gz", gzip(&tar(&bombs))),
    ] {
        fs::write(folder.join(name), bytes).unwrap();
        let mut job = predict(folder, &package, &[&format!("./{name}")]);
        job.run(&mut executor, 2);
        assert_eq!(outcomes(&job), expected(&[("in.png", "")]), "{name}");
        let said = warnings(&job);
        assert!(
            said.contains("bomb.png: 104857600 bytes would come"),
            "{said}"
        );
    }
}

fn local(uri: &str) -> &Path {
    Path::new(uri.strip_prefix("file://").expect("as set up here"))
}

/// A copy of the package with its statistics beside it, both changed; its path.
fn edited(folder: &Path, package: &str, edit: impl FnOnce(&mut Value, &mut Vec<u8>)) -> String {
    let beside = local(package).parent().expect("as set up here");
    let mut manifest: Value =
        serde_json::from_slice(&fs::read(local(package)).expect("as set up here"))
            .expect("as set up here");
    let statistics = beside.join(
        manifest["statistics"]["uri"]
            .as_str()
            .expect("as set up here"),
    );
    let mut bytes = fs::read(statistics).expect("as set up here");
    manifest["statistics"]["uri"] = json!("statistics.safetensors");
    edit(&mut manifest, &mut bytes);
    let copy = folder.join("edited");
    fs::create_dir_all(&copy).expect("as set up here");
    fs::write(copy.join("statistics.safetensors"), &bytes).expect("as set up here");
    fs::write(copy.join("package.json"), manifest.to_string()).expect("as set up here");
    copy.join("package.json").display().to_string()
}

/// As somebody would who wants it to be believed.
fn with_digest(manifest: &mut Value, bytes: &[u8]) {
    manifest["statistics"]["sha256"] = json!(package::digest(bytes));
    manifest["statistics"]["size"] = json!(bytes.len());
}

#[test]
fn a_package_that_is_hostile_or_damaged_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut executor = Executor::start();
    let package = trained(folder, &mut executor);
    fs::write(folder.join("secret"), "of somebody else").unwrap();
    type Edit = fn(&mut Value, &mut Vec<u8>);
    let cases: [(&str, Edit, &str); 9] = [
        (
            "above its folder",
            |manifest, _| {
                with_digest(manifest, b"of somebody else");
                manifest["statistics"]["uri"] = json!("../secret");
            },
            "leads out of the package's store",
        ),
        (
            "an absolute path",
            |manifest, _| manifest["statistics"]["uri"] = json!("/etc/passwd"),
            "leads out of the package's store",
        ),
        (
            "another store",
            |manifest, _| manifest["statistics"]["uri"] = json!("s3://other/statistics"),
            "leads out of the package's store",
        ),
        (
            "cut off",
            |_, bytes| bytes.truncate(bytes.len() / 2),
            "bytes",
        ),
        (
            "cut off and said so",
            |manifest, bytes| {
                bytes.truncate(bytes.len() / 2);
                with_digest(manifest, bytes);
            },
            "cannot be used",
        ),
        ("changed", |_, bytes| bytes[100] ^= 1, "sha256"),
        (
            "a header longer than the file",
            |manifest, bytes| {
                bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
                with_digest(manifest, bytes);
            },
            "cannot be used",
        ),
        (
            "of a model with other features",
            |manifest, _| manifest["model"]["init_args"]["n_features"] = json!(5),
            "",
        ),
        (
            "of a model that sees another size",
            |manifest, _| {
                manifest["preprocessing"]["image_size"] = json!([96, 96]);
                manifest["preprocessing"]["resize"] = json!([96, 96]);
            },
            "",
        ),
    ];
    for (what, edit, words) in cases {
        let path = edited(folder, &package, edit);
        let mut job = predict(folder, &path, &["./data/tiny/test"]);
        job.run(&mut executor, 2);
        let kinds = [TaskKind::List, TaskKind::Score];
        let tasks = kinds.map(|kind| job.tasks.iter().any(|task| task.spec.kind() == kind));
        let failed = if tasks[1] {
            TaskKind::Score
        } else {
            TaskKind::List
        };
        let failure = job.failure(failed);
        eprintln!("{what}: {failure}");
        expect_refused(failure, &["edited/package.json", words]);
        assert!(!failure.message.contains("of somebody else"), "{failure}");
    }
}

#[test]
fn a_package_without_thresholds_gives_scores_and_says_why_nothing_is_decided() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut executor = Executor::start();
    let package = trained(folder, &mut executor);
    let path = edited(folder, &package, |manifest, _| {
        manifest["thresholds"] = json!({"image": null, "pixel": null});
        let text = manifest.to_string();
        PackageManifest::from_json(text.as_bytes()).unwrap();
    });
    let mut job = predict(folder, &path, &["./data/tiny/test"]);
    job.run(&mut executor, 2);
    let rows: Vec<ScoreRow> = job.table(TaskKind::Reduce, "scores.parquet");
    assert_eq!(rows.len(), 4);
    for row in rows {
        assert!(row.score.is_some() && row.is_anomalous.is_none(), "{row:?}");
    }
    let said = warnings(&job);
    for words in ["edited/package.json has no threshold", "metrics.threshold"] {
        assert!(said.contains(words), "{said}");
    }
}

/// Of a job that scores these places by the package, with more in its file.
fn scored(folder: &Path, package: &str, executor: &mut Executor, more: &str) -> Job {
    let places = [folder.join("night").display().to_string()];
    let places = places.each_ref().map(String::as_str);
    let mut job = predict_with(folder, package, &places, more);
    job.run(executor, 2);
    job
}

#[test]
fn what_is_computed_less_exactly_is_certified_and_nothing_else_changes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let executor = &mut Executor::start();
    let package = trained(folder, executor);
    // Photographs of 256 x 256 for a model that sees 64 x 64.
    let night = folder.join("night");
    fs::create_dir_all(&night).unwrap();
    for index in 0..5 {
        // Smooth enough for a fraction of their size.
        let value = |at: u32| {
            let (x, y) = (f64::from(at % 256), f64::from(at / 256));
            (110.0 + 40.0 * (x / 19.0 + f64::from(index)).sin() + 30.0 * (y / 27.0).cos()) as u8
        };
        let large = (0..256 * 256).map(value);
        let image = vision::Image {
            width: 256,
            height: 256,
            channels: vision::Channels::Grey,
            data: large.collect(),
        };
        let jpeg = vision::encode_jpeg(&image, 90).unwrap();
        fs::write(night.join(format!("{index}.jpg")), jpeg).unwrap();
    }
    let of = |job: &Job| -> Vec<ScoreRow> { job.table(TaskKind::Reduce, "scores.parquet") };
    let certificate = |job: &Job| match &job.accepted(TaskKind::Evaluate).0.detail {
        plan::ResultDetail::Evaluate { certificate, .. } => certificate.clone(),
        other => panic!("{other:?}"),
    };
    let exact = scored(folder, &package, executor, "");
    assert_eq!(certificate(&exact), None);
    let exact = of(&exact);
    let engine = &engines::open(engines::Choice::OpenVino).unwrap();
    let has_bf16 = engine.precisions().contains(&engines::Precision::Bf16);
    for (more, needs_bf16) in [
        ("scaled_decoding: true\n", false),
        ("precision: bf16\n", true),
        ("precision: bf16\nscaled_decoding: true\nparity: 3\n", true),
    ] {
        if needs_bf16 && !has_bf16 {
            let mut job = predict_with(folder, &package, &[&night.display().to_string()], more);
            job.run(executor, 2);
            expect_refused(job.failure(TaskKind::Score), &["bf16", "only in f32"]);
            continue;
        }
        let job = scored(folder, &package, executor, more);
        let rows = of(&job);
        let certificate = certificate(&job).expect("there is one");
        let images = if more.contains("parity") { 3 } else { 5 };
        assert_eq!((certificate.images, certificate.skipped), (images, 0));
        let agreement = certificate.agreement.expect("was measured");
        // The certificate says what the tables say, if it is of all images.
        let pairs = || exact.iter().zip(&rows);
        let score = |row: &ScoreRow| f64::from(row.score.expect("was scored"));
        let most = pairs().map(|(a, b)| (score(a) - score(b)).abs());
        let most = most.fold(0.0, f64::max) / exact.iter().map(score).fold(0.0, f64::max);
        assert!(most > 1e-6 && most < 0.2, "{more}: {most}");
        if images == 5 {
            let off = (agreement.score_difference - most).abs();
            assert!(off < 1e-6, "{agreement:?} {most}");
            let flips = pairs()
                .filter(|(a, b)| a.is_anomalous != b.is_anomalous)
                .count();
            assert_eq!(agreement.flips, Some(flips as u32));
        }
        assert!(agreement.map_difference.is_some_and(|map| map > 0.0));
        for (exact, row) in pairs() {
            assert_eq!(
                (row.width, row.height),
                (exact.width, exact.height),
                "{more}"
            );
        }
        let metrics: Vec<tables::MetricRow> = job.table(TaskKind::Reduce, "metrics.parquet");
        let said: Value = serde_json::from_str(&metrics[0].parameters).unwrap();
        assert_eq!(said["scaled_decoding"], more.contains("scaled_decoding"));
        assert_eq!(metrics[0].fingerprint.contains(" bf16;"), needs_bf16);
    }
}
