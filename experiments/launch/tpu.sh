#!/usr/bin/env bash
# A Cloud TPU: one TPU VM (v5litepod-8) or a slice of a pod (v5litepod-64), the same command on every host of it.
#
#     export NAME=faces ZONE=us-west4-a TYPE=v5litepod-64 RUNTIME=v2-alpha-tpuv5-lite
#     experiments/launch/tpu.sh create
#     experiments/launch/tpu.sh train --config=faces64 --workdir=gs://BUCKET/faces64
#     experiments/launch/tpu.sh stop      # the hosts finish their step and save; train goes on
#     experiments/launch/tpu.sh delete
set -euo pipefail
cd "$(dirname "$0")/../.."
tpu() { gcloud compute tpus tpu-vm "$@" --zone="$ZONE"; }

case "$1" in
create)
    tpu create "$NAME" --accelerator-type="$TYPE" --version="$RUNTIME"
    rm -rf dist && uv build --quiet --wheel
    tpu scp dist/*.whl "$NAME": --worker=all
    # The images of TPU VMs may have an older Python than the package needs.
    tpu ssh "$NAME" --worker=all --command="curl -LsSf https://astral.sh/uv/install.sh | sh &&
        ~/.local/bin/uv venv --python 3.12 ~/venv &&
        ~/.local/bin/uv pip install --python ~/venv/bin/python \"\$(echo ~/disentangle_jax-*.whl)[tpu,gcs]\""
    ;;
train)
    shift
    tpu ssh "$NAME" --worker=all --command="~/venv/bin/python -m disentangle_jax.train $(printf '%q ' "$@")"
    ;;
stop)
    tpu ssh "$NAME" --worker=all --command="pkill -TERM -f [d]isentangle_jax.train"
    ;;
delete)
    tpu delete "$NAME"
    ;;
esac
