#!/usr/bin/env bash
# Celery and Ray, for the figures of dispatching. 310 MB, half a minute.
# Usage: setup_venv_dispatch.sh VENV   (Python 3.11)
# Every package stands in the requirements with its version; what the index gives for it is not checked by hashes.
set -euo pipefail
venv=${1:?folder of the new venv}
here=$(cd "$(dirname "$0")" && pwd)
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/requirements-dispatch.txt"
"$venv/bin/pip" check
"$venv/bin/python" -c 'import celery, ray; print("celery", celery.__version__, "ray", ray.__version__)'
