"""Bulk scoring: a folder of JPEGs of 1024 x 1024 by a trained model, from files to committed Parquet.

    bulk_padim_vs_best_python     PaDiM: images/s of a warm worker with one slot, over the whole job (listing, scoring, evaluation,
                                  published tables), beside peer_bulk.py on our export as OpenVINO IR, its best batch
    bulk_patchcore_vs_best_python the same of PatchCore
    bulk_padim_ceiling, bulk_patchcore_ceiling
                                  the same, beside what the cores could do by peer_ceiling.py: benchmark_app on the same exported model at its
                                  best batch, and decoding and resizing alone
    bulk_padim_backbone, bulk_patchcore_backbone
                                  beside the same with the backbone alone, as if the anomaly head cost nothing
    bulk_padim_vs_anomalib        PaDiM, beside the faster of Anomalib 1.0.1's and 2.7.0's own inferencers on their own export
    bulk_padim_lowprecision_vs_anomalib
                                  the same with `precision: bf16`, and what the job's certificate says of that
    bulk_padim_scaled_vs_anomalib the same with `scaled_decoding: true`
    bulk_padim_both_vs_anomalib   the same with both
    bulk_two_workers              two workers on a core each, beside one on one core
    bulk_s3_vs_files              PaDiM, the same images in a bucket of SeaweedFS on this machine, beside files
    bulk_million_s                a million small files: seconds from submitting to the last score task's beginning to be there; the peak memory
                                  of each program until a task has scored its images; and images/s of 20,000 of them scored
"""
import json
import os
import re
import subprocess
import tempfile
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from figures import CTL, DATA, HERE, ROOT, Failed, made, report, run, say

IMAGES = 200
# Each image is there so many times, under other names, so that what a job costs however few images it has (half a second, a
# second with a certificate) counts for little, as in a night's archive: peers do not count their start at all, and get as many
# as they need to run evenly.
COPIES, PEER_COPIES = 40, 5

TRAIN = """\
kind: train
name: {name}
model: {model}
data: {{class_path: MVTec, init_args: {{root: {root}, category: brick}}}}
output: {output}
"""
PREDICT = """\
kind: predict
model: {{package: {name}}}
data: {images}
output: {output}
"""


class Bulk:
    """Images, trained models and a coordinator for the figures of one run."""

    def __init__(self, rounds, models, peer_environment):
        self.rounds, self.models, self.peer_environment = rounds, models, peer_environment
        self.folder, self.known, self.anomalib = None, {}, {}

    def prepare(self):
        if self.folder is None:
            self.python = self.peer_environment("2.7.0")
            made(self.python, "brick")
            made(self.python, "bulk", "--bulk", IMAGES)
            self.temporary = tempfile.TemporaryDirectory()
            self.folder = Path(self.temporary.name)
            self.images, self.peer_images = self.folder / "images", self.folder / "peer-images"
            for folder, copies in ((self.images, COPIES), (self.peer_images, PEER_COPIES)):
                folder.mkdir()
                for image in sorted((DATA / "bulk").glob("*.jpg")):
                    for copy in range(copies):
                        (folder / f"{copy}-{image.name}").symlink_to(image)
            for name, model in self.models.items():
                say(f"training {name}")
                self.ctl("run", self.write(f"{name}.yaml", TRAIN.format(name=name, model=model, root=DATA, output=self.folder / "out")))
        return self

    def write(self, name, text):
        (self.folder / name).write_text(text)
        return name

    def ctl(self, *words):
        return run([CTL, *words, "--state", "state"], cwd=self.folder)

    @contextmanager
    def cluster(self, workers, options=()):
        """A coordinator, and workers that begin with these words; their processes."""
        programs = [subprocess.Popen([ROOT / "bin" / "coordinator", "--state", "state", *options], cwd=self.folder, stderr=subprocess.DEVNULL)]
        try:
            while not (self.folder / "state" / "coordinator.sock").exists():
                time.sleep(0.05)
            for number, words in enumerate(workers):
                worker = [*words, ROOT / "bin" / "worker", "--state", "state", "--name", f"box-{number}", *options]
                programs.append(subprocess.Popen([str(word) for word in worker], cwd=self.folder, stderr=subprocess.DEVNULL))
            yield programs
        finally:
            for program in reversed(programs):
                program.terminate()
                program.wait()

    def rate(self, name, workers, images=None, count=IMAGES * COPIES, rounds=None, options=(), more=""):
        """Images a second of the best job, by workers that have the model loaded."""
        with self.cluster(workers, options):
            job = self.write("predict.yaml", PREDICT.format(name=name, images=images or self.images, output=self.folder / "out") + more)
            rates = []
            # The first loads the model.
            for _ in range(1 + (rounds or self.rounds)):
                self.ctl("submit", job, "--wait", *options)
                described = json.loads(self.ctl("describe", "last", "-o", "json"))
                self.certificates = described["parity"]
                found = described["job"]
                created, finished = (datetime.fromisoformat(found[name]) for name in ("created", "finished"))
                rates.append(count / (finished - created).total_seconds())
            return max(rates[1:])

    def ours(self, name):
        """Of the one worker that several figures compare: measured once."""
        if name not in self.known:
            say(f"ours: {name}")
            self.known[name] = self.rate(name, [[]])
        return self.known[name]

    def ir(self, name):
        """Our export of a trained model."""
        folder = self.folder / f"{name}-ir"
        if not folder.is_dir():
            self.ctl("export", name, "--engine", "openvino", "--to", folder)
        model = next(folder.rglob("*.xml"), None)
        if model is None:
            raise Failed("the export has no file *.xml")
        return model


