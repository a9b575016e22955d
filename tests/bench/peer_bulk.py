#!/usr/bin/env python3
"""A good Python pipeline that scores a folder of JPEGs by an OpenVINO IR: OpenCV, a pool of threads that decode ahead, and
requests of OpenVINO in turn, twice as many as it calls optimal for throughput. Prints one JSON line: the best of the given batches.

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
    image = cv2.resize(cv2.imread(str(path)), (arguments.resize,) * 2, interpolation=cv2.INTER_AREA)
    top, left = (arguments.resize - HEIGHT) // 2, (arguments.resize - WIDTH) // 2
    # Channels change places where fewer pixels are left: each is resized by itself.
    image = cv2.cvtColor(image[top:top + HEIGHT, left:left + WIDTH], cv2.COLOR_BGR2RGB)
    return image.transpose(2, 0, 1).astype(np.float32) / 255


class Request:
    """A request of a compiled model, and the files whose images its input holds."""

    def __init__(self, compiled):
        self.request, self.files = compiled.create_infer_request(), []
        self.input = self.request.get_input_tensor().data

    def begin(self, files, images):
        self.files = files
        # Behind the last image of all, earlier ones are computed again.
        for place, image in enumerate(images):
            self.input[place] = image
        self.request.start_async()

    def scores(self):
        """Of what was begun last; waits for it. Nothing if nothing was."""
        self.request.wait()
        values = self.request.get_tensor("pred_score").data.reshape(-1)
        return {file.name: float(value) for file, value in zip(self.files, values)}


def score_all(compiled, batch):
    """Without AsyncInferQueue, which calls a Python function when a request is done. OpenVINO's thread drops what it called after the last wait has
    returned, and needs Python's lock for it; if the compiled model is dropped first, its destructor holds that lock and joins the thread for ever."""
    scores = {}
    # As many again lie filled while those are computed.
    requests = [Request(compiled) for _ in range(2 * compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))]
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
            images = [image.result() for image in images]
            request = requests[number % len(requests)]
            scores |= request.scores()
            request.begin(group, images)
        for request in requests:
            scores |= request.scores()
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
