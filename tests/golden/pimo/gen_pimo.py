"""PIMO and AUPIMO of Anomalib 2.7.0: writes meta.json beside this file. Inputs are made by formula, here and in the test."""

import json
from pathlib import Path

import anomalib
import numpy as np
import torch
from anomalib.metrics.pimo.functional import aupimo_scores

NUM_THRESHOLDS = 300_000


def formula(name, count):
    """Numbers of a name, uniform in [0, 1), each a multiple of 2^-24: splitmix64 from the FNV-1a hash of the name."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 % 2**64
    z = np.uint64(key) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) / 2**24


def case(name, side, normal, anomalous, fpr_bounds, lowest, width):
    """Image k is normal for k < normal; the others have a rectangle whose scores are from `lowest` on, somewhat less in each."""
    maps, masks = [], []
    for k in range(normal + anomalous):
        uniform = formula(f"{name}/{k}", side * side).astype(np.float32).reshape(side, side)
        # Few high scores, so that the reference's thresholds at even distances tell them from each other.
        scores = 1 - np.sqrt(np.sqrt(1 - uniform))
        mask = np.zeros((side, side), dtype=bool)
        if k >= normal:
            j = k - normal
            mask[side // 8 : side // 8 + 5 + 3 * j, side // 4 : side // 4 + 9 + j] = True
            scores = np.where(mask, np.float32(lowest - 0.01 * j) + uniform * np.float32(width), scores)
        maps.append(scores)
        masks.append(mask)
    maps, masks = torch.from_numpy(np.stack(maps)), torch.from_numpy(np.stack(masks))
    thresholds, shared_fpr, tprs, classes, aupimos, points = aupimo_scores(maps, masks, NUM_THRESHOLDS, fpr_bounds)
    assert classes.tolist() == [0] * normal + [1] * anomalous
    within = torch.where((shared_fpr >= fpr_bounds[0]) & (shared_fpr <= fpr_bounds[1]))[0]
    picked = within[torch.linspace(0, len(within) - 1, 7).long()]
    assert maps.dtype == torch.float32
    return {
        "lowest": lowest,
        "width": width,
        "side": side,
        "normal": normal,
        "anomalous": anomalous,
        "fpr_bounds": list(fpr_bounds),
        "num_points": points,
        "aupimo": aupimos[normal:].tolist(),
        "mean": aupimos[normal:].mean().item(),
        "curve": [
            {"threshold": thresholds[i].item(), "shared_fpr": shared_fpr[i].item(), "tpr": tprs[normal:, i].tolist()}
            for i in picked
        ],
    }


values = {
    "wide": case("wide", 64, 5, 4, (1e-3, 1e-1), 0.4, 0.5),
    "standard": case("standard", 256, 12, 3, (1e-5, 1e-4), 0.88, 0.125),
}
meta = {
    "set": "pimo",
    "generated_by": "gen_pimo.py",
    "versions": {"anomalib": anomalib.__version__, "torch": torch.__version__, "numpy": np.__version__},
    "num_thresholds": NUM_THRESHOLDS,
    "values": values,
}
Path(__file__).with_name("meta.json").write_text(json.dumps(meta, indent=1) + "\n")
