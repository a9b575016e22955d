#!/usr/bin/env python3
"""Fetches the native libraries that the programs link or open, into one folder.

    python3 scripts/setup_native.py [FOLDER] [--wheels DIR]

FOLDER (default `native` in the repository) receives
    lib/            libtorch (CPU half), ONNX Runtime, OpenVINO (CPU), and what these load
    include/        the C++ headers that torch-sys and openvino-ir compile against
    build-version   the libtorch version, compared by torch-sys

Everything comes out of wheels of the Python package index, through pip, and is checked against the SHA-256 sums
below before anything is unpacked. Wheels are kept in DIR (default `.cache/wheels` in the repository), so that a
second folder, or a run that was cut off, fetches only what is missing. FOLDER appears complete or not at all; when
it is already what this script would make, nothing is done.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# The wheels are those of CPython 3.11, whatever Python runs this: only their shared libraries are used.
PIP_TARGET = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "none"]
PIP_PLATFORMS = ["manylinux_2_28_x86_64", "manylinux_2_25_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"]

TORCH_VERSION = "2.11.0"  # what tch 0.24 is made for
ONNXRUNTIME = "libonnxruntime.so.1.30.0"
OPENVINO = "2641"  # soname suffix of 2026.4.1


class Wheel:
    """One pinned wheel and what is taken out of it."""

    def __init__(self, requirement, file, size, sha256, libraries, headers=()):
        self.requirement = requirement
        self.file = file
        self.size = size
        self.sha256 = sha256
        self.libraries = libraries  # members that go to lib/
        self.headers = headers  # (prefix that is cut off, folders below it that go to include/)


WHEELS = [
    Wheel(
        f"torch=={TORCH_VERSION}",
        "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        530604548,
        "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
        ["torch/lib/libtorch_cpu.so", "torch/lib/libc10.so", "torch/lib/libgomp.so.1"],
        ("torch/include/", ("ATen/", "c10/", "caffe2/", "torch/")),
    ),
    # libtorch_cpu.so of this wheel names two CUDA libraries; they load without a driver and stay unused.
    Wheel(
        "nvidia-cuda-cupti==13.0.85",
        "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
        10715597,
        "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        ["nvidia/cu13/lib/libcupti.so.13"],
    ),
    Wheel(
        "nvidia-cuda-runtime==13.0.96",
        "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        2243632,
        "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        ["nvidia/cu13/lib/libcudart.so.13"],
    ),
    Wheel(
        "onnxruntime==1.30.0",
        "onnxruntime-1.30.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        23561046,
        "fd54b314ea385bcecac69ab431f020ba503e3878dad4ebb645fec5a24b041242",
        [f"onnxruntime/capi/{ONNXRUNTIME}"],
    ),
    Wheel(
        "openvino==2026.4.1",
        "openvino-2026.4.1-22982-cp311-cp311-manylinux_2_28_x86_64.whl",
        59130756,
        "2d22b1da03f7caf74df30e9f6417d0ab2f637e4a38e08e1dcd294d2c37407aaf",
        [
            f"openvino/libs/{name}"
            for name in (
                f"libopenvino_c.so.{OPENVINO}",
                f"libopenvino.so.{OPENVINO}",
                "libopenvino_intel_cpu_plugin.so",
                f"libopenvino_onnx_frontend.so.{OPENVINO}",
                f"libopenvino_ir_frontend.so.{OPENVINO}",
                "libtbb.so.12",
            )
        ],
        ("openvino/include/", ("openvino/",)),
    ),
]

# Names without versions, as the programs and the crates look for them.
LINKS = {
    "libonnxruntime.so": ONNXRUNTIME,
    "libopenvino_c.so": f"libopenvino_c.so.{OPENVINO}",
    "libopenvino.so": f"libopenvino.so.{OPENVINO}",
}

# The wheel's libtorch.so holds no code and names the CUDA half; torch-sys links it by name all the same.
LIBTORCH_SCRIPT = "/* GNU ld script */\nINPUT(AS_NEEDED(-ltorch_cpu))\n"

# Counted up when this script lays the folder out differently from the same wheels.
LAYOUT = 1


class SetupError(Exception):
    """A reason to stop that the user can act upon."""


def stamp():
    """Identifies the folder's contents by everything that determines them."""
    pins = [[w.sha256, w.libraries, w.headers] for w in WHEELS]
    return hashlib.sha256(json.dumps([LAYOUT, pins, LINKS, LIBTORCH_SCRIPT]).encode()).hexdigest()


