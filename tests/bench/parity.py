#!/usr/bin/env python3
"""Compares PaDiM's raw scores with Anomalib 1.0.1's on the same images, weights and channels: one JSON line.

    python3 tests/bench/parity.py [--folder datasets/elpv_mono] [--limit N] [--data DIR --dump FILE]

The peer's environment and data are made below .cache/bench (6 GB, minutes); --data and --dump name what make_data.py and
`e2e.py --dump` have made elsewhere. The peer chooses its channels at random, so ours gets the indices that it dumped.
Both AUROCs are computed here from the raw scores: the peer's own puts a sigmoid over them, which makes ties (its metrics
take scores that lie outside of 0 to 1 for logits). Exit code 1 if a score differs by more than 1e-3 of the peer's.
"""
import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench import peer_environment, peer_weights
from figures import CACHE, CTL, DATA, HERE, ROOT, Failed, run, say

LIMIT = 1e-3

JOB = """\
kind: benchmark
name: parity
model: {{class_path: Padim, init_args: {{backbone: mobilenet_v2, layers: [features.3, features.6, features.13], channel_indices: {channels}}}}}
data: {{class_path: MVTec, init_args: {{root: '{root}', category: '{category}', val_split_mode: same_as_test, task: classification}}}}
metrics: {{image: [AUROC]}}
task: classification
normalization: none
output: '{output}'
"""


def peer(folder, limit):
    """Images and dump of the peer, made if they are not there."""
    name = f"{folder.name}_{limit}"
    data, dump = DATA / name, CACHE / f"{name}.json"
    if not dump.is_file():
        python = peer_environment("1.0.1")
        say(run([python, HERE / "make_data.py", "--out", DATA, "--folder", folder, "--name", name, "--limit", limit]).strip())
        say("the peer fits and tests: minutes")
        unfinished = dump.with_suffix(".new.json")
        run([python, HERE / "e2e.py", "--data", data, "--model", "padim", "--weights", peer_weights(), "--dump", unfinished])
        unfinished.rename(dump)
    return data, dump


def ours(data, channels):
    """Raw scores by the last two parts of each image's path."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        job = JOB.format(channels=channels, root=data.parent.resolve(), category=data.name, output=folder / "results")
        (folder / "job.yaml").write_text(job)
        run([CTL, "run", "job.yaml", "--state", "state"], cwd=folder)
        rows = json.loads(run([CTL, "results", "--last", "--scores", "-o", "json", "--state", "state"], cwd=folder))
    return {"/".join(row["uri"].split("/")[-2:]): row["score"] for row in rows}


def auroc(scores, labels):
    """The share of pairs of a normal and an anomalous image that are in order; ties count half."""
    normal = [score for score, label in zip(scores, labels) if not label]
    anomalous = [score for score, label in zip(scores, labels) if label]
    won = sum((a > n) + 0.5 * (a == n) for a in anomalous for n in normal)
    return won / (len(normal) * len(anomalous))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "datasets" / "elpv_mono", help="images in MVTec layout")
    parser.add_argument("--limit", type=int, default=1000, help="images of each folder")
    parser.add_argument("--data", type=Path, help="the peer's images")
    parser.add_argument("--dump", type=Path, help="what the peer dumped for them")
    arguments = parser.parse_args()
    if (arguments.data is None) != (arguments.dump is None):
        parser.error("--data and --dump go together")
    data, dump = (arguments.data, arguments.dump) if arguments.dump else peer(arguments.folder, arguments.limit)
    theirs = json.loads(dump.read_text())
    scores = ours(data, theirs["channel_indices"])
    if set(scores) != set(theirs["names"]):
        raise Failed(f"{len(scores)} images scored, {len(theirs['names'])} in {dump}, not the same ones")
    pairs = [(scores[name], score) for name, score in zip(theirs["names"], theirs["scores"])]
    relative = sorted(abs(a - b) / abs(b) for a, b in pairs)
    line = {"name": "padim_parity", "images": len(pairs), "max_relative": relative[-1], "median_relative": relative[len(relative) // 2],
            "image_auroc": round(auroc([a for a, _ in pairs], theirs["labels"]), 5),
            "peer_image_auroc": round(auroc([b for _, b in pairs], theirs["labels"]), 5)}
    print(json.dumps(line))
    return 0 if relative[-1] <= LIMIT else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(f"parity: {error}")
