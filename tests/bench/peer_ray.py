#!/usr/bin/env python3
"""Empty tasks with Ray on this machine alone.

    peer_ray.py [--tasks N] [--jobs N] [--cpus N]

Prints one JSON line: tasks a second of N tasks begun at once until the last result is here, and how long one task takes from
`remote()` to its begin and to its result while nothing else is there to do. The workers are warm. Ray keeps tasks and results
in memory: what is here when a process ends is lost.
"""
import argparse
import json
import os
import time

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray  # noqa: E402

from figures import spread  # noqa: E402


@ray.remote
def empty():
    """When it was begun."""
    return time.time()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10000)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--cpus", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    ray.init(num_cpus=arguments.cpus, include_dashboard=False, log_to_driver=False, configure_logging=True, logging_level="ERROR")
    ray.get([empty.remote() for _ in range(1000)])
    begins, trips = [], []
    for _ in range(arguments.jobs):
        sent = time.time()
        begun = ray.get(empty.remote())
        trips.append((time.time() - sent) * 1000)
        begins.append((begun - sent) * 1000)
    start = time.perf_counter()
    ray.get([empty.remote() for _ in range(arguments.tasks)])
    seconds = time.perf_counter() - start
    print(json.dumps({"peer": "ray", "cpus": arguments.cpus, "tasks": arguments.tasks, "seconds": round(seconds, 3),
                      "tasks_per_s": round(arguments.tasks / seconds, 1), "begin_ms": spread(begins), "round_trip_ms": spread(trips)}))
    ray.shutdown()


if __name__ == "__main__":
    main()
