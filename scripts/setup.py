#!/usr/bin/env python3
"""Installs what this machine is missing, and nothing twice.

    python3 scripts/setup.py build      what `make build` needs: a C++ compiler, cmake and nasm (for libjpeg-turbo), the native libraries
    python3 scripts/setup.py test       also the weights, and the RabbitMQ server and Prometheus' promtool that tests use
    python3 scripts/setup.py demo       also the ELPV images and the photographs that textures are made from
    python3 scripts/setup.py bench      all of that
    python3 scripts/setup.py azure      what `make build` needs, and Node with npm
    python3 scripts/setup.py images     what `make build` needs, and mmdebstrap
    python3 scripts/setup.py charts     what `make build` needs, and promtool

With CUDA=1 in the environment the native libraries are also those that compute on NVIDIA GPUs (1.8 GB more to fetch).

Packages of the system are installed with apt-get when this runs as root; otherwise it says which to ask for.
Standard library and pip only; every download is pinned and checked (setup_native.py, fetch_parts.py).
"""
import glob
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
ROOT = SCRIPTS.parent

# program: Debian package that brings it
SYSTEM = {"g++": "g++", "cc": "gcc", "make": "make", "ld": "binutils", "cmake": "cmake", "nasm": "nasm"}
FURTHER = {"azure": {"node": "nodejs", "npm": "npm"}, "images": {"mmdebstrap": "mmdebstrap", "openssl": "openssl"},
           "charts": {"promtool": "prometheus", "openssl": "openssl"}}
TOOLCHAIN = {"cargo": "the Rust toolchain", "rustc": "the Rust toolchain"}
# Debian package: a file that it brings, for programs that are on nobody's PATH.
TEST_SYSTEM = {"rabbitmq-server": "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server",
               "prometheus": "/usr/bin/promtool", "openssl": "/usr/bin/openssl"}
PARTS = {"build": [], "test": ["weights"], "demo": ["weights", "elpv", "photos"],
          "bench": ["weights", "elpv", "photos"], "azure": [], "images": [], "charts": []}
# Free space that a step may take, in bytes: wheels, native libraries, build output.
NEEDED_BYTES = 5 * 10**9


def fail(text):
    sys.exit(f"setup: {text}")


def check_machine():
    if sys.version_info < (3, 9):
        fail(f"Python {sys.version_info.major}.{sys.version_info.minor} is too old: 3.9 or newer is needed")
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        fail(f"{sys.platform} on {os.uname().machine} is not supported: the native libraries are for Linux on x86-64")
    missing = sorted({what for program, what in TOOLCHAIN.items() if not shutil.which(program)})
    if missing:
        fail(f"not found: {', '.join(missing)} (cargo, rustc 1.95 or newer). Install it for this user and put cargo on the PATH")
    if not (ROOT / "native").exists() and shutil.disk_usage(ROOT).free < NEEDED_BYTES:
        fail(f"{shutil.disk_usage(ROOT).free // 10**6} MB are free at {ROOT}, about {NEEDED_BYTES // 10**6} MB are needed")


def missing_packages(part):
    programs = {**SYSTEM, **FURTHER.get(part, {})}
    missing = {package for program, package in programs.items() if not shutil.which(program)}
    if part in ("test", "bench"):
        missing.update(package for package, pattern in TEST_SYSTEM.items() if not glob.glob(pattern))
    # Debian's Python makes no environment without this package.
    if part in ("test", "charts") and importlib.util.find_spec("ensurepip") is None:
        missing.add("python3-venv")
    if subprocess.run([sys.executable, "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        missing.add("python3-pip")
    return sorted(missing)


def system_packages(part):
    missing = missing_packages(part)
    if not missing:
        return
    words = " ".join(missing)
    if os.geteuid() != 0:
        fail(f"missing system packages: {words}. Ask for them, or run as root: apt-get install {words}")
    if not shutil.which("apt-get"):
        fail(f"missing: {words}, and there is no apt-get here. Install them with this system's own package manager")
    print(f"installing {words}", flush=True)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends"] + missing):
        if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode:
            fail(f"{' '.join(command)} failed: is there a network, and are apt's sources right?")
    if missing_packages(part):
        fail(f"still missing after installing: {' '.join(missing_packages(part))}")


def script(name, *arguments):
    code = subprocess.run([sys.executable, str(SCRIPTS / name), *arguments], cwd=ROOT).returncode
    if code:
        sys.exit(code)


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in PARTS:
        fail(f"expected one of: {', '.join(PARTS)}")
    check_machine()
    system_packages(sys.argv[1])
    script("setup_native.py", "native", *(["--cuda"] if os.environ.get("CUDA") == "1" else []))
    if PARTS[sys.argv[1]]:
        script("fetch_parts.py", *PARTS[sys.argv[1]])


if __name__ == "__main__":
    main()
