#!/usr/bin/env python3
"""Carries out the steps of images/Dockerfile in bootstrap roots, and has the programs do a job there. As root; needs mmdebstrap.

    make images

The steps of the stage `build` up to assembling are `make build weights` and a download, which have been done here. Each image's root is
mounted read-only and entered as the user 10001 with no more than what a container of the chart has: /tmp, its volumes, a network.
A coordinator with TLS and tokens, a full worker that trains, and then a predict-only worker that scores with the trained model.
"""
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DOCKERFILE = ROOT / "images" / "Dockerfile"
BASE = ROOT / ".cache" / "images" / "base"
USER = "10001:10001"
PORT = 17071
LIMIT_S = 120
# Whatever was started ends with this script, and with it what it started.
STARTED = []


def fail(text):
    sys.exit(f"images: {text}")


def run(*command, **more):
    done = subprocess.run([str(part) for part in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    if done.returncode:
        fail(f"{shlex.join(str(part) for part in command)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def stages():
    """Each stage's parent and instructions, in the order of the Dockerfile."""
    found = {}
    for line in DOCKERFILE.read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            parent, _, name = rest.split()
            found[name] = (parent, steps := [])
        elif word in ("RUN", "COPY", "ENV", "USER", "WORKDIR", "ENTRYPOINT"):
            steps.append((word, rest))
        elif word not in ("", "#", "ARG"):
            fail(f"{DOCKERFILE.name}: {word} is no instruction that this script knows")
    return found


def size(folder):
    """Bytes of all files, links not followed."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())


def bootstrap():
    """A base as images have it: Debian 12 with apt and what is essential."""
    if not (BASE / "etc" / "debian_version").is_file():
        shutil.rmtree(BASE, ignore_errors=True)
        BASE.parent.mkdir(parents=True, exist_ok=True)
        print("bootstrapping Debian 12", flush=True)
        run("mmdebstrap", "--variant=minbase", "--quiet", "bookworm", BASE)
    return BASE


def in_root(root, command):
    """A step of a build: as root, with the network of this machine."""
    shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
    mounts = f"mount --bind /dev {root}/dev && mount -t proc proc {root}/proc"
    return run("unshare", "-m", "sh", "-c", f"{mounts} && exec chroot {root} /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c {shlex.quote(command)}")


class Image:
    """A root made by the steps of a stage and of those that it is made from."""

    def __init__(self, name, folder, out):
        self.name, self.root, self.env, self.user, self.entry = name, folder / name, {}, None, None
        all_stages = stages()
        chain = []
        while name in all_stages:
            parent, steps = all_stages[name]
            chain.insert(0, steps)
            name = parent
        run("cp", "-a", "--reflink=auto", bootstrap(), self.root)
        before = size(self.root)
        for word, rest in (step for steps in chain for step in steps):
            self.step(word, rest, out)
        self.added = size(self.root) - before
        self.total = before + self.added

    def step(self, word, rest, out):
        if word == "RUN":
            in_root(self.root, rest)
        elif word == "COPY":
            *options, source, target = rest.split()
            source = out / Path(source).name if options else ROOT / source
            target = self.root / target.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                # What is in it is laid over what is there.
                target.mkdir(exist_ok=True)
                source = f"{source}/."
            run("cp", "-a", "--no-preserve=ownership", source, target)
        elif word == "ENV":
            name, _, value = rest.partition("=")
            self.env[name] = value
        elif word == "USER":
            self.user = rest
        elif word == "ENTRYPOINT":
            self.entry = json.loads(rest)

    def start(self, program, arguments, env, mounts, **more):
        """Enters the root read-only as the image's user. `mounts`: folders here by their path there."""
        script = ["set -e", f"mount --bind {self.root} {self.root}"]
        for path in list(mounts) + ["/tmp"]:
            (self.root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        # The names of this machine, as every engine gives them to a container.
        (self.root / "etc" / "hosts").touch()
        script += [f"mount --bind {here} {self.root}{there}" for there, here in {**mounts, "/etc/hosts": "/etc/hosts"}.items()]
        script += [f"mount -t tmpfs -o mode=1777 tmpfs {self.root}/tmp", f"mount -t proc proc {self.root}/proc", f"mount --bind /dev {self.root}/dev"]
        script += [f"mount -o remount,bind,ro {self.root}"]
        words = [f"{name}={value}" for name, value in {"HOME": "/tmp", "PATH": "/usr/bin:/bin", **self.env, **env}.items()]
        script.append("exec " + shlex.join(["chroot", f"--userspec={self.user}", "--groups=", str(self.root), "/usr/bin/env", "-i", *words, program, *arguments]))
        process = subprocess.Popen(["unshare", "-m", "-p", "-f", "--kill-child=SIGKILL", "sh", "-c", "\n".join(script)], text=True, **more)
        STARTED.append(process)
        return process


def picture(path, seed, mark=False):
    """A grey 64x64 PNG of stripes, with a bright square where it is marked."""
    rows = b""
    for y in range(64):
        row = bytes(255 if mark and 20 <= x < 36 and 20 <= y < 36 else (x * 3 + seed * 7 + (y % 5) * 11) % 120 for x in range(64))
        rows += b"\0" + row

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def data(folder):
    for number in range(12):
        picture(folder / f"images/good/{number}.png", number)
    for number in range(4):
        picture(folder / f"images/bad/{number}.png", number, mark=True)
    (folder / "train.yaml").write_text(
        "kind: train\nname: stripes\n"
        "model: {class_path: Padim, init_args: {backbone: mobilenet_v2, layers: [features.3, features.6, features.13], n_features: 50}}\n"
        "data: {class_path: Folder, init_args: {name: stripes, root: /data/images, normal_dir: good, abnormal_dir: bad}}\n"
        "task: classification\noutput: /data/results\n")
    (folder / "predict.yaml").write_text(
        "kind: predict\nname: night\ntimezone: Europe/Berlin\nmodel: {package: stripes}\ndata: /data/images/**/*.png\nresources: {engine: openvino}\noutput: /data/results\n")
    run("chown", "-R", USER, folder)


def secrets(folder, coordinator):
    """Tokens and a certificate, made with the image's own ctl and openssl."""
    words = {}
    lines = []
    for name, role in (("box", "worker"), ("ann", "user")):
        made = coordinator.start("/opt/nightshift/ctl", ["token", "new", name, "--role", role], {}, {}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = made.communicate(timeout=LIMIT_S)[0]
        if made.returncode:
            fail(f"ctl token new: {said}")
        words[role] = re.search(r"ns_\w+", said)[0]
        lines.append(re.search(r"- \{name: .*\}", said)[0])
    (folder / "tokens.yaml").write_text("\n".join(lines) + "\n")
    run("openssl", "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-subj", "/CN=authority", "-keyout", folder / "ca.key", "-out", folder / "ca.crt")
    run("openssl", "req", "-newkey", "rsa:3072", "-nodes", "-subj", "/CN=localhost", "-keyout", folder / "tls.key", "-out", folder / "tls.csr")
    (folder / "ext").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
    run("openssl", "x509", "-req", "-in", folder / "tls.csr", "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", folder / "ext", "-out", folder / "tls.crt")
    for role, token in words.items():
        (folder / role).write_text(token + "\n")
    run("chown", "-R", USER, folder)


def firsts(process):
    """The first process of the container, while it runs."""
    try:
        return [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def until_it_listens(process):
    deadline = time.monotonic() + LIMIT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", PORT), timeout=1).close()
        except OSError:
            time.sleep(0.05)
    fail("the coordinator does not listen")


def stop(process):
    """As a kubelet does: SIGTERM to the first process of the container, whose end is waited for."""
    begun = time.monotonic()
    for first in firsts(process):
        os.kill(first, signal.SIGTERM)
    process.wait(timeout=LIMIT_S)
    return time.monotonic() - begun


def main():
    if os.geteuid() != 0:
        fail("only root may enter roots")
    if not shutil.which("mmdebstrap"):
        fail("mmdebstrap is missing: apt-get install mmdebstrap")
    with tempfile.TemporaryDirectory(dir=ROOT / ".cache", prefix="images-") as scratch:
        scratch = Path(scratch)
        scratch.chmod(0o755)
        try:
            prove(scratch)
        finally:
            for process in STARTED:
                for first in firsts(process):
                    # With the first process of a container all of them end.
                    os.kill(first, signal.SIGKILL)
                process.kill()
                process.wait()


def prove(scratch):
    out = scratch / "out"
    for word, rest in stages()["build"][1]:
        if word == "RUN" and rest.startswith("python3 images/assemble.py"):
            run(*rest.replace("/out", str(out)).split(), cwd=ROOT)
    images = {name: Image(name, scratch, out) for name in ("coordinator", "worker", "worker-predict")}
    base = size(bootstrap())
    print(f"{'image':16} {'MB':>6}  of which Nightshift's")
    print(f"{'(base)':16} {base / 1e6:6.0f}")
    for name, image in images.items():
        print(f"{name:16} {image.total / 1e6:6.0f}  {size(image.root / 'opt' / 'nightshift') / 1e6:6.0f}", flush=True)

    for image in images.values():
        # By name there: links lead to other places here.
        found = in_root(image.root, "grep -c BEGIN.CERTIFICATE /etc/ssl/certs/ca-certificates.crt && test -s /usr/share/zoneinfo/Europe/Berlin && ls /opt/nightshift")
        if int(found.split()[0]) < 100:
            fail(f"{image.name} knows too few authorities: {found}")
    folders = {name: scratch / name for name in ("data", "secrets", "state", "scratch-1", "scratch-2")}
    for folder in folders.values():
        folder.mkdir()
        os.chown(folder, 10001, 10001)
    data(folders["data"])
    secrets(folders["secrets"], images["coordinator"])
    shared = {"/run/secrets/nightshift": folders["secrets"], "/data": folders["data"]}
    caller = {"NIGHTSHIFT_COORDINATOR": f"https://localhost:{PORT}", "NIGHTSHIFT_CA": "/run/secrets/nightshift/ca.crt"}
    log = open(scratch / "log", "w")
    coordinator = images["coordinator"]
    serving = coordinator.start(coordinator.entry[0], coordinator.entry[1:], {
        "NIGHTSHIFT_LISTEN": f"127.0.0.1:{PORT}", "NIGHTSHIFT_TOKENS": "/run/secrets/nightshift/tokens.yaml",
        "NIGHTSHIFT_TLS_CERT": "/run/secrets/nightshift/tls.crt", "NIGHTSHIFT_TLS_KEY": "/run/secrets/nightshift/tls.key",
    }, {**shared, "/var/lib/nightshift": folders["state"]}, stdout=log, stderr=log)

    until_it_listens(serving)

    def ctl(*arguments):
        env = {**caller, "NIGHTSHIFT_TOKEN_FILE": "/run/secrets/nightshift/user"}
        made = coordinator.start("/opt/nightshift/ctl", list(arguments), env, shared, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = made.communicate(timeout=LIMIT_S)[0]
        if made.returncode:
            fail(f"ctl {' '.join(arguments)} ended with {made.returncode}:\n{said}\n{(scratch / 'log').read_text()[-4000:]}")
        return said

    def worker(name, folder):
        image = images[name]
        env = {**caller, "NIGHTSHIFT_TOKEN_FILE": "/run/secrets/nightshift/worker", "NIGHTSHIFT_WORKER": name}
        return image.start(image.entry[0], image.entry[1:], env, {**shared, "/scratch": folders[folder]}, stdout=log, stderr=log)

    full = worker("worker", "scratch-1")
    print(ctl("submit", "/data/train.yaml", "--wait"))
    print(f"the worker ended {stop(full):.1f} s after SIGTERM with {full.returncode}")
    predict = worker("worker-predict", "scratch-2")
    # Its day needs the zone's file.
    print(ctl("submit", "/data/predict.yaml", "--key", "night-{today}", "--wait"))
    print(ctl("results", "last", "--top", "5"))
    print(f"the predict-only worker ended {stop(predict):.1f} s after SIGTERM with {predict.returncode}")
    print(f"the coordinator ended {stop(serving):.1f} s after SIGTERM with {serving.returncode}")
    if (full.returncode, predict.returncode, serving.returncode) != (0, 0, 0):
        fail((scratch / "log").read_text()[-4000:])


if __name__ == "__main__":
    main()
