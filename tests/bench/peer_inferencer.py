#!/usr/bin/env python3
"""Scores a folder of images with Anomalib's own OpenVINOInferencer (1.0.1 or 2.7.0, whichever this interpreter has) in its documented
way, one call an image; prints one JSON line.

    peer_inferencer.py --images DIR --model MODEL.xml [--metadata metadata.json] [--threads N]
"""
import argparse
import json
import os
import time
import warnings
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--images", type=Path, required=True)
parser.add_argument("--model", type=Path, required=True)
parser.add_argument("--metadata", type=Path)
parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
arguments = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
warnings.filterwarnings("ignore")
import anomalib  # noqa: E402
import numpy as np  # noqa: E402
from anomalib.deploy import OpenVINOInferencer  # noqa: E402

files = sorted(arguments.images.glob("*.jpg"))
options = {"path": arguments.model, "device": "CPU", "config": {"INFERENCE_NUM_THREADS": str(arguments.threads)}}
# Since 2.0 there is no such file: all of it is in the graph.
if arguments.metadata:
    options["metadata"] = arguments.metadata
inferencer = OpenVINOInferencer(**options)
inferencer.predict(files[0])
start, cpu = time.perf_counter(), time.process_time()
scores = [float(np.asarray(inferencer.predict(file).pred_score).reshape(-1)[0]) for file in files]
wall, cpu = time.perf_counter() - start, time.process_time() - cpu
print(json.dumps({"anomalib": anomalib.__version__, "images": len(files), "images_per_s": round(len(files) / wall, 2),
                  "cpu_ms_per_image": round(1000 * cpu / len(files), 2), "mean_score": round(float(np.mean(scores)), 5)}))
