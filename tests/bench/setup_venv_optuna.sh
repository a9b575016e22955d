#!/usr/bin/env bash
# Optuna, for the figures of searches. 5 GB (its Gaussian process needs torch, whose wheel brings CUDA along), five minutes.
# Usage: setup_venv_optuna.sh VENV   (Python 3.11)
# Every package stands in the requirements with its version; what the index gives for it is not checked by hashes.
set -euo pipefail
venv=${1:?folder of the new venv}
here=$(cd "$(dirname "$0")" && pwd)
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/requirements-optuna.txt"
"$venv/bin/pip" check
"$venv/bin/python" -c 'import optuna, torch; print("optuna", optuna.__version__, "torch", torch.__version__)'
