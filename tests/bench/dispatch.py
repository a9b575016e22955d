"""How many empty tasks a second are dispatched, and how soon, beside Celery and Ray in the same run.

    dispatch_rabbitmq_vs_celery   tasks a second of `ctl bench dispatch --broker`, of Celery on the same RabbitMQ, and ours / theirs
    dispatch_embedded_vs_ray      the same without a broker, and Ray on this machine
    dispatch_p99_ms               99th percentile of how long a ready task waits to be begun while nothing else is there to do: the
                                  worse of the two queues; peer: from `delay()` to the task's begin with Celery
    coordinator_100k_mb           peak memory of the coordinator over a job of 100,000 tasks (`ctl bench coordinator`)
    coordinator_100k_restart_s    from the start of a coordinator that was killed with 100,000 tasks open to its first answer

Ours writes each grant and each result to disk before it answers. Celery's messages are persistent and its results are messages
to the caller; Ray keeps both in memory. What a task leaves, an object and a list of objects, is in memory here, too (/dev/shm,
where Ray keeps its own); `on_disk` says what it is with these files synced to the same disk, which no peer does. Everything
runs alternately; the best round of each counts, of Celery and of ours the best of several settings. Ours and Celery log warnings, not a
line for each task.
"""
import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

from figures import CACHE, CTL, HERE, ROOT, Failed, environment, report, run, say

# The environment with what pip keeps while it works.
VENV_BYTES = 2 * 10**9
# Celery's: processes, and messages that each of them holds in advance.
CELERY = ((2, 4), (2, 32), (4, 16))
# Ours: workers, and executors of each.
OURS = ((4, 4), (8, 2), (16, 1))
MIB = 1.048576


def python():
    return environment("dispatch", "Celery and Ray", VENV_BYTES)


@contextmanager
def broker():
    """A RabbitMQ of its own; its address."""
    program = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "broker"
    if not program.is_file():
        raise Failed(f"{program} is missing: `make build` makes it")
    process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise Failed("RabbitMQ did not start")
        yield address
    finally:
        process.stdin.close()
        process.wait()


def last_line(text):
    return json.loads(text.strip().splitlines()[-1])


# Where the tasks' objects are in memory.
MEMORY = Path("/dev/shm")


def ours(setting, address=None, store=None):
    workers, slots = setting
    command, variables = [CTL, "bench", "dispatch", "-o", "json", "--folder", CACHE, "--workers", workers, "--slots", slots], dict(os.environ)
    if store:
        command += ["--store", store]
    if address:
        command += ["--broker", f"amqp://guest@{address}/"]
        variables["NIGHTSHIFT_BROKER_PASSWORD"] = "guest"
    return json.loads(run(command, env=variables))


def celery(interpreter, address, processes, prefetch):
    return last_line(run([interpreter, HERE / "peer_celery.py", "--broker", f"amqp://guest:guest@{address}/", "--concurrency", processes,
                          "--prefetch", prefetch]))


def ray(interpreter):
    return last_line(run([interpreter, HERE / "peer_ray.py"]))


class Dispatching:
    """The runs that the figures share: each done once, when it is first asked for."""

    def __init__(self, rounds):
        self.rounds, self.best, self.alone = rounds, None, None

    def measure(self):
        if self.best is None:
            interpreter = python()
            if not MEMORY.is_dir():
                raise Failed(f"there is no {MEMORY}: the peers keep their results in memory, so ours must be there, too")
            all_runs = {"embedded": [], "ray": [], "rabbitmq": [], "celery": [], "embedded, on disk": [], "rabbitmq, on disk": []}
            with broker() as address:
                for number in range(self.rounds):
                    def begin(name):
                        say(f"round {number + 1} of {self.rounds}: {name}")
                    for setting in OURS:
                        begin("embedded, {} workers of {} slots".format(*setting))
                        all_runs["embedded"].append(ours(setting, store=MEMORY))
                    begin("Ray")
                    all_runs["ray"].append(ray(interpreter))
                    for setting in OURS:
                        begin("RabbitMQ, {} workers of {} slots".format(*setting))
                        all_runs["rabbitmq"].append(ours(setting, address, MEMORY))
                    for processes, prefetch in CELERY:
                        begin(f"Celery, {processes} processes, prefetch {prefetch}")
                        all_runs["celery"].append(celery(interpreter, address, processes, prefetch))
                    begin("objects on disk")
                    all_runs["embedded, on disk"].append(ours(OURS[0]))
                    all_runs["rabbitmq, on disk"].append(ours(OURS[0], address))
            self.best = {name: max(runs, key=lambda one: one["tasks_per_s"]) for name, runs in all_runs.items()}
            for name in ("embedded", "rabbitmq"):
                self.best[name]["idle_ms"] = min((one["idle_ms"] for one in all_runs[name]), key=lambda spread: spread["p99"])
            self.best["celery"]["begin_ms"] = min((one["begin_ms"] for one in all_runs["celery"]), key=lambda spread: spread["p99"])
        return self.best

    def coordinator(self):
        if self.alone is None:
            CACHE.mkdir(parents=True, exist_ok=True)
            self.alone = json.loads(run([CTL, "bench", "coordinator", "-o", "json", "--folder", CACHE]))
        return self.alone


def against(name, best, mine, theirs):
    report(name, best[mine]["tasks_per_s"], "1/s", best[theirs]["tasks_per_s"], best[mine]["tasks_per_s"] / best[theirs]["tasks_per_s"],
           runs={mine: best[mine], theirs: best[theirs]}, on_disk=best[f"{mine}, on disk"]["tasks_per_s"])


def rabbitmq(dispatching):
    against("dispatch_rabbitmq_vs_celery", dispatching.measure(), "rabbitmq", "celery")


def embedded(dispatching):
    against("dispatch_embedded_vs_ray", dispatching.measure(), "embedded", "ray")


def p99(dispatching):
    best = dispatching.measure()
    mine = {name: best[name]["idle_ms"] for name in ("embedded", "rabbitmq")}
    theirs = {name: best[name]["begin_ms"] for name in ("celery", "ray")}
    worst = max(spread["p99"] for spread in mine.values())
    report("dispatch_p99_ms", worst, "ms", theirs["celery"]["p99"], theirs["celery"]["p99"] / worst, idle_ms=mine | theirs,
           loaded_ms={name: best[name]["loaded_ms"] for name in mine})


def memory(dispatching):
    alone = dispatching.coordinator()
    report("coordinator_100k_mb", max(alone["peak_mib"].values()) * MIB, "MB", run=alone)


def restart(dispatching):
    alone = dispatching.coordinator()
    report("coordinator_100k_restart_s", alone["restart_ms"] / 1000, "s", submit_s=(alone["submit_ms"] + alone["expand_ms"]) / 1000,
           claim_p99_ms=alone["claim_ms"]["p99"])
