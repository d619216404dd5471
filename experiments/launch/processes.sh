#!/usr/bin/env bash
# Processes that no cluster manager knows, here all on one machine; on hosts of your own, one of these commands on each,
# with the first host's name in place of 127.0.0.1 and a workdir that all of them see.
#
#     experiments/launch/processes.sh 2 --config=faces64:demo --workdir=runs/two
set -euo pipefail
num_processes=$1
shift
port=${PORT:-12355}
started=()
stop() { # once, and not before all have saved
    trap - EXIT TERM
    kill "${started[@]}" 2>/dev/null || true
    wait
}
trap stop EXIT
trap 'stop; exit 143' TERM
for ((id = 0; id < num_processes; id++)); do
    "${PYTHON:-python}" -m disentangle_jax.train "$@" \
        --coordinator="127.0.0.1:$port" --num_processes="$num_processes" --process_id="$id" &
    started+=($!)
done
for process in "${started[@]}"; do
    wait "$process"
done
