#!/usr/bin/env python3
"""A good Python pipeline that scores a folder of JPEGs by an OpenVINO IR: OpenCV, a pool of threads that decode ahead, and
OpenVINO's asynchronous queue. Prints one JSON line: the best of the given batches.

    peer_bulk.py --images DIR --model MODEL.xml [--resize N] [--batches 1 4 8] [--threads N] [--rounds N]

Images are resized to N x N (256), of which the model takes the middle.
"""
import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import openvino as ov

from peer_memory import keep_freed

parser = argparse.ArgumentParser()
parser.add_argument("--images", type=Path, required=True)
parser.add_argument("--model", type=Path, required=True)
parser.add_argument("--resize", type=int, default=256)
parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8])
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=2)
arguments = parser.parse_args()
cv2.setNumThreads(1)
keep_freed()
# Height and width of the model's input.
HEIGHT, WIDTH = (dimension.get_length() for dimension in list(ov.Core().read_model(str(arguments.model)).input(0).partial_shape)[2:])
FILES = sorted(arguments.images.glob("*.jpg"))
# Batches that are decoded before they are asked for.
AHEAD = 4


def load(path):
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    image = cv2.resize(image, (arguments.resize,) * 2, interpolation=cv2.INTER_AREA)
    top, left = (arguments.resize - HEIGHT) // 2, (arguments.resize - WIDTH) // 2
    image = image[top:top + HEIGHT, left:left + WIDTH]
    return image.transpose(2, 0, 1).astype(np.float32) / 255


def score_all(compiled, batch):
    scores = {}
    queue = ov.AsyncInferQueue(compiled, arguments.threads)

    def done(request, files):
        values = request.get_tensor("pred_score").data.reshape(-1)
        scores.update((file.name, float(value)) for file, value in zip(files, values))

    queue.set_callback(done)
    groups = [FILES[first:first + batch] for first in range(0, len(FILES), batch)]
    start, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(arguments.threads) as pool:
        def begin(group):
            return group, [pool.submit(load, file) for file in group]
        ahead = [begin(group) for group in groups[:AHEAD]]
        for number in range(len(groups)):
            group, images = ahead.pop(0)
            if number + AHEAD < len(groups):
                ahead.append(begin(groups[number + AHEAD]))
            tensor = np.zeros((batch, 3, HEIGHT, WIDTH), np.float32)
            for place, image in enumerate(images):
                tensor[place] = image.result()
            queue.start_async({0: tensor}, group)
        queue.wait_all()
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert len(scores) == len(FILES)
    return {"batch": batch, "images_per_s": round(len(FILES) / wall, 1), "cpu_ms_per_image": round(1000 * cpu / len(FILES), 2),
            "mean_score": round(float(np.mean(list(scores.values()))), 4)}


def measure(batch):
    core = ov.Core()
    model = core.read_model(str(arguments.model))
    model.reshape([batch, 3, HEIGHT, WIDTH])
    compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"})
    return max((score_all(compiled, batch) for _ in range(arguments.rounds)), key=lambda one: one["images_per_s"])


results = [measure(batch) for batch in arguments.batches]
best = max(results, key=lambda one: one["images_per_s"])
print(json.dumps({**best, "openvino": ov.__version__.split("-")[0], "images": len(FILES), "by_batch": results}))
