#!/usr/bin/env python3
"""Searches with Optuna on the functions of hpo_functions.py: one JSON line with the regrets.

    peer_optuna.py --sampler tpe|independent|grouped|gp --function NAME --trials N --seeds N
"""
import argparse
import json
import time
import warnings

import optuna

from hpo_functions import SPACES


def suggest(trial, space):
    values, places = {}, []
    for dimension in space:
        held = all(places[condition["dimension"]] in condition["values"] for condition in dimension.get("when", []))
        places.append(None)
        if not held:
            continue
        name, domain = dimension["name"], dimension["domain"]
        if "values" in domain:
            values[name] = trial.suggest_categorical(name, domain["values"])
            places[-1] = domain["values"].index(values[name])
        else:
            (kind, range), = domain.items()
            draw = trial.suggest_int if kind == "integer" else trial.suggest_float
            values[name] = draw(name, range["min"], range["max"], log=range["scale"] == "log")
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sampler", choices=["tpe", "independent", "grouped", "gp"], required=True)
    parser.add_argument("--function", choices=sorted(SPACES), required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--seeds", type=int, required=True)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    function, space = SPACES[arguments.function]
    regrets, start = [], time.perf_counter()
    for seed in range(arguments.seeds):
        sampler = {"tpe": lambda: optuna.samplers.TPESampler(seed=seed),
                   "independent": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=False),
                   "grouped": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True),
                   "gp": lambda: optuna.samplers.GPSampler(seed=seed)}[arguments.sampler]()
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda trial: function(**suggest(trial, space)), n_trials=arguments.trials)
        regrets.append(study.best_value)
    wall = time.perf_counter() - start
    print(json.dumps({"regrets": regrets, "ms_per_trial": 1000 * wall / (arguments.trials * arguments.seeds), "version": optuna.__version__}))


if __name__ == "__main__":
    main()
