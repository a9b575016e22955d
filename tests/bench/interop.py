#!/usr/bin/env python3
"""Gives exported models to Anomalib 1.0.1's OpenVINOInferencer, to OpenVINO 2024.0 and to onnx's checker: one JSON line each.

    python3 tests/bench/interop.py

Trains PaDiM, PatchCore and DFKDE on the textures, exports each, and compares what the inferencer says with the job's own scores.
Images have the models' size already, so that nobody resizes. The environment of Anomalib 1.0.1 is made below .cache/bench (6 GB,
minutes). Exit code 1 if a score differs by more than its limit, or a file is refused.
"""
import json
import sys
import tempfile
from pathlib import Path

from bench import peer_environment
from figures import CTL, HERE, ROOT, Failed, run, say

# Relative to the largest score.
LIMIT = 1e-4
# Of kernels in half precision; docs/formats.md says it.
LIMIT_FP16 = 2e-2
IMAGES = 12

JOB = """\
kind: train
name: {name}
model: {model}
data: {{class_path: MVTec, init_args: {{root: '{root}', category: brick, image_size: {side}}}}}
task: {task}
output: '{output}'
"""

MODELS = {
    "padim": ("{class_path: Padim, init_args: {backbone: mobilenet_v2, layers: [features.3, features.6], n_features: 30}}", "segmentation"),
    # Its score is not the highest value of its map, which is all that the inferencer looks at.
    "patchcore": ("{class_path: Patchcore, init_args: {backbone: mobilenet_v2, layers: [features.6], coreset_sampling_ratio: 0.05}}", "segmentation"),
    "dfkde": ("{class_path: Dfkde, init_args: {backbone: mobilenet_v2, layers: [features.13], n_pca_components: 8}}", "classification"),
}
EXPORTS = {"openvino": ["--engine", "openvino"], "openvino-fp16": ["--engine", "openvino", "--fp16"], "onnx": ["--engine", "onnx"],
           "onnx-fp16": ["--engine", "onnx", "--fp16"], "openvino-anomalib": ["--engine", "openvino", "--anomalib"],
           "onnx-anomalib": ["--engine", "onnx", "--anomalib"]}


def relative(pairs):
    """The largest difference, relative to the largest expected value."""
    return max(abs(a - b) for a, b in pairs) / max(abs(b) for _, b in pairs)


def check(python, folder, name):
    """One model: what the inferencer and the engines say of each of its exports."""
    model, task = MODELS[name]
    (folder / f"{name}.yaml").write_text(JOB.format(name=name, model=model, task=task, root=ROOT / "datasets" / "texture", side=256, output=folder / "out"))
    run([CTL, "run", f"{name}.yaml", "--state", "state"], cwd=folder)
    rows = json.loads(run([CTL, "results", "--last", "--scores", "-o", "json", "--state", "state"], cwd=folder))
    rows = [row for row in rows if row["split"] == "test"]
    rows = rows[:: max(1, len(rows) // IMAGES)]
    images = [row["uri"].removeprefix("file://") for row in rows]
    right = True
    for export, arguments in EXPORTS.items():
        files = folder / f"{name}-{export}"
        run([CTL, "export", name, *arguments, "--to", files, "--state", "state"], cwd=folder)
        found = json.loads(run([python, HERE / "interop_peer.py", files], cwd=folder, input=json.dumps(images)).splitlines()[-1])
        raw = relative([(a, row["score"]) for a, row in zip(found["scores"], rows)])
        said = max(abs(a - row["score_normalized"]) for a, row in zip(found["inferencer_normalized"], rows))
        seen = relative([(a, row["score"]) for a, row in zip(found["inferencer_scores"], rows)])
        flips = sum(a != row["is_anomalous"] for a, row in zip(found["inferencer_anomalous"], rows))
        limit = LIMIT_FP16 if "fp16" in export else LIMIT
        compared = name != "patchcore"
        good = raw <= limit and (not compared or (seen <= limit and ("fp16" in export or (said <= 1e-3 and flips == 0))))
        right = right and good
        line = {"name": "interop", "model": name, "export": export, "images": len(rows), "score_difference": raw, "inferencer_difference": seen if compared else None,
                "inferencer_normalized_difference": said if compared else None, "flips": flips if compared else None, **found["versions"], "ok": good}
        print(json.dumps(line), flush=True)
    return right


def main():
    python = peer_environment("1.0.1")
    with tempfile.TemporaryDirectory() as folder:
        right = [check(python, Path(folder), name) for name in MODELS]
    return 0 if all(right) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        say(f"interop: {error}")
        sys.exit(1)
