//! What a dataset says of its licence goes with everything that is made of it.

use std::fs;

use serde_json::Value;

use crate::queues::{Queue, on_both_queues};
use crate::sandbox::{Sandbox, files};

on_both_queues!(the_datas_licence_is_in_the_package_the_tables_and_under_the_results,);

fn the_datas_licence_is_in_the_package_the_tables_and_under_the_results(queue: Queue) {
    let sandbox = Sandbox::with_job(6, 3).served(queue);
    let licence = "CC BY-NC 4.0, not for commercial use";
    sandbox.write("data/tiny/LICENCE.txt", &format!("\n  {licence}\r\nmore\n"));
    sandbox.write("data/LICENSE", "another, of the root\n");
    let ended = sandbox.ctl(&["run", "job.yaml"]);
    ended.expect(0);
    let said = format!("\nlicence of data: {licence}\n");
    assert!(ended.stdout.contains(&said), "{}", ended.stdout);
    let results = sandbox.ctl(&["results", "--last"]);
    assert!(results.stdout.contains(&said), "{}", results.stdout);

    let expected = serde_json::json!([format!("data: {licence}"), "data: another, of the root"]);
    let metrics = sandbox.json(&["results", "--last", "--metrics"]);
    for row in metrics.as_array().unwrap() {
        let parameters: Value = serde_json::from_str(row["parameters"].as_str().unwrap()).unwrap();
        assert_eq!(parameters["used"]["licences"], expected, "{row}");
    }
    let files = files(&sandbox.path("out"));
    let package = files.iter().find(|file| file.ends_with("package.json"));
    let package: Value = serde_json::from_slice(&fs::read(package.unwrap()).unwrap()).unwrap();
    assert_eq!(package["provenance"]["licences"], expected, "{package}");
}