def beside(figure, name, script, *options):
    """Our rate with a model beside what a script says of our export of it."""
    def measure(bulk):
        ours = bulk.prepare().ours(name)
        say(f"{figure}: {script}")
        theirs = json.loads(run([bulk.python, HERE / script, "--images", bulk.peer_images, "--model", bulk.ir(name), *options]))
        report(figure, ours, "images/s", theirs["images_per_s"], ours / theirs["images_per_s"], runs={"peer": theirs})
    return measure


def anomalib(bulk):
    """What Anomalib's own inferencers make of the images, by its version: measured once."""
    theirs = bulk.anomalib
    if theirs:
        return theirs
    for version in ("1.0.1", "2.7.0"):
        python = bulk.peer_environment(version)
        say(f"Anomalib {version}: training and exporting")
        folder = bulk.folder / f"anomalib-{version}"
        weights = Path(os.environ.get("NIGHTSHIFT_WEIGHTS") or ROOT / "weights") / "mobilenet_v2.safetensors"
        run([python, HERE / "e2e.py", "--data", DATA / "brick", "--model", "padim", "--weights", weights, "--export", folder])
        model = next(folder.rglob("*.xml"), None)
        if model is None:
            raise Failed(f"Anomalib {version} exported no *.xml")
        metadata = next(folder.rglob("metadata.json"), None)
        say(f"Anomalib {version}: its own inferencer")
        command = [python, HERE / "peer_inferencer.py", "--images", DATA / "bulk", "--model", model]
        theirs[version] = json.loads(run(command + (["--metadata", metadata] if metadata else [])).strip().splitlines()[-1])
    return theirs


def vs_anomalib(bulk):
    ours = bulk.prepare().ours("padim")
    theirs = anomalib(bulk)
    best = max(theirs.values(), key=lambda one: one["images_per_s"])["images_per_s"]
    report("bulk_padim_vs_anomalib", ours, "images/s", best, ours / best, runs=theirs)


def less_exact_vs_anomalib(figure, more):
    """With these lines in the job's file."""
    def measure(bulk):
        bulk.prepare()
        say(f"{figure}: ours, {more.split()}")
        ours = bulk.rate("padim", [[]], more=more)
        certificate = bulk.certificates[0]
        theirs = anomalib(bulk)
        best = max(theirs.values(), key=lambda one: one["images_per_s"])["images_per_s"]
        report(figure, ours, "images/s", best, ours / best, runs=theirs, certificate=certificate)
    return measure


def two_workers(bulk):
    bulk.prepare()
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise Failed("two cores are needed")
    pinned = [["taskset", "-c", str(core)] for core in cores]
    one, two = bulk.rate("padim", pinned[:1]), bulk.rate("padim", pinned)
    report("bulk_two_workers", two, "images/s", one, two / one)


