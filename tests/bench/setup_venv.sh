#!/usr/bin/env bash
# The Python environment of a peer: dispatch (Celery and Ray: 310 MB, half a minute) or optuna (5 GB, since its Gaussian process
# needs torch, whose wheel brings CUDA along; five minutes).
# Usage: setup_venv.sh NAME VENV   (Python 3.11)
# Every package stands in the requirements with its version; what the index gives for it is not checked by hashes.
set -euo pipefail
name=${1:?name of the requirements}
venv=${2:?folder of the new venv}
here=$(cd "$(dirname "$0")" && pwd)
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/requirements-$name.txt"
"$venv/bin/pip" check
