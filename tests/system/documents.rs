//! What documents say of the packages is what cargo says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn packages(arguments: &[&str]) -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(arguments)
        .current_dir(repository(""))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn name(value: &Value) -> String {
    value["name"].as_str().unwrap().to_owned()
}

/// One line for all packages with the same dependencies; those without any first.
fn dependencies() -> String {
    let mut packages = packages(&["--no-deps"]);
    packages.sort_by_key(name);
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let mut lines: BTreeMap<(usize, String), Vec<String>> = BTreeMap::new();
    for package in &packages {
        let is_test = package["manifest_path"]
            .as_str()
            .unwrap()
            .contains("/tests/");
        if is_test {
            continue;
        }
        let on: BTreeSet<String> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|on| on["kind"].is_null())
            .map(name)
            .filter(|on| ours.contains(on))
            .collect();
        let text = on.iter().cloned().collect::<Vec<_>>().join(", ");
        let text = if text.is_empty() {
            "nothing of ours".to_owned()
        } else {
            text
        };
        lines
            .entry((on.len(), text))
            .or_default()
            .push(name(package));
    }
    lines
        .into_iter()
        .map(|((_, on), packages)| format!("{} ─▶ {on}\n", packages.join(", ")))
        .collect()
}

#[test]
fn the_architecture_says_who_depends_on_whom() {
    let path = repository("docs/architecture.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("## Who depends on whom").unwrap();
    let (intro, rest) = rest.split_once("```text\n").unwrap();
    let (_, after) = rest.split_once("```\n").unwrap();
    let fresh = format!(
        "{before}## Who depends on whom{intro}```text\n{}```\n{after}",
        dependencies()
    );
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == fresh,
        "docs/architecture.md is out of date: UPDATE=1 cargo test --workspace --test system documents"
    );
}

/// Whether the licence lets one choose, or is, one of these.
fn is_allowed(licence: &str, allowed: &BTreeSet<&str>) -> bool {
    let licence = licence.replace('/', " OR ");
    licence.split(" AND ").all(|part| {
        part.trim_matches(['(', ')', ' '])
            .split(" OR ")
            .any(|one| allowed.contains(one.trim_matches(['(', ')', ' '])))
    })
}

#[test]
fn every_crate_has_a_licence_that_is_listed_and_each_that_is_listed_is_needed() {
    let text = fs::read_to_string(repository("THIRD_PARTY.md")).unwrap();
    let (_, list) = text.split_once("or let one choose, one of\n").unwrap();
    let (list, _) = list.split_once(".\n`cargo metadata").unwrap();
    let allowed: BTreeSet<&str> = list.split(',').map(str::trim).collect();
    // What other platforms need is not even fetched.
    let built = packages(&["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let licences: BTreeMap<String, String> = built
        .iter()
        .filter(|package| package["source"].is_string())
        .map(|package| {
            let licence = package["license"].as_str().unwrap_or("none given");
            (name(package), licence.to_owned())
        })
        .collect();
    assert!(licences.len() > 100, "{}", licences.len());
    let others = |allowed: &BTreeSet<&str>| -> Vec<String> {
        licences
            .iter()
            .filter(|(_, licence)| !is_allowed(licence, allowed))
            .map(|(name, licence)| format!("{name}: {licence}"))
            .collect()
    };
    assert_eq!(others(&allowed), [""; 0]);
    for licence in &allowed {
        let mut fewer = allowed.clone();
        fewer.remove(licence);
        assert!(!others(&fewer).is_empty(), "no crate needs {licence}");
    }
}
