#!/usr/bin/env python3
"""Reads the tables of a finished job with pandas, polars and duckdb, and holds what they see against `ctl results`.

    make test                                           makes the Python environment (600 MB), runs a small job, reads it
    python tests/readers/readers.py RESULTS [CTL ARGS]  reads .../results/GENERATION; CTL ARGS go to `ctl results`
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CTL = ROOT / "bin" / "ctl"

JOB = """\
kind: benchmark
name: readers
model: {{class_path: Padim, init_args: {{backbone: resnet18, layers: [layer1], n_features: 8, pre_trained: false}}}}
data: {{class_path: MVTec, init_args: {{root: '{root}/datasets/texture', category: brick, val_split_mode: from_dir, image_size: [64, 64]}}}}
metrics: {{image: [AUROC, F1Score], pixel: [AUROC]}}
task: segmentation
seed: {{grid: [0, 1]}}
output: '{output}'
"""


def by_pandas(path):
    import pandas
    frame = pandas.read_parquet(path)
    return len(frame), list(frame.columns), lambda name: [None if pandas.isna(value) else value for value in frame[name]]


def by_polars(path):
    import polars
    frame = polars.read_parquet(path)
    return len(frame), frame.columns, lambda name: frame[name].to_list()


def by_duckdb(path):
    import duckdb
    relation = duckdb.sql(f"from '{path}'")
    columns, rows = relation.columns, relation.fetchall()
    return len(rows), columns, lambda name: [row[columns.index(name)] for row in rows]


def equal(seen, expected):
    if isinstance(expected, float) and seen is not None:
        # JSON holds the shortest decimal of an f32.
        return abs(seen - expected) <= 1e-6 * abs(expected)
    return seen == expected


def check(results, ctl_arguments):
    for table in ("metrics", "scores", "timings"):
        text = subprocess.run([CTL, "results", f"--{table}", "-o", "json", *ctl_arguments], check=True, capture_output=True, text=True).stdout
        rows = json.loads(text)
        assert rows, f"{table}: `ctl results` shows no rows"
        for reader in (by_pandas, by_polars, by_duckdb):
            path = results / f"{table}.parquet"
            count, columns, column = reader(path)
            where = f"{reader.__name__[3:]}: {path}"
            assert count == len(rows), f"{where}: {count} rows, {len(rows)} expected"
            assert set(rows[0]) <= set(columns), f"{where}: no column {sorted(set(rows[0]) - set(columns))}"
            for name in rows[0]:
                for number, (seen, row) in enumerate(zip(column(name), rows)):
                    assert equal(seen, row[name]), f"{where}: row {number}, {name}: {seen!r}, expected {row[name]!r}"
            print(f"{where}: {count} rows, {len(columns)} columns")
    # Every other table of the job (samples, manifest, parts) opens everywhere with the same shape.
    for path in sorted(results.parent.parent.rglob("*.parquet")):
        shapes = {reader.__name__[3:]: reader(path)[:2] for reader in (by_pandas, by_polars, by_duckdb)}
        assert len({str(shape) for shape in shapes.values()}) == 1, f"{path}: {shapes}"
    import duckdb
    best = duckdb.sql(f"select level, metric, avg(value), count(*) from '{results}/metrics.parquet' group by all order by all").fetchall()
    print("duckdb, grouped:", best)


def main():
    if len(sys.argv) > 1:
        return check(Path(sys.argv[1]), sys.argv[2:] or ["--last"])
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "job.yaml").write_text(JOB.format(root=ROOT, output=folder / "results"))
        state = ["--state", str(folder / "state")]
        subprocess.run([CTL, "run", "job.yaml", *state], cwd=folder, check=True)
        (results,) = folder.glob("results/jobs/*/results/*")
        check(results, ["--last", *state])


if __name__ == "__main__":
    main()
