#!/usr/bin/env python3
"""Empty tasks through Celery: prefork workers, acks_late, persistent messages, the result backend `rpc`.

    peer_celery.py --broker amqp://USER:PASSWORD@HOST:PORT/ [--tasks N] [--jobs N] [--concurrency N] [--prefetch N]

Prints one JSON line: tasks a second of N tasks sent at once until the last result is here, and how long one task takes from
`delay()` to its begin and to its result while nothing else is there to do. The worker is warm. What a task returns goes to
the caller through the broker and is stored nowhere else.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from celery import Celery

from figures import spread

QUEUE = "bench-celery"


def application(broker):
    app = Celery("peer_celery", broker=broker, backend="rpc://")
    app.conf.update(task_default_queue=QUEUE, task_acks_late=True, task_reject_on_worker_lost=True, task_default_delivery_mode="persistent",
                    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")), result_expires=600, broker_connection_retry_on_startup=True,
                    worker_send_task_events=False, task_track_started=False)
    return app


app = application(os.environ.get("BENCH_BROKER", "amqp://guest:guest@127.0.0.1:5672/"))


@app.task(name="bench.empty")
def empty():
    """When it was begun."""
    return time.time()


def measure(tasks, jobs):
    for result in [empty.delay() for _ in range(200)]:
        result.get(timeout=60)
    begins, trips = [], []
    for _ in range(jobs):
        sent = time.time()
        begun = empty.delay().get(timeout=60)
        trips.append((time.time() - sent) * 1000)
        begins.append((begun - sent) * 1000)
    start = time.perf_counter()
    for result in [empty.delay() for _ in range(tasks)]:
        result.get(timeout=300)
    seconds = time.perf_counter() - start
    return {"tasks": tasks, "seconds": round(seconds, 3), "tasks_per_s": round(tasks / seconds, 1), "begin_ms": spread(begins), "round_trip_ms": spread(trips)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--tasks", type=int, default=4000)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--concurrency", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--prefetch", type=int, default=4)
    arguments = parser.parse_args()
    environment = dict(os.environ, BENCH_BROKER=arguments.broker, BENCH_PREFETCH=str(arguments.prefetch))
    worker = subprocess.Popen([sys.executable, "-m", "celery", "-A", "peer_celery", "worker", "--pool", "prefork", "--concurrency", str(arguments.concurrency),
                               "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING", "--queues", QUEUE],
                              cwd=Path(__file__).resolve().parent, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        # Its settings were read with the module; the broker is the argument's.
        app.conf.broker_url = arguments.broker
        print(json.dumps({"peer": "celery", "concurrency": arguments.concurrency, "prefetch": arguments.prefetch, **measure(arguments.tasks, arguments.jobs)}))
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        try:
            worker.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


if __name__ == "__main__":
    main()
