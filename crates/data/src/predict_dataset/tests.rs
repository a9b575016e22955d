use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Format, ListedAddress, Place, Unlabelled, listed_address};
use crate::{Data, DataError, tests::data};

fn unlabelled(given: Value) -> Result<Unlabelled, DataError> {
    match data("PredictDataset", given)? {
        Data::Unlabelled(unlabelled) => Ok(unlabelled),
        Data::Labelled(_) => panic!("images to score have no labels"),
    }
}

#[test]
fn an_address_says_by_its_spelling_what_it_is() {
    let place = |text: &str| Place::parse(text).expect("a place");
    assert_eq!(
        place("s3://line3/2026"),
        Place::Folder("s3://line3/2026".into())
    );
    assert_eq!(place("/in/a.PNG"), Place::Image("/in/a.PNG".into()));
    for archive in ["/in/a.tar", "/in/a.tar.gz", "/in/a.TGZ", "s3://line3/a.zip"] {
        assert_eq!(place(archive), Place::Archive(archive.into()));
    }
    for (ending, format) in [
        ("txt", Format::Lines),
        ("CSV", Format::Csv),
        ("parquet", Format::Parquet),
    ] {
        let address = format!("s3://line3/night.{ending}");
        assert_eq!(place(&address), Place::List { address, format });
    }
    for (text, archive, entry) in [
        ("/in/a.tar!/b/c.png", "/in/a.tar", "b/c.png"),
        ("s3://l/a.TGZ!/[1]*.png", "s3://l/a.TGZ", "[1]*.png"),
        ("/in/x!/a.zip!/b!/c.png", "/in/x!/a.zip", "b!/c.png"),
    ] {
        let (archive, entry) = (archive.into(), entry.into());
        assert_eq!(place(text), Place::Archived { archive, entry });
    }
    // No archive, nothing in it.
    assert_eq!(place("/in/a!/b.png"), Place::Image("/in/a!/b.png".into()));
    assert_eq!(place("/in/a.tar!/"), Place::Folder("/in/a.tar!/".into()));
    match place("s3://line3/2026/*/cam?/**/*.jpg") {
        Place::Glob { folder, .. } => assert_eq!(folder, "s3://line3/2026"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_star_stays_within_a_name_and_two_go_over_folders() {
    let takes = |glob: &str, address: &str| Place::parse(glob).expect("a glob").takes(address);
    assert!(takes("/in/*.png", "/in/a.png"));
    assert!(!takes("/in/*.png", "/in/b/a.png"));
    assert!(takes("/in/**/*.png", "/in/b/c/a.png"));
    assert!(takes("/in/**/*.png", "/in/a.png"));
    assert!(takes("/in/cam[12]/?.png", "/in/cam2/a.png"));
    assert!(!takes("/in/cam[12]/?.png", "/in/cam3/a.png"));
}

#[test]
fn a_glob_enters_only_folders_that_may_hold_what_it_means() {
    let enters = |glob: &str, below: &str| Place::parse(glob).expect("a glob").enters(below);
    assert!(!enters("/in/*.png", "a"));
    assert!(enters("/in/cam?/b/*.png", "cam1"));
    assert!(enters("/in/cam?/b/*.png", "cam1/b"));
    for other in ["cam10", "cam1/c", "cam1/b/c", "b"] {
        assert!(!enters("/in/cam?/b/*.png", other), "{other}");
    }
    assert!(enters("/in/cam?/**/b.png", "cam1/x/y/z"));
    assert!(!enters("/in/cam?/**/b.png", "can1/x"));
    assert!(enters("/in/**", "a/b") && enters("/in/**/*.png", "a/b"));
    assert!(enters("/data/in [[]new]/*/a.png", "in [new]/b"));
    // What cannot be taken apart is looked for everywhere.
    assert!(enters("/in/[a/b]*/c.png", "x/y"));
    assert!(enters("/in", "x/y"), "a folder");
}

#[test]
fn a_glob_that_ends_like_archives_means_archives() {
    let opens = |text: &str| Place::parse(text).expect("a place").opens_archives();
    assert!(opens("/in/*.tar") && opens("/in/**/*.TGZ"));
    assert!(!opens("/in/**") && !opens("/in/*.png") && !opens("/in"));
}

#[test]
fn an_address_of_a_list_is_taken_as_it_stands() {
    let archived = |archive: &str, entry: &str| ListedAddress::Archived {
        archive: archive.to_owned(),
        entry: entry.to_owned(),
    };
    for (address, expected) in [
        ("/in/a*.png", ListedAddress::Object("/in/a*.png".into())),
        ("/in/a.tar", ListedAddress::Object("/in/a.tar".into())),
        ("/in/[1].tar!/a b.png", archived("/in/[1].tar", "a b.png")),
        (
            "file:///in/a%20b.zip!/c%20!/d.png",
            archived("file:///in/a%20b.zip", "c%20!/d.png"),
        ),
    ] {
        assert_eq!(listed_address(address), expected, "{address}");
    }
}

#[test]
fn images_that_a_job_lists_are_taken_as_they_stand() {
    let given = json!({"path": ["/in/[a.png", "/in/a", "s3://l/x.tar!/b?.png"], "listed": true});
    let images = unlabelled(given).expect("no glob is read");
    let object = |address: &str| ListedAddress::Object(address.to_owned());
    let archived = ListedAddress::Archived {
        archive: "s3://l/x.tar".to_owned(),
        entry: "b?.png".to_owned(),
    };
    assert_eq!(
        images.listed(),
        [object("/in/[a.png"), object("/in/a"), archived]
    );
    assert_eq!(images.places(), []);
    let places = unlabelled(json!({"path": ["/in/a"]})).expect("right");
    assert_eq!((places.listed(), places.places().len()), (&[][..], 1));
}

#[test]
fn a_glob_may_be_the_name_of_something() {
    let stands = |text: &str| Place::parse(text).expect("a place").as_it_stands();
    assert_eq!(stands("/in/a[1]"), Some(Place::Folder("/in/a[1]".into())));
    assert_eq!(stands("/in/*.png"), Some(Place::Image("/in/*.png".into())));
    assert_eq!(stands("/in/a"), None);
}

#[test]
fn what_cannot_be_a_place_is_said() {
    for wrong in ["/*", "s3://*", "s3://*/a", "/in/[a.png", "/in/a***b.png"] {
        let error = Place::parse(wrong).expect_err(wrong);
        assert!(error.to_string().starts_with("path: "), "{error}");
    }
}

#[test]
fn images_that_nothing_reads_are_told_from_other_files() {
    let all = unlabelled(json!({"path": ["/in"]})).expect("right");
    assert_eq!(all.unread("a/b.GIF"), Some(".gif"));
    assert_eq!(all.unread("a/b.txt"), None);
    assert_eq!(all.unread("a/b.png"), None);
    // Who asks for it gets a row of each.
    let asked = json!({"path": ["/in"], "extensions": [".gif"]});
    let asked = unlabelled(asked).expect("right");
    assert_eq!(asked.unread("b.gif"), None);
    // Images of other endings are left out by that, and other files by their own.
    assert!(asked.is_other_image("a/b.png") && !all.is_other_image("a/b.png"));
    assert!(!asked.is_other_image("b.gif") && !asked.is_other_image("b.txt"));
}

#[test]
fn sizes_times_and_endings_leave_objects_out() {
    let wants = |given: Value, below: &str, size: u64, day: &str| {
        let mut all = json!({"path": ["/in"]});
        all.as_object_mut()
            .expect("a map")
            .extend(given.as_object().expect("a map").clone());
        let time: jiff::Timestamp = format!("{day}T12:00:00Z").parse().expect("a time");
        unlabelled(all)
            .expect("right")
            .wants(below, size, time.as_millisecond())
    };
    let day = "2026-11-27";
    assert!(wants(json!({}), "a/b.TIFF", 0, day));
    assert!(!wants(json!({}), "a/b.txt", 0, day));
    assert!(!wants(json!({}), ".cache/b.png", 0, day));
    assert!(!wants(json!({"extensions": [".jpg"]}), "b.png", 0, day));
    assert!(!wants(json!({"min_bytes": 10}), "b.png", 9, day));
    assert!(wants(
        json!({"min_bytes": 10, "max_bytes": 10}),
        "b.png",
        10,
        day
    ));
    assert!(!wants(json!({"max_bytes": 10}), "b.png", 11, day));
    assert!(wants(
        json!({"modified_since": "2026-11-27"}),
        "b.png",
        1,
        day
    ));
    assert!(!wants(
        json!({"modified_since": "2026-11-27T13:00:01+01:00"}),
        "b.png",
        1,
        day
    ));
    assert!(!wants(
        json!({"modified_before": "2026-11-27"}),
        "b.png",
        1,
        day
    ));
}

#[test]
fn contradictions_and_unreadable_times_are_told_by_their_parameter() {
    for (given, parameter) in [
        (json!({"min_bytes": 2, "max_bytes": 1}), "max_bytes"),
        (
            json!({"modified_since": "2026-11-28", "modified_before": "2026-11-27"}),
            "modified_before",
        ),
        (json!({"modified_since": "yesterday"}), "modified_since"),
        // Days that are those of the job's time zone are written in one way.
        (json!({"modified_since": "2026-11-7"}), "modified_since"),
        (json!({"modified_before": " 2026-11-27"}), "modified_before"),
        (json!({"modified_before": "+2026-11-27"}), "modified_before"),
        (
            json!({"modified_since": "2026-11-29T20:24:00"}),
            "modified_since",
        ),
        (
            json!({"modified_before": "2026-11-29 20:24"}),
            "modified_before",
        ),
        (json!({"extensions": ["png"]}), "extensions"),
    ] {
        let mut all = json!({"path": ["/in"]});
        all.as_object_mut()
            .expect("a map")
            .extend(given.as_object().expect("a map").clone());
        let error = unlabelled(all).expect_err("wrong");
        assert!(
            error.to_string().starts_with(&format!("{parameter}: ")),
            "{error}"
        );
    }
}

proptest! {
    #[test]
    fn no_address_makes_it_panic(address in ".{0,40}", object in ".{0,40}") {
        if let Ok(place) = Place::parse(&address) {
            let _ = place.takes(&object);
        }
    }
}
