#!/usr/bin/env python3
"""What a processor can do at most: CPU seconds an image of OpenVINO's own benchmark_app on an exported model, at its best batch, and of decoding
and resizing alone (OpenCV: libjpeg-turbo and its SIMD area resizer), one thread. Prints one JSON line.

    peer_ceiling.py --images DIR --model MODEL.xml [--resize N] [--layers NAME...] [--batches 1 4 8 16] [--seconds N] [--threads N]

With --layers the model is cut behind these layers of its backbone: the backbone alone. Images are resized to N x N (256), of which the
model takes the middle.
"""
import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import openvino as ov

from peer_memory import keep_freed

parser = argparse.ArgumentParser()
parser.add_argument("--images", type=Path, required=True)
parser.add_argument("--model", type=Path, required=True)
parser.add_argument("--resize", type=int, default=256)
parser.add_argument("--layers", nargs="+")
parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16])
parser.add_argument("--seconds", type=int, default=8)
parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
arguments = parser.parse_args()
cv2.setNumThreads(1)
keep_freed()
# Height and width of the model's input.
HEIGHT, WIDTH = (dimension.get_length() for dimension in list(ov.Core().read_model(str(arguments.model)).input(0).partial_shape)[2:])


def images_alone():
    """CPU milliseconds an image, the best of three rounds: without reading, once the files are in memory."""
    files = [path.read_bytes() for path in sorted(arguments.images.glob("*.jpg"))[:100]]
    import numpy as np
    buffers = [np.frombuffer(data, np.uint8) for data in files]
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for data in buffers:
            cv2.resize(cv2.imdecode(data, cv2.IMREAD_COLOR), (arguments.resize,) * 2, interpolation=cv2.INTER_AREA)
        best = min(best, (time.process_time() - start) / len(buffers))
    return 1000 * best


def weights_of(convolution):
    """The name of its constant, whatever stands in between."""
    node = convolution.input_value(1).get_node()
    while node.get_type_name() != "Constant" and node.get_input_size():
        node = node.input_value(0).get_node()
    return node.get_friendly_name()


def end_of(layer, convolutions):
    """A layer's output: behind its last convolution, and behind what is added to that."""
    own = [node for node in convolutions if weights_of(node).startswith(layer + ".")]
    if not own:
        sys.exit(f"peer_ceiling: {arguments.model} has no layer {layer}")
    node = own[-1]
    while True:
        consumers = [target.get_node() for target in node.output(0).get_target_inputs()]
        sums = [consumer for consumer in consumers if consumer.get_type_name() == "Add"]
        if len(consumers) != 1 or not sums:
            return node
        node = sums[0]


def cut(folder):
    """The model up to the layers, as a file."""
    model = ov.Core().read_model(str(arguments.model))
    convolutions = [node for node in model.get_ordered_ops() if node.get_type_name() in ("Convolution", "GroupConvolution")]
    results = [ov.opset13.result(end_of(layer, convolutions).output(0)) for layer in arguments.layers]
    path = Path(folder) / "cut.xml"
    ov.save_model(ov.Model(results, model.get_parameters(), "cut"), str(path), compress_to_fp16=False)
    return path


def cpu_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def benchmark_app(model, batch):
    """CPU milliseconds an image while it infers: that of two lengths of the same run, so that loading and compiling do not count."""
    def take(iterations):
        before = cpu_of_children()
        shape = f"[{batch},3,{HEIGHT},{WIDTH}]"
        done = subprocess.run([str(Path(sys.executable).parent / "benchmark_app"), "-m", str(model), "-d", "CPU", "-hint", "none", "-nstreams", str(arguments.threads), "-api", "async", "-niter", str(iterations),
                               "-shape", shape, "-infer_precision", "f32", "-nthreads", str(arguments.threads)], capture_output=True, text=True, cwd=folder)
        if done.returncode:
            sys.exit("peer_ceiling: benchmark_app: " + " | ".join((done.stdout + done.stderr).strip().splitlines()[-3:]))
        rate = float(re.search(r"Throughput:\s+([0-9.]+)", done.stdout).group(1))
        done_iterations = int(re.search(r"Count:\s+([0-9]+)", done.stdout).group(1))
        return cpu_of_children() - before, done_iterations, rate
    _, _, rate = take(16)
    few, first, _ = take(16)
    many, second, rate = take(max(64, int(arguments.seconds * rate / batch)))
    return {"batch": batch, "cpu_ms": round(1000 * (many - few) / ((second - first) * batch), 3), "images_per_s": round(rate, 1)}


with tempfile.TemporaryDirectory() as folder:
    # What benchmark_app keeps lies where it runs.
    model = cut(folder) if arguments.layers else arguments.model.resolve()
    runs = [benchmark_app(model, batch) for batch in arguments.batches]
best = min(runs, key=lambda one: one["cpu_ms"])
alone = images_alone()
print(json.dumps({"images_per_s": round(1000 * arguments.threads / (best["cpu_ms"] + alone), 1), "decode_and_resize_ms": round(alone, 3), "infer_ms": best["cpu_ms"],
                  "batch": best["batch"], "openvino": ov.__version__.split("-")[0], "by_batch": runs}))
