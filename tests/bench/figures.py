"""What the benchmarks share: where things are, how programs are run, and the form of a figure."""
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".cache" / "bench"
# Images that peers read, too: Anomalib skips what lies below a folder whose name begins with a dot.
DATA = ROOT / "datasets" / "bench"
CTL = ROOT / "bin" / "ctl"


class Failed(Exception):
    """A benchmark that could not be measured, with the reason."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def report(name, value, unit, peer=None, ratio=None, **details):
    line = {"name": name, "value": round(value, 3), "unit": unit, "peer": None if peer is None else round(peer, 3),
            "ratio": None if ratio is None else round(ratio, 2), **details}
    print(json.dumps(line), flush=True)


def run(command, **options):
    """Runs to the end; on failure the last lines of what it said."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode:
        raise Failed(f"{command[0]} ended with {done.returncode}: " + " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:]))
    return done.stdout


def environment(name, what, room):
    """The interpreter of a peer's environment below CACHE, made if it is not there; `room`: bytes with what pip keeps while it works."""
    venv, requirements = CACHE / name, HERE / f"requirements-{name}.txt"
    done = venv / ".complete"
    if not done.is_file() or done.stat().st_mtime < requirements.stat().st_mtime:
        if shutil.disk_usage(ROOT).free < room:
            raise Failed(f"{shutil.disk_usage(ROOT).free // 10**6} MB are free, the Python environment of {what} takes {room // 10**6} MB while it is made")
        say(f"making the environment of {what} in {venv}")
        shutil.rmtree(venv, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        run(["bash", HERE / "setup_venv.sh", name, venv], env=dict(os.environ, PIP_NO_CACHE_DIR="1"))
        done.touch()
    return venv / "bin" / "python"


def percentile(values, share):
    """The smallest value that this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(share * len(ordered))) - 1]


def spread(milliseconds):
    """As `ctl bench` says it."""
    return {"count": len(milliseconds), **{name: round(percentile(milliseconds, share), 3) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}}


def made(python, name, *options):
    """Images that the peers' generator makes below DATA, if they are not there."""
    folder = DATA / name
    if not (folder / ".complete").is_file():
        say(f"making the images of {folder}")
        run([python, HERE / "make_data.py", "--out", DATA, *options])
        (folder / ".complete").touch()
    return folder
