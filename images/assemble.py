#!/usr/bin/env python3
"""Lays out what an image adds below /opt/nightshift, from what `make build weights` and `fetch_parts.py base` made.

    python3 images/assemble.py TARGET FOLDER        TARGET: base, coordinator, worker or worker-predict

FOLDER must not exist. Prints the bytes of what it copied.
"""
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LICENCES = ["LICENSE", "THIRD_PARTY.md"]
# Of OpenVINO for processors: its C interface, its plugin, the frontends that read models, its threads.
OPENVINO = ["libopenvino*", "libtbb.so.12"]

# Program files, native libraries by pattern, and whether the weights of backbones are needed: trained packages name them, and do not hold them.
TARGETS = {
    "coordinator": (["coordinator", "ctl"], [], False),
    "worker": (["worker", "executor", "executor-torch", "openvino-ir"], ["*"], True),
    "worker-predict": (["worker", "executor", "openvino-ir"], OPENVINO, True),
}


# For images whose base has none.
BASE = ["ca-certificates.crt", "zoneinfo"]


def fail(text):
    sys.exit(f"assemble: {text}")


def copy(source, target):
    if not source.exists():
        fail(f"{source} is missing: `make build weights` and `python3 scripts/fetch_parts.py base` make what images hold")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ["base", *TARGETS]:
        fail(f"expected TARGET FOLDER; TARGET is one of base, {', '.join(TARGETS)}")
    folder = Path(sys.argv[2])
    if folder.exists():
        fail(f"{folder} exists")
    if sys.argv[1] == "base":
        for part in BASE:
            copy(ROOT / ".cache" / "base" / part, folder / part)
    else:
        program_files(folder, *TARGETS[sys.argv[1]])
    print(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink()))


def program_files(folder, programs, libraries, weights):
    for program in programs:
        copy(ROOT / "bin" / program, folder / program)
    for pattern in libraries:
        found = sorted((ROOT / "native" / "lib").glob(pattern))
        if not found:
            fail(f"native/lib has no {pattern}: `make build` makes it")
        for library in found:
            copy(library, folder / "lib" / library.name)
    if weights:
        copy(ROOT / "weights", folder / "weights")
    for licence in LICENCES:
        copy(ROOT / licence, folder / licence)


if __name__ == "__main__":
    main()
