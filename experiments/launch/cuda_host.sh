#!/usr/bin/env bash
# One host with several NVIDIA GPUs; one process drives all of them.
#
#     experiments/launch/cuda_host.sh --config=faces64 --workdir=runs/faces64
set -euo pipefail
cd "$(dirname "$0")/../.."

test -x .venv/bin/python || uv venv --python 3.12 .venv
uv pip install --quiet --python .venv/bin/python --editable '.[cuda]'
.venv/bin/python -m disentangle_jax.train "$@" --nodistributed --dry-run
.venv/bin/python -m disentangle_jax.train "$@" --nodistributed
