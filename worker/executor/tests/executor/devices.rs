//! What OpenVINO is to compute on, by the environment.

use std::process::Command;

use serde_json::Value;

use crate::process::program;

/// What is said of OpenVINO.
fn openvino(device: &str) -> Value {
    let output = Command::new(program())
        .arg("--probe")
        .env("NIGHTSHIFT_OPENVINO_DEVICE", device)
        .output()
        .expect("the executor's answer");
    let text = String::from_utf8(output.stdout).expect("the executor's answer");
    let answer = text
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str::<Value>(line).ok());
    let engines = answer.expect("the executor's answer")["engines"]
        .as_array()
        .expect("the executor's answer")
        .clone();
    let of_openvino = engines
        .into_iter()
        .find(|engine| engine["name"] == "openvino");
    of_openvino.expect("the executor's answer")
}

#[test]
fn a_device_without_its_plugin_is_refused_by_name_and_the_processor_is_what_there_is_without() {
    for device in ["", "cpu", "CPU"] {
        let found = openvino(device);
        assert_eq!(found["error"], Value::Null, "{found}");
        assert_eq!(found["devices"][0], "cpu");
        assert_eq!(found["found_devices"][0], "CPU");
        assert_eq!(found["precisions"][0], "f32");
    }
    // `make setup` brings none of these.
    for device in ["gpu", "NPU", "GPU.1", "AUTO", "toaster"] {
        let found = openvino(device);
        let error = found["error"].as_str().unwrap();
        let named = device.to_ascii_uppercase();
        for word in [named.as_str(), "NIGHTSHIFT_OPENVINO_DEVICE", "only CPU"] {
            assert!(error.contains(word), "{device}: {error}");
        }
    }
}
