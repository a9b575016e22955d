#!/usr/bin/env python3
"""Times ADEval (binned, 1,000 strips) on maps like those of `crates/metrics/examples/pixel_metrics.rs`: smooth noise, every second
map with one or two raised rectangles, which its mask marks.

    peer_adeval.py [--maps N] [--size PIXELS]

AUROC, AUPR and AUPRO together in one pass, on one thread; one JSON line. Making the maps does not count.
"""
import argparse
import json
import resource
import time
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore")
if not hasattr(np, "trapz"):
    # Gone from numpy 2.4, and used by ADEval 1.1.0.
    np.trapz = np.trapezoid
from adeval import EvalAccumulator  # noqa: E402


def maps_and_masks(count, size):
    chance = np.random.default_rng(5)
    coarse = torch.from_numpy(chance.random((count, 1, size // 16, size // 16), dtype=np.float32))
    maps = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")[:, 0].numpy() * 0.6
    maps += chance.random((count, size, size), dtype=np.float32) * 0.1
    masks = np.zeros((count, size, size), np.uint8)
    for index in range(1, count, 2):
        for _ in range(1 + index % 4 // 2):
            top, left = chance.integers(0, size - 50, 2)
            height, width = chance.integers(10, 50, 2)
            masks[index, top:top + height, left:left + width] = 1
            maps[index, top:top + height * 3 // 4, left:left + width] += 0.3
    return np.clip(maps, 0, 1), masks


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=int, default=1000)
    parser.add_argument("--size", type=int, default=256)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    maps, masks = maps_and_masks(arguments.maps, arguments.size)
    start = time.perf_counter()
    accumulator = EvalAccumulator(0, 1, 0, 1)
    for one, mask in zip(maps, masks):
        accumulator.add_anomap(one, mask)
        accumulator.add_image(one.max(), int(mask.any()))
    summary = accumulator.summary()
    taken = time.perf_counter() - start
    print(json.dumps({"adeval": "1.1.0", "maps": arguments.maps, "s": round(taken, 3), "auroc": float(summary["p_auroc"]),
                      "aupr": float(summary["p_aupr"]), "aupro": float(summary["p_aupro"]),
                      "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    main()
