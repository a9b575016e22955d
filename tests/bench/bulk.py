"""Bulk scoring: a folder of JPEGs of 1024 x 1024 by a trained model, from files to committed Parquet.

    bulk_padim_vs_best_python     PaDiM: images/s of a warm worker with one slot, over the whole job (listing, scoring, evaluation,
                                  published tables), beside peer_bulk.py on our export as OpenVINO IR, its best batch
    bulk_patchcore_vs_best_python the same of PatchCore
    bulk_two_workers              two workers on a core each, beside one on one core
"""
import json
import os
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path

from figures import CTL, DATA, HERE, ROOT, Failed, report, run, say

IMAGES = 200
# Each image is there so many times, under other names: the peer does not count its start either.
COPIES = 5

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
        self.folder = None

    def prepare(self):
        if self.folder is None:
            self.python = self.peer_environment("2.7.0")
            if not (DATA / "bulk" / ".complete").is_file():
                say(f"making {IMAGES} images in {DATA / 'bulk'}")
                run([self.python, HERE / "make_data.py", "--out", DATA, "--bulk", IMAGES])
                (DATA / "bulk" / ".complete").touch()
            self.temporary = tempfile.TemporaryDirectory()
            self.folder = Path(self.temporary.name)
            self.images = self.folder / "images"
            self.images.mkdir()
            for image in sorted((DATA / "bulk").glob("*.jpg")):
                for copy in range(COPIES):
                    (self.images / f"{copy}-{image.name}").symlink_to(image)
            for name, model in self.models.items():
                say(f"training {name}")
                self.ctl("run", self.write(f"{name}.yaml", TRAIN.format(name=name, model=model, root=DATA, output=self.folder / "out")))
        return self

    def write(self, name, text):
        (self.folder / name).write_text(text)
        return name

    def ctl(self, *words):
        return run([CTL, *words, "--state", "state"], cwd=self.folder)

    def rate(self, name, workers):
        """Images a second of the best job, by workers that begin with these words and have the model loaded."""
        programs = [subprocess.Popen([ROOT / "bin" / "coordinator", "--state", "state"], cwd=self.folder, stderr=subprocess.DEVNULL)]
        try:
            while not (self.folder / "state" / "coordinator.sock").exists():
                time.sleep(0.05)
            for number, words in enumerate(workers):
                worker = [*words, ROOT / "bin" / "worker", "--state", "state", "--name", f"box-{number}"]
                programs.append(subprocess.Popen([str(word) for word in worker], cwd=self.folder, stderr=subprocess.DEVNULL))
            job = self.write("predict.yaml", PREDICT.format(name=name, images=self.images, output=self.folder / "out"))
            rates = []
            # The first loads the model.
            for _ in range(1 + self.rounds):
                self.ctl("submit", job, "--wait")
                found = json.loads(self.ctl("describe", "last", "-o", "json"))["job"]
                created, finished = (datetime.fromisoformat(found[name]) for name in ("created", "finished"))
                rates.append(IMAGES * COPIES / (finished - created).total_seconds())
            return max(rates[1:])
        finally:
            for program in reversed(programs):
                program.terminate()
                program.wait()


def vs_best_python(name):
    def measure(bulk):
        bulk.prepare()
        say(f"ours: {name}")
        ours = bulk.rate(name, [[]])
        bulk.ctl("export", name, "--engine", "openvino", "--to", f"{name}-ir")
        model = next((bulk.folder / f"{name}-ir").rglob("*.xml"), None)
        if model is None:
            raise Failed("the export has no file *.xml")
        say(f"the peer: {name}")
        theirs = json.loads(run([bulk.python, HERE / "peer_bulk.py", "--images", bulk.images, "--model", model]))
        report(f"bulk_{name}_vs_best_python", ours, "images/s", theirs["images_per_s"], ours / theirs["images_per_s"], runs={"peer": theirs})
    return measure


def two_workers(bulk):
    bulk.prepare()
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise Failed("two cores are needed")
    pinned = [["taskset", "-c", str(core)] for core in cores]
    one, two = bulk.rate("padim", pinned[:1]), bulk.rate("padim", pinned)
    report("bulk_two_workers", two, "images/s", one, two / one)


BENCHMARKS = {"bulk_padim_vs_best_python": vs_best_python("padim"), "bulk_patchcore_vs_best_python": vs_best_python("patchcore"),
              "bulk_two_workers": two_workers}
