"""Functions that searches are measured on, to be minimized; each is 0 at its best.

Known test functions of the field, one of them with values, a logarithmic range and dimensions that count sometimes only: what a
model's parameters are like. `SPACES` has them in the form of crates/hpo.
"""
import math


def dimension(name, when=None, **domain):
    return {"name": name, "domain": domain, **({"when": when} if when else {})}


def floating(name, low, high, scale="linear", when=None):
    return dimension(name, when, float={"min": low, "max": high, "scale": scale})


def branin(x, y):
    value = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6)**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10
    return value - 0.39788735772973816


HARTMANN_A = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
HARTMANN_P = [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991], [2348, 1451, 3522, 2883, 3047, 6650],
              [4047, 8828, 8732, 5743, 1091, 381]]


def hartmann6(**x):
    x = [x[f"x{index}"] for index in range(6)]
    total = sum(weight * math.exp(-sum(a * (value - p * 1e-4)**2 for a, value, p in zip(row, x, places)))
                for weight, row, places in zip((1, 1.2, 3, 3.2), HARTMANN_A, HARTMANN_P))
    return 3.3223680114155147 - total


def ackley4(**x):
    # Its best is not in the middle, where many methods begin.
    x = [x[f"x{index}"] - 0.7 for index in range(4)]
    return (-20 * math.exp(-0.2 * math.sqrt(sum(value**2 for value in x) / 4)) - math.exp(sum(math.cos(2 * math.pi * value) for value in x) / 4)
            + 20 + math.e)


def rosenbrock3(x0, x1, x2):
    return 100 * (x1 - x0**2)**2 + (1 - x0)**2 + 100 * (x2 - x1**2)**2 + (1 - x1)**2


# How good each backbone is, and what suits it.
BACKBONES = {"a": (0.10, 3.0, 40), "b": (0.0, 2.0, 120), "c": (0.05, 1.0, 250)}


def model(backbone, features, layers=None, rate=None):
    """What a search of a model's parameters is like: a backbone with its layers, a number of features, a rate of one backbone."""
    base, slope, best = BACKBONES[backbone]
    loss = base + 0.05 * slope * abs(math.log(features / best))
    if layers is not None:
        loss += {"low": 0.08, "middle": 0.0, "high": 0.04, "all": 0.02}[layers]
    if rate is not None:
        loss += 0.03 * (math.log10(rate) + 2)**2
    return loss


def on(dimension, *values):
    return [{"dimension": dimension, "values": list(values)}]


SPACES = {
    "branin": (branin, [floating("x", -5.0, 10.0), floating("y", 0.0, 15.0)]),
    "hartmann6": (hartmann6, [floating(f"x{index}", 0.0, 1.0) for index in range(6)]),
    "ackley4": (ackley4, [floating(f"x{index}", -5.0, 5.0) for index in range(4)]),
    "rosenbrock3": (rosenbrock3, [floating(f"x{index}", -2.0, 2.0) for index in range(3)]),
    "model": (model, [dimension("backbone", values=["a", "b", "c"]),
                      dimension("layers", on(0, 0, 1), values=["low", "middle", "high", "all"]),
                      dimension("features", integer={"min": 5, "max": 500, "scale": "log"}),
                      floating("rate", 1e-5, 1.0, "log", on(0, 1, 2))]),
}
