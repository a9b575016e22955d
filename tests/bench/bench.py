#!/usr/bin/env python3
"""Measures Nightshift against its peers on this machine: one JSON line a benchmark.

    python3 tests/bench/bench.py [--only NAME] [--rounds N] [--threads N]

    padim_e2e_vs_anomalib      fit and test of PaDiM on 100 + 75 images: seconds of ours (sum of the timings of fit, score and
                               evaluate tasks), of the faster peer (fit + test), and peer / ours
    padim_memory_vs_anomalib   peak memory of the same runs, ours summed over all processes: MiB, and peer / ours
    patchcore_e2e_vs_anomalib, patchcore_memory_vs_anomalib
                               the same of PatchCore, in one round: the peers take 7 to 11 minutes each
    pixel_metrics_75_s, pixel_metrics_1700_s
                               AUROC, AUPR and AUPRO of so many maps of 256 x 256, exact, on one thread; of 1,700 maps at most 3 * 2^24
                               pixels are in memory (307 MiB); peak memory besides
    pixel_metrics_vs_adeval    the same of 1,000 maps, beside ADEval (1,000 bins, not exact) on maps of the same kind
    pixel_metrics_binned_vs_adeval
                               the same of bins with a bound on their error, beside ADEval
    coreset_160k_s             PatchCore's greedy k-centre of 160,000 points of 512 dimensions at 10 %; beside it what comparing each point with each pick in
                               a pass over all would take at the bandwidth of memory, measured in the same run
    demo_overhead_s            `ctl run configs/benchmark-demo.yaml` without the time in which its tasks compute (one at a time)
    ctl_help_ms                best wall time of `ctl --help`
    shared_features_speedup    four models on three textures in one benchmark, and the sum of `ctl run` of each alone, all from empty caches; all see the
                               middle 224 x 224 of 256 x 256 through resnet34, so that the first of each texture computes the maps for the others;
                               `cpu_s` and `cpu_ratio` are of processor time, which hardly depends on what else the machine does, `reused` says whose
                               maps the runs took
    shared_features_own_crops  the same through mobilenet_v2, each model with its own crop: PatchCore's keeps it from sharing
    sim_schedules_per_s        simulated schedules a second, over 20 s
    dispatch_rabbitmq_vs_celery, dispatch_embedded_vs_ray, dispatch_p99_ms, coordinator_100k_mb, coordinator_100k_restart_s
                               see dispatch.py
    hpo_tpe_vs_optuna, hpo_gp_vs_optuna, hpo_overhead_ms
                               see hpo.py; ONLY=hpo is all of them
    bulk_padim_vs_best_python, bulk_patchcore_vs_best_python, bulk_padim_ceiling, bulk_patchcore_ceiling, bulk_padim_backbone,
    bulk_patchcore_backbone, bulk_padim_vs_anomalib, bulk_padim_lowprecision_vs_anomalib, bulk_padim_scaled_vs_anomalib,
    bulk_padim_both_vs_anomalib, bulk_two_workers, bulk_s3_vs_files, bulk_million_s
                               see bulk.py

The peers are Anomalib 1.0.1 and 2.7.0 in two Python environments below .cache/bench, made on first use: 12 GB, a few minutes;
for dispatching Celery and Ray in a third one: 310 MB; for searches Optuna in a fourth one: 1 GB. Everything of a comparison runs alternately on the same machine. A line is {"name", "value", "unit", "peer", "ratio"} with
details besides; "ratio" is how many times better ours is. Exit code 1 if a benchmark could not be measured.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import bulk
import dispatch
import hpo
from figures import CACHE, CTL, DATA, HERE, ROOT, Failed, made, report, run, say

PEERS = ("1.0.1", "2.7.0")
# Wheels of both environments, unpacked, with what pip keeps while it works.
PEER_BYTES = 14 * 10**9


def peer_environment(version):
    """The interpreter of a peer's environment, made if it is not there."""
    venv = CACHE / f"anomalib-{version}"
    if not (venv / ".complete").is_file():
        if shutil.disk_usage(ROOT).free < PEER_BYTES:
            raise Failed(f"{shutil.disk_usage(ROOT).free // 10**9} GB are free, the two Python environments take 12 GB")
        say(f"making the environment of Anomalib {version} in {venv} (both together: 12 GB)")
        shutil.rmtree(venv, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        # pip keeps no second copy of the wheels.
        run(["bash", HERE / f"setup_venv_{version}.sh", venv], env=dict(os.environ, PIP_NO_CACHE_DIR="1"))
        (venv / ".complete").touch()
    return venv / "bin" / "python"


def peer_weights():
    """The backbone's weights as the peer's script reads them: ours have timm's names, which are the peer's."""
    return Path(os.environ.get("NIGHTSHIFT_WEIGHTS") or ROOT / "weights") / "mobilenet_v2.safetensors"


def measure_peer(model, python, data, threads):
    start = time.perf_counter()
    text = run([python, HERE / "e2e.py", "--data", data, "--model", model, "--weights", peer_weights(), "--threads", threads])
    result = json.loads(text.strip().splitlines()[-1])
    return {"s": result["fit_wall_s"] + result["test_wall_s"], "cpu_s": result["fit_cpu_s"] + result["test_cpu_s"],
            "mib": result["peak_rss_mib"], "wall_s": time.perf_counter() - start, "image_auroc": result.get("image_AUROC"),
            "pixel_auroc": result.get("pixel_AUROC"), "version": result["anomalib"]}


# What e2e.py gives the peers.
MODELS = {
    "padim": "{class_path: Padim, init_args: {backbone: mobilenet_v2, layers: [features.3, features.6, features.13], n_features: 100}}",
    "patchcore": "{class_path: Patchcore, init_args: {backbone: mobilenet_v2, layers: [features.6, features.13], coreset_sampling_ratio: 0.1, "
                 "num_neighbors: 9}}",
}

JOB = """\
kind: benchmark
name: bench
model: {model}
data: {{class_path: MVTec, init_args: {{root: {root}, category: brick, val_split_mode: same_as_test}}}}
metrics: {{image: [AUROC, F1Score], pixel: [AUROC, F1Score]}}
task: segmentation
seed: 42
output: {output}
"""


def children(pid):
    """Ids of a process and all that descend from it."""
    found, queue = [], [pid]
    while queue:
        pid = queue.pop()
        found.append(pid)
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                queue += [int(child) for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
        except OSError:
            pass
    return found


def resident_mib(pids):
    """Sum of the resident memory that is each process's share (PSS: what several map is counted once)."""
    total = 0
    for pid in pids:
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            pass
    return total / 1024


def measure_ours(model, data):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "job.yaml").write_text(JOB.format(model=MODELS[model], root=data.parent, output=folder / "results"))
        start = time.perf_counter()
        process = subprocess.Popen([CTL, "run", "job.yaml", "--state", "state"], cwd=folder, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        errors = []
        reader = threading.Thread(target=lambda: errors.extend(process.stderr))
        reader.start()
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, resident_mib(children(process.pid)))
            time.sleep(0.05)
        reader.join()
        wall = time.perf_counter() - start
        if process.returncode:
            raise Failed("ctl run failed: " + " | ".join(line.strip() for line in errors[-3:]))
        rows = json.loads(run([CTL, "results", "--last", "--timings", "-o", "json", "--state", "state"], cwd=folder))
        metrics = json.loads(run([CTL, "results", "--last", "--metrics", "-o", "json", "--state", "state"], cwd=folder))
    totals = [row for row in rows if row["stage"] == "total" and row["kind"] in ("fit", "score", "evaluate")]
    value = {(row["level"], row["metric"]): row["value"] for row in metrics}
    return {"s": sum(row["wall_s"] for row in totals), "cpu_s": sum(row["cpu_s"] or 0 for row in totals), "mib": peak, "wall_s": wall,
            "image_auroc": value.get(("image", "AUROC")), "pixel_auroc": value.get(("pixel", "AUROC"))}


class Comparison:
    """The runs that two benchmarks of a model share: done once, alternately, the best of each kept."""

    def __init__(self, model, rounds, threads):
        self.model, self.rounds, self.threads, self.best = model, rounds, threads, None

    def measure(self):
        if self.best is None:
            pythons = {version: peer_environment(version) for version in PEERS}
            data = made(pythons["1.0.1"], "brick")
            all_runs = {name: [] for name in ("ours",) + PEERS}
            for number in range(self.rounds):
                for name in all_runs:
                    say(f"round {number + 1} of {self.rounds}: {self.model}, {name}")
                    all_runs[name].append(measure_ours(self.model, data) if name == "ours"
                                          else measure_peer(self.model, pythons[name], data, self.threads))
            self.best = {name: min(runs, key=lambda one: one["s"]) for name, runs in all_runs.items()}
        return self.best


def e2e(comparison):
    best = comparison.measure()
    fastest = min(PEERS, key=lambda version: best[version]["s"])
    report(f"{comparison.model}_e2e_vs_anomalib", best["ours"]["s"], "s", best[fastest]["s"], best[fastest]["s"] / best["ours"]["s"], runs=best)


def memory(comparison):
    best = comparison.measure()
    smallest = min(best[version]["mib"] for version in PEERS)
    report(f"{comparison.model}_memory_vs_anomalib", best["ours"]["mib"], "MiB", smallest, smallest / best["ours"]["mib"])


def pixel_metrics(maps, *form):
    return json.loads(run(["cargo", "run", "--locked", "--quiet", "--package", "metrics", "--example", "pixel_metrics", "--", maps, *form], cwd=ROOT))


def pixel_metrics_75(_):
    ours = pixel_metrics(75)
    report("pixel_metrics_75_s", ours["s"], "s", run=ours)


def pixel_metrics_1700(_):
    # As in a score task with half as many pixels again in memory.
    ours = pixel_metrics(1700, 256, 3 << 24)
    report("pixel_metrics_1700_s", ours["s"], "s", run=ours)


def pixel_metrics_vs_adeval(_):
    beside_adeval("pixel_metrics_vs_adeval")


def pixel_metrics_binned_vs_adeval(_):
    beside_adeval("pixel_metrics_binned_vs_adeval", 256, "binned")


def beside_adeval(name, *form):
    python = peer_environment("2.7.0")
    # No part of the peer's own environment.
    run([python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--no-deps", "ADEval==1.1.0"])
    rounds = [(pixel_metrics(1000, *form), json.loads(run([python, HERE / "peer_adeval.py", "--maps", 1000]))) for _ in range(3)]
    ours, theirs = (min(runs, key=lambda one: one["s"]) for runs in zip(*rounds))
    report(name, ours["s"], "s", theirs["s"], theirs["s"] / ours["s"], runs={"ours": ours, "adeval": theirs})


def coreset(_):
    # Of the whole workspace, as the programs: the package alone would build its dependencies anew.
    run(["cargo", "build", "--locked", "--quiet", "--workspace", "--exclude", "sim", "--example", "coreset"], cwd=ROOT)
    example = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "debug" / "examples" / "coreset"

    def take(*kind):
        return json.loads(run([example, 160_000, *kind], cwd=ROOT))
    walk, noise = take(), take("noise")
    # What other programs take of memory and processors only makes either slower.
    plain = min(walk["plain_s"], noise["plain_s"])
    report("coreset_160k_s", walk["s"], "s", plain, plain / walk["s"], runs={"walk": walk, "noise": noise})


def ctl_help(_):
    best = float("inf")
    for _ in range(50):
        start = time.perf_counter()
        run([CTL, "--help"])
        best = min(best, time.perf_counter() - start)
    report("ctl_help_ms", best * 1000, "ms")


def demo_overhead(_):
    with tempfile.TemporaryDirectory() as folder:
        where = ["--state", Path(folder) / "state"]
        start = time.perf_counter()
        run([CTL, "run", "configs/benchmark-demo.yaml", "--set", f"output={folder}/results", *where], cwd=ROOT)
        wall = time.perf_counter() - start
        rows = json.loads(run([CTL, "results", "--last", "--timings", "-o", "json", *where]))
    computing = sum(row["wall_s"] for row in rows if row["stage"] == "total")
    report("demo_overhead_s", wall - computing, "s", wall_s=round(wall, 2), computing_s=round(computing, 2))


SHARING = """\
kind: {kind}
name: bench
model: {model}
data: {{class_path: MVTec, init_args: {{root: {root}, category: {category}, val_split_mode: from_dir{crop}}}}}
metrics: {{image: [AUROC, F1Score], pixel: [AUROC, F1Score]}}
output: results
"""
# Random weights take as long as others, and nobody has to bring them.
ONE_PREPROCESSING = ["{class_path: Padim, init_args: {backbone: resnet34, layers: [layer1, layer2, layer3], n_features: 100, pre_trained: false}}",
                     "{class_path: Patchcore, init_args: {backbone: resnet34, layers: [layer2, layer3], coreset_sampling_ratio: 0.1, pre_trained: false}}",
                     "{class_path: Dfm, init_args: {backbone: resnet34, layer: layer3, pooling_kernel_size: 4, score_type: fre, pre_trained: false}}",
                     "{class_path: Dfkde, init_args: {backbone: resnet34, layers: [layer4], pre_trained: false}}"]
# What the demo runs, without the solar cells.
OWN_CROPS = [MODELS["padim"], MODELS["patchcore"],
             "{class_path: Dfm, init_args: {backbone: mobilenet_v2, layer: features.13, pooling_kernel_size: 4, score_type: fre}}",
             "{class_path: Dfkde, init_args: {backbone: mobilenet_v2, layers: [features.17]}}"]
CATEGORIES = ["brick", "grass", "gravel"]


def shared_features(_):
    sharing("shared_features_speedup", ONE_PREPROCESSING, ", center_crop: 224")


def shared_features_own_crops(_):
    sharing("shared_features_own_crops", OWN_CROPS, "")


def sharing(name, models, crop):
    def take(kind, model, category):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            (folder / "job.yaml").write_text(SHARING.format(kind=kind, model=model, root=ROOT / "datasets" / "texture", category=category, crop=crop))
            start = time.perf_counter()
            # An empty cache.
            run([CTL, "run", "job.yaml", "--state", "state"], cwd=folder, env=dict(os.environ, XDG_CACHE_HOME=str(folder / "cache")))
            wall = time.perf_counter() - start
            runs = json.loads(run([CTL, "describe", "last", "--state", "state", "-o", "json"], cwd=folder))["runs"]
            rows = json.loads(run([CTL, "results", "--last", "--timings", "-o", "json", "--state", "state"], cwd=folder))
        cpu = Counter()
        for row in rows:
            cpu[row["kind"]] += row["cpu_s"] or 0
        return wall, cpu, [one["result"].get("reused") for one in runs]
    say("four models on three categories in one benchmark")
    together, cpu, reused = take("benchmark", "{grid: [" + ", ".join(models) + "]}", "{grid: [" + ", ".join(CATEGORIES) + "]}")
    apart, cpu_apart = 0, Counter()
    for model in models:
        for category in CATEGORIES:
            say(f"alone: {model[:30]}... on {category}")
            alone = take("train", model, category)
            apart += alone[0]
            cpu_apart += alone[1]
    by_task = {kind: [round(cpu[kind], 2), round(cpu_apart[kind], 2)] for kind in cpu_apart}
    report(name, together, "s", apart, apart / together, cpu_s=round(cpu.total(), 2), cpu_s_apart=round(cpu_apart.total(), 2),
           cpu_ratio=round(cpu_apart.total() / cpu.total(), 2), by_task=by_task, reused=reused)


def sim_schedules(_):
    run(["make", "sim", "SECONDS=0"], cwd=ROOT)
    start = time.perf_counter()
    text = run(["make", "--silent", "sim", "SECONDS=20"], cwd=ROOT)
    words = text.strip().splitlines()[-1].replace(",", " ").split()
    numbers = [int(word) for word in words if word.isdigit()]
    if not numbers:
        raise Failed(f"the simulation's last line holds no number: {' '.join(words)}")
    report("sim_schedules_per_s", numbers[0] / min(20.0, time.perf_counter() - start), "1/s")


BENCHMARKS = {"ctl_help_ms": ctl_help, "sim_schedules_per_s": sim_schedules, "shared_features_speedup": shared_features, "shared_features_own_crops": shared_features_own_crops,
              "coreset_160k_s": coreset, "demo_overhead_s": demo_overhead, "pixel_metrics_75_s": pixel_metrics_75,
              "pixel_metrics_1700_s": pixel_metrics_1700, "pixel_metrics_vs_adeval": pixel_metrics_vs_adeval,
              "pixel_metrics_binned_vs_adeval": pixel_metrics_binned_vs_adeval}
PADIM = {"padim_e2e_vs_anomalib": e2e, "padim_memory_vs_anomalib": memory}
PATCHCORE = {"patchcore_e2e_vs_anomalib": e2e, "patchcore_memory_vs_anomalib": memory}
DISPATCH = {"dispatch_rabbitmq_vs_celery": dispatch.rabbitmq, "dispatch_embedded_vs_ray": dispatch.embedded, "dispatch_p99_ms": dispatch.p99,
            "coordinator_100k_mb": dispatch.memory, "coordinator_100k_restart_s": dispatch.restart}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted([*(BENCHMARKS | PADIM | PATCHCORE | DISPATCH | hpo.BENCHMARKS | bulk.BENCHMARKS), "hpo"]))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    if not CTL.is_file():
        sys.exit("bench: bin/ctl is missing: `make build` first")
    rounds, threads = arguments.rounds, arguments.threads
    # Each group with what its figures share.
    groups = [(BENCHMARKS, None), (PADIM, Comparison("padim", rounds, threads)), (PATCHCORE, Comparison("patchcore", 1, threads)),
              (DISPATCH, dispatch.Dispatching(rounds)), (hpo.BENCHMARKS, hpo.Searches()), (bulk.BENCHMARKS, bulk.Bulk(rounds, MODELS, peer_environment))]
    failed = False
    for benchmarks, shared in groups:
        for name, benchmark in benchmarks.items():
            if arguments.only in (None, name) or (arguments.only == "hpo" and benchmarks is hpo.BENCHMARKS):
                try:
                    benchmark(shared)
                except Failed as error:
                    failed = True
                    say(f"bench: {name}: {error}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