def s3_vs_files(bulk):
    files = bulk.prepare().ours("padim")
    program = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "objects"
    if not program.is_file():
        raise Failed(f"{program} is missing: `make build` makes it")
    say("PaDiM on images in a bucket")
    config = bulk.folder / "s3" / "config.yaml"
    config.parent.mkdir(exist_ok=True)
    server = subprocess.Popen([program, bulk.images, config], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if server.stdout.readline().strip() != "ready":
            raise Failed("the S3 server did not start")
        # The first job of a round fills the cache of this machine: what counts is a night's first look at an image.
        with_cache = config.read_text()
        config.write_text(re.sub(r"(?m)^cache:.*$", "cache: {limit_mib: 0}", with_cache))
        s3 = bulk.rate("padim", [[]], images="s3://bench/images", options=("--config", config))
    finally:
        server.stdin.close()
        server.wait()
    report("bulk_s3_vs_files", s3, "images/s", files, s3 / files)


MILLION = 1_000_000
SCORED = 20_000


def peak_mib(process):
    """Of each program below this one, by name, in MiB."""
    peaks = {}
    for pid in descendants(process.pid):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        name = re.search(r"(?m)^Name:\s+(\S+)", status).group(1)
        peak = re.search(r"(?m)^VmHWM:\s+([0-9]+)", status)
        if peak:
            peaks[name] = max(peaks.get(name, 0), int(peak.group(1)) / 1024)
    return {name: round(peak, 1) for name, peak in peaks.items()}


def descendants(pid):
    found, queue = [], [pid]
    while queue:
        pid = queue.pop()
        found.append(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                queue += [int(child) for child in children.read_text().split()]
            except OSError:
                pass
    return found


def ended(tasks):
    return sum(tasks[state] for state in ("succeeded", "failed", "dead"))


def million(bulk):
    bulk.prepare()
    source = next(iter(sorted((DATA / "bulk").glob("*.jpg"))))
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        say(f"making {MILLION} files in {folder}")
        small = Path(folder) / "small.jpg"
        run([bulk.python, "-c", "import sys; from PIL import Image; Image.open(sys.argv[1]).resize((64, 64)).save(sys.argv[2], quality=90)", source, small])
        data, images = small.read_bytes(), Path(folder) / "images"
        for number in range(MILLION):
            if number % 1000 == 0:
                part = images / f"{number // SCORED:03}" / f"{number // 1000 % (SCORED // 1000):03}"
                part.mkdir(parents=True)
            (part / f"{number:07}.jpg").write_bytes(data)
        with bulk.cluster([[]]) as (coordinator, worker):
            say("listing and planning them")
            job = bulk.write("million.yaml", PREDICT.format(name="padim", images=images, output=bulk.folder / "out"))
            start = time.perf_counter()
            bulk.ctl("submit", job)
            while True:
                counts = json.loads(bulk.ctl("describe", "last", "-o", "json"))["job"]["tasks"]
                # The score tasks are there in the transaction that accepts the listing.
                if sum(counts.values()) > 100:
                    break
                time.sleep(0.2)
            seconds = time.perf_counter() - start
            say(f"planned after {seconds:.1f} s: cancelling it once a task has scored its images")
            planned = ended(counts)
            while ended(json.loads(bulk.ctl("describe", "last", "-o", "json"))["job"]["tasks"]) == planned:
                time.sleep(0.2)
            # Before that it is a matter of chance how far the executor has come with loading the model.
            peaks = peak_mib(coordinator) | peak_mib(worker)
            bulk.ctl("cancel", "last")
        say(f"scoring {SCORED} of them")
        scored = bulk.rate("padim", [[]], images=images / "000", count=SCORED, rounds=1)
    report("bulk_million_s", seconds, "s", images=MILLION, us_per_image=round(1e6 * seconds / MILLION, 2), tasks=sum(counts.values()), peak_mib=peaks,
           scored=SCORED, scored_images_per_s=round(scored, 1))


# Where each model looks, by the names in the exported file.
LAYERS = {"padim": ["blocks.1.1", "blocks.2.2", "blocks.4.2"], "patchcore": ["blocks.2.2", "blocks.4.2"]}

BENCHMARKS = {"bulk_padim_vs_anomalib": vs_anomalib, "bulk_two_workers": two_workers, "bulk_s3_vs_files": s3_vs_files, "bulk_million_s": million}
for figure, more in (("lowprecision", "precision: bf16\n"), ("scaled", "scaled_decoding: true\n"),
                     ("both", "precision: bf16\nscaled_decoding: true\n")):
    BENCHMARKS[f"bulk_padim_{figure}_vs_anomalib"] = less_exact_vs_anomalib(f"bulk_padim_{figure}_vs_anomalib", more)
for model, layers in LAYERS.items():
    for figure, script, options in (("vs_best_python", "peer_bulk.py", ()), ("ceiling", "peer_ceiling.py", ()),
                                    ("backbone", "peer_ceiling.py", ("--layers", *layers))):
        BENCHMARKS[f"bulk_{model}_{figure}"] = beside(f"bulk_{model}_{figure}", model, script, *options)
