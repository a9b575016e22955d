#!/usr/bin/env python3
"""Compares raw image scores with Anomalib 1.0.1's on the same images and weights: one JSON line.

    python3 tests/bench/parity.py [--folder datasets/elpv_mono] [--limit N]             PaDiM, minutes
    python3 tests/bench/parity.py --model patchcore --limit 100                         PatchCore, ten minutes and more

The peer's environment and data are made below .cache/bench (6 GB, minutes).
PaDiM: the peer chooses its channels at random, so ours gets the indices that it dumped. Exit code 1 if a score differs by more than 1e-3 of the peer's.
PatchCore: the peer's projection and start are random and ours has no projection, so banks differ; compared are the
means of the AUROCs of some seeds, --seeds (three) and --peer-seeds (one, of ten minutes). Exit code 1 if they differ by more than 0.01.
AUROCs are computed here from the raw scores: the peer's own puts a sigmoid over them, which makes ties (its metrics
take scores that lie outside of 0 to 1 for logits).
"""
import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench import MODELS, peer_environment, peer_weights
from figures import CACHE, CTL, DATA, HERE, ROOT, Failed, run, say

SCORE_LIMIT = 1e-3
AUROC_LIMIT = 0.01

PADIM = "{{class_path: Padim, init_args: {{backbone: mobilenet_v2, layers: [features.3, features.6, features.13], channel_indices: {channels}}}}}"
JOB = """\
kind: benchmark
name: parity
model: {model}
seed: {seed}
data: {{class_path: MVTec, init_args: {{root: '{root}', category: '{category}', val_split_mode: same_as_test, task: classification}}}}
metrics: {{image: [AUROC]}}
task: classification
normalization: none
output: '{output}'
"""


def peer(model, folder, limit, seed):
    """Images and dump of the peer, made if they are not there."""
    name = f"{folder.name}_{limit}"
    data, dump = DATA / name, CACHE / f"{model}_{name}_{seed}.json"
    if not dump.is_file():
        python = peer_environment("1.0.1")
        if not data.is_dir():
            say(run([python, HERE / "make_data.py", "--out", DATA, "--folder", folder, "--name", name, "--limit", limit]).strip())
        say(f"the peer fits and tests with seed {seed}: minutes")
        unfinished = dump.with_suffix(".new.json")
        run([python, HERE / "e2e.py", "--data", data, "--model", model, "--weights", peer_weights(), "--seed", seed, "--dump", unfinished])
        unfinished.rename(dump)
    return data, json.loads(dump.read_text())


def ours(model, data, seed):
    """Raw scores by the last two parts of each image's path."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        job = JOB.format(model=model, seed=seed, root=data.parent.resolve(), category=data.name, output=folder / "results")
        (folder / "job.yaml").write_text(job)
        run([CTL, "run", "job.yaml", "--state", "state"], cwd=folder)
        rows = json.loads(run([CTL, "results", "--last", "--scores", "-o", "json", "--state", "state"], cwd=folder))
    return {"/".join(row["uri"].split("/")[-2:]): row["score"] for row in rows}


def pairs(scores, theirs):
    """Ours and the peer's, image by image."""
    if set(scores) != set(theirs["names"]):
        raise Failed(f"{len(scores)} images scored, {len(theirs['names'])} by the peer, not the same ones")
    return [(scores[name], score) for name, score in zip(theirs["names"], theirs["scores"])]


def auroc(scores, labels):
    """The share of pairs of a normal and an anomalous image that are in order; ties count half."""
    normal = [score for score, label in zip(scores, labels) if not label]
    anomalous = [score for score, label in zip(scores, labels) if label]
    won = sum((a > n) + 0.5 * (a == n) for a in anomalous for n in normal)
    return won / (len(normal) * len(anomalous))


def aurocs(both, labels):
    return tuple(round(auroc(scores, labels), 5) for scores in zip(*both))


def padim(folder, limit):
    data, theirs = peer("padim", folder, limit, 42)
    both = pairs(ours(PADIM.format(channels=theirs["channel_indices"]), data, 42), theirs)
    relative = sorted(abs(a - b) / abs(b) for a, b in both)
    mine, peers = aurocs(both, theirs["labels"])
    return relative[-1] <= SCORE_LIMIT, {
        "name": "padim_parity", "images": len(both), "max_relative": relative[-1], "median_relative": relative[len(relative) // 2],
        "image_auroc": mine, "peer_image_auroc": peers}


def patchcore(folder, limit, seeds, peer_seeds):
    mine, peers = [], []
    for seed in peer_seeds:
        data, theirs = peer("patchcore", folder, limit, seed)
        peers.append(round(auroc(theirs["scores"], theirs["labels"]), 5))
    for seed in seeds:
        mine.append(aurocs(pairs(ours(MODELS["patchcore"], data, seed), theirs), theirs["labels"])[0])
    mean, peer_mean = (sum(values) / len(values) for values in (mine, peers))
    return abs(mean - peer_mean) <= AUROC_LIMIT, {
        "name": "patchcore_parity", "images": len(theirs["names"]), "image_auroc": round(mean, 5), "peer_image_auroc": round(peer_mean, 5),
        "starts": mine, "peer_starts": peers}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("padim", "patchcore"), default="padim")
    parser.add_argument("--folder", type=Path, default=ROOT / "datasets" / "elpv_mono", help="images in MVTec layout")
    parser.add_argument("--limit", type=int, default=1000, help="images of each folder")
    def seeds(text):
        return [int(seed) for seed in text.split(",")]

    parser.add_argument("--seeds", type=seeds, default=[42, 43, 44], help="ours")
    parser.add_argument("--peer-seeds", type=seeds, default=[42], help="the peer's")
    arguments = parser.parse_args()
    folder, limit = arguments.folder, arguments.limit
    within, line = padim(folder, limit) if arguments.model == "padim" else patchcore(folder, limit, arguments.seeds, arguments.peer_seeds)
    print(json.dumps(line))
    return 0 if within else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(f"parity: {error}")
