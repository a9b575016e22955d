#!/usr/bin/env python3
"""Score a folder of images with Anomalib's own inferencer, one call per image (its documented way), and print images/s.

  peer_inferencer.py --images DIR --model MODEL.xml [--metadata metadata.json] [--mode inferencer|batch] [--limit N] [--device CPU]

mode inferencer (both versions): OpenVINOInferencer.predict(path) in a loop.
mode batch (2.7.0): OpenVINOInferencer.predict on stacked arrays of --batch images of one size, if the model takes a batch.
"""
import argparse
import json
import os
import time
import warnings
from pathlib import Path

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument("--images", type=Path, required=True)
ap.add_argument("--model", type=Path, required=True)
ap.add_argument("--metadata", type=Path)
ap.add_argument("--mode", choices=("inferencer", "batch"), default="inferencer")
ap.add_argument("--batch", type=int, default=8)
ap.add_argument("--limit", type=int, default=0)
ap.add_argument("--device", default="CPU")
ap.add_argument("--threads", type=int, default=2)
ap.add_argument("--scores", type=Path, help="write {name: score} JSON")
a = ap.parse_args()
os.environ["OMP_NUM_THREADS"] = str(a.threads)
warnings.filterwarnings("ignore")
import numpy as np  # noqa: E402
import anomalib  # noqa: E402
from anomalib.deploy import OpenVINOInferencer  # noqa: E402

V2 = int(anomalib.__version__.split(".")[0]) >= 2
files = sorted(p for p in a.images.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
files = files[:a.limit] if a.limit else files
cfg = {"INFERENCE_NUM_THREADS": str(a.threads)}
t0 = time.perf_counter()
inf = (OpenVINOInferencer(path=a.model, device=a.device, config=cfg) if V2
       else OpenVINOInferencer(path=a.model, metadata=a.metadata, device=a.device, config=cfg))
load = time.perf_counter() - t0
one = lambda p: float(np.asarray(p.pred_score).reshape(-1)[0])  # noqa: E731
one(inf.predict(files[0]))
scores = {}
t0, c0 = time.perf_counter(), time.process_time()
if a.mode == "inferencer":
    for f in files:
        scores[f.name] = one(inf.predict(f))
else:
    from anomalib.data.utils import read_image
    for i in range(0, len(files), a.batch):
        part = files[i:i + a.batch]
        x = np.stack([np.asarray(read_image(f, as_tensor=False), np.float32) for f in part])
        for f, s in zip(part, np.asarray(inf.predict(x).pred_score).reshape(-1)):
            scores[f.name] = float(s)
wall, cpu = time.perf_counter() - t0, time.process_time() - c0
if a.scores:
    a.scores.write_text(json.dumps(scores))
print(json.dumps({"anomalib": anomalib.__version__, "mode": a.mode, "images": len(files), "wall_s": round(wall, 2), "cpu_s": round(cpu, 2),
                  "images_per_s": round(len(files) / wall, 2), "load_s": round(load, 2), "mean_score": round(float(np.mean(list(scores.values()))), 5)}))
