"""Runs in Anomalib 1.0.1's environment: an export's folder as argument, a JSON list of images on standard input.

The last line that it prints is what came out: scores by OpenVINO itself, and what Anomalib's OpenVINOInferencer makes of them.
"""
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
from anomalib.data.utils.label import LabelName
from anomalib.deploy import OpenVINOInferencer
from PIL import Image

# Processors with bf16 units would compute with 8 bits of precision otherwise.
CONFIG = {"INFERENCE_PRECISION_HINT": "f32"}


def prepared(image, ours):
    """Height, width, channels; the images have the size that the model resizes to."""
    pixels = np.asarray(Image.open(image).convert("RGB"), dtype=np.float32) / 255
    crop = ours["preprocessing"]["crop"]
    if ours["resized_inside"] or crop is None:
        return pixels
    top, left = ((have - want) // 2 for have, want in zip(pixels.shape, crop))
    return np.ascontiguousarray(pixels[top : top + crop[0], left : left + crop[1]])


def main():
    folder, images = Path(sys.argv[1]), json.load(sys.stdin)
    file = folder / "model.onnx"
    if file.is_file():
        onnx.checker.check_model(str(file), full_check=True)
    else:
        file = folder / "model.xml"
    compiled = ov.Core().compile_model(file, "CPU", CONFIG)
    inferencer = OpenVINOInferencer(path=file, metadata=folder / "metadata.json", device="CPU", config=CONFIG)
    # Without the range scores stay as they are.
    raw = {key: inferencer.metadata[key] for key in ("image_threshold", "pixel_threshold") if key in inferencer.metadata}
    found = {"scores": [], "inferencer_scores": [], "inferencer_normalized": [], "inferencer_anomalous": []}
    for image in images:
        pixels = prepared(image, inferencer.metadata["nightshift"])
        found["scores"].append(float(compiled(pixels.transpose(2, 0, 1)[None])["pred_score"][0]))
        found["inferencer_scores"].append(float(inferencer.predict(pixels.copy(), metadata=dict(raw)).pred_score))
        said = inferencer.predict(pixels.copy())
        found["inferencer_normalized"].append(float(said.pred_score))
        found["inferencer_anomalous"].append(said.pred_label == LabelName.ABNORMAL)
    found["versions"] = {"openvino": ov.get_version().split("-")[0], "onnx": onnx.__version__}
    print(json.dumps(found))


main()