def check_machine():
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise SetupError(
            f"the pinned libraries are for Linux on x86_64, this is {platform.system()} on {platform.machine()}"
        )


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def is_intact(wheel, wheels):
    path = wheels / wheel.file
    return path.is_file() and path.stat().st_size == wheel.size and sha256(path) == wheel.sha256


def download(wheel, wheels):
    """Fetches one wheel beside the cache and moves it in once its sum is right."""
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=wheels) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary=:all:", "--dest", scratch, *PIP_TARGET]
        for tag in PIP_PLATFORMS:
            command += ["--platform", tag]
        result = subprocess.run([*command, wheel.requirement], stderr=subprocess.PIPE, text=True)
        fetched = Path(scratch) / wheel.file
        if result.returncode != 0 or not fetched.is_file():
            reason = result.stderr.strip().splitlines()
            raise SetupError(
                f"pip could not fetch {wheel.requirement}: {reason[-1] if reason else 'no message'}\n"
                f"without a network, put {wheel.file} into {wheels} and run this again"
            )
        found = sha256(fetched)
        if found != wheel.sha256:
            raise SetupError(f"{wheel.file}: SHA-256 is {found}, expected {wheel.sha256}; nothing was installed")
        os.replace(fetched, wheels / wheel.file)


def fetch(wheels):
    """Makes sure that all wheels are in the cache."""
    wheels.mkdir(parents=True, exist_ok=True)
    missing = [wheel for wheel in WHEELS if not is_intact(wheel, wheels)]
    if not missing:
        return
    check = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True)
    if check.returncode != 0:
        raise SetupError(f"{sys.executable} has no pip; install it (Debian: apt-get install python3-pip)")
    total = sum(wheel.size for wheel in missing)
    print(f"downloading {len(missing)} wheels, {total / 1e6:.0f} MB, into {wheels}", flush=True)
    for wheel in missing:
        print(f"  {wheel.requirement} ({wheel.size / 1e6:.0f} MB)", flush=True)
        download(wheel, wheels)


def unpack(wheels, folder):
    library_folder = folder / "lib"
    library_folder.mkdir(parents=True)
    for wheel in WHEELS:
        with zipfile.ZipFile(wheels / wheel.file) as archive:
            for member in wheel.libraries:
                target = library_folder / os.path.basename(member)
                with archive.open(member) as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
                target.chmod(0o755)
            if wheel.headers:
                unpack_headers(archive, *wheel.headers, folder / "include")
    (library_folder / "libtorch.so").write_text(LIBTORCH_SCRIPT)
    for name, target in LINKS.items():
        (library_folder / name).symlink_to(target)
    (folder / "build-version").write_text(TORCH_VERSION + "\n")
    (folder / "stamp").write_text(stamp() + "\n")


def unpack_headers(archive, prefix, folders, include):
    wanted = tuple(prefix + folder for folder in folders)
    for member in archive.namelist():
        if member.startswith(wanted) and not member.endswith("/"):
            target = include / member[len(prefix) :]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(member))


def install(wheels, target):
    """Builds the folder beside its place and swaps it in, so that there is never half of one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        unpack(wheels, scratch / "new")
        if target.exists():
            target.rename(scratch / "old")
        (scratch / "new").rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def replaceable(target):
    """Whether the folder is absent, empty or one of ours."""
    return not target.exists() or (target / "stamp").is_file() or (target.is_dir() and not any(target.iterdir()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "native")
    parser.add_argument("--wheels", type=Path, default=ROOT / ".cache" / "wheels", help="where wheels are kept")
    arguments = parser.parse_args()
    # Being told to end cleans up like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A link to a folder elsewhere is filled there.
    target = arguments.folder.resolve()
    try:
        written = target / "stamp"
        if written.is_file() and written.read_text().strip() == stamp():
            print(f"native libraries are up to date in {target}")
            return 0
        check_machine()
        if not replaceable(target):
            raise SetupError(f"{target} exists and was not made by this script; move it away or name another folder")
        fetch(arguments.wheels.resolve())
        print(f"unpacking into {target}", flush=True)
        install(arguments.wheels.resolve(), target)
    except SetupError as error:
        print(f"setup_native: {error}", file=sys.stderr)
        return 1
    except (OSError, zipfile.BadZipFile) as error:
        print(f"setup_native: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup_native: interrupted; run it again to go on", file=sys.stderr)
        return 130
    size = sum(f.stat().st_size for f in target.rglob("*") if f.is_file() and not f.is_symlink())
    print(f"native libraries are ready in {target} ({size / 1e6:.0f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
