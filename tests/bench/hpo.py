"""How good the points are that a search finds, beside Optuna on the same functions.

    hpo_tpe_vs_optuna   geometric mean over functions and seeds of the regret of TPE after so many trials, of Optuna's TPE (the best of
                        its settings: the default, dimensions independent, multivariate by groups), and theirs / ours, with a 95 % interval (bootstrap over the seeds)
    hpo_gp_vs_optuna    the same of the Gaussian process with expected improvement
    hpo_overhead_ms     what a suggestion of TPE takes: mean over a search of 10,000 trials; peer: Optuna's over the searches above

Optuna is in an environment of its own below .cache/bench, made on first use: 5 GB. Its Gaussian process takes
half an hour on two cores.
"""
import json
import math
import os
import random
import subprocess

from figures import HERE, ROOT, Failed, environment, report, run, say
from hpo_functions import SPACES

# The environment with what pip keeps while it works.
VENV_BYTES = 9 * 10**9
SEEDS, TRIALS = 20, 60
# Less than this nobody can tell from the best.
LEAST = 1e-9
METHODS = {"tpe": "tpe", "gp": "gaussian_process"}
PEERS = {"tpe": ("tpe", "independent", "grouped"), "gp": ("gp",)}


def python():
    return environment("optuna", "Optuna", VENV_BYTES)


def program():
    run(["cargo", "build", "--locked", "--quiet", "--release", "--package", "hpo", "--example", "ask_tell"], cwd=ROOT)
    return os.path.join(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), "release", "examples", "ask_tell")


def searched(ask_tell, method, name, trials, seed):
    """The least value that one of our searches found, and the microseconds of each suggestion."""
    function, space = SPACES[name]
    search = {"space": space, "method": method, "goal": "minimize", "trials": trials, "concurrency": 1, "seed": seed}
    process = subprocess.Popen([ask_tell], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdin.write(json.dumps(search) + "\n")
    process.stdin.flush()
    least, times = math.inf, []
    for line in process.stdout:
        trial = json.loads(line)
        value = function(**trial["values"])
        least = min(least, value)
        times.append(trial["us"])
        process.stdin.write(f"{value!r}\n")
        process.stdin.flush()
    process.stdin.close()
    if process.wait() or len(times) != trials:
        raise Failed(f"a search of {name} ended after {len(times)} of {trials} trials")
    return least, times


def logs(regrets):
    return [math.log(max(regret, LEAST)) for regret in regrets]


def interval(ours, theirs):
    """Of the geometric mean of theirs / ours: both drawn anew from the seeds, function by function."""
    draw, means = random.Random(0), []
    for _ in range(2000):
        total = 0.0
        for name in ours:
            mine = draw.choices(ours[name], k=SEEDS)
            peer = draw.choices(theirs[name], k=SEEDS)
            total += (sum(peer) - sum(mine)) / SEEDS
        means.append(math.exp(total / len(ours)))
    means.sort()
    return [round(means[50], 3), round(means[1949], 3)]


class Searches:
    """The searches that the figures share: each done once, when it is first asked for."""

    def __init__(self):
        self.optuna, self.built = {}, None

    def program(self):
        self.built = self.built or program()
        return self.built

    def peer(self, sampler, name):
        if (sampler, name) not in self.optuna:
            say(f"Optuna's {sampler} on {name}")
            text = run([python(), HERE / "peer_optuna.py", "--sampler", sampler, "--function", name, "--trials", TRIALS, "--seeds", SEEDS])
            self.optuna[sampler, name] = json.loads(text.strip().splitlines()[-1])
        return self.optuna[sampler, name]


def mean(values):
    return sum(values) / len(values)


def against(searches, kind):
    ours, times = {}, []
    for name in SPACES:
        say(f"our {kind} on {name}")
        found = [searched(searches.program(), METHODS[kind], name, TRIALS, seed) for seed in range(SEEDS)]
        ours[name] = logs(least for least, _ in found)
        times += [us for _, one in found for us in one]
    peers = {sampler: {name: searches.peer(sampler, name) for name in SPACES} for sampler in PEERS[kind]}
    regrets = {sampler: {name: logs(one["regrets"]) for name, one in runs.items()} for sampler, runs in peers.items()}
    overall = lambda regrets: math.exp(mean([mean(values) for values in regrets.values()]))
    best = min(regrets, key=lambda sampler: overall(regrets[sampler]))
    by_function = {name: {"ours": math.exp(mean(ours[name])), **{sampler: math.exp(mean(regrets[sampler][name])) for sampler in regrets}} for name in SPACES}
    report(f"hpo_{kind}_vs_optuna", overall(ours), "regret", overall(regrets[best]), overall(regrets[best]) / overall(ours),
           interval=interval(ours, regrets[best]), peer_sampler=best, trials=TRIALS, seeds=SEEDS, regrets=by_function,
           ms_per_trial={"ours": mean(times) / 1000, **{sampler: mean([one["ms_per_trial"] for one in runs.values()]) for sampler, runs in peers.items()}},
           optuna=peers[best]["model"]["version"])


def tpe(searches):
    against(searches, "tpe")


def gp(searches):
    against(searches, "gp")


def overhead(searches):
    _, times = searched(searches.program(), "tpe", "model", 10_000, 0)
    peer = searches.peer("tpe", "model")["ms_per_trial"]
    report("hpo_overhead_ms", mean(times) / 1000, "ms", peer, peer / (mean(times) / 1000), trials=10_000, last_ms=mean(times[-100:]) / 1000,
           seconds=sum(times) / 1e6)


BENCHMARKS = {"hpo_tpe_vs_optuna": tpe, "hpo_gp_vs_optuna": gp, "hpo_overhead_ms": overhead}
