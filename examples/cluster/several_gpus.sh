#!/bin/bash
# One machine with several GPUs: a worker on each. Ray is started and ended by the command itself.
set -eu
model=${1:-meta-llama/Llama-3.1-8B-Instruct}
run=${2:-runs/llama-8b}
gpus=$(nvidia-smi --list-gpus | wc -l)

export HF_HUB_OFFLINE=0
hf download "$model"                     # once; the workers read it from the disk
engine=(--engine ray --workers "$gpus" --gpus-per-worker 1)

# This process only hands out shards and adds up: its own copy of the model stays on the CPU.
culture-lens find --model "$model" --device cpu --dtype bfloat16 --benchmark blend \
    --method conact --run "$run" "${engine[@]}"
culture-lens ablate --run "$run" --random-seeds 10 "${engine[@]}"
culture-lens report --run "$run"

# A 70B model takes four GPUs of 80 GB to a worker:
#   --workers $((gpus / 4)) --gpus-per-worker 4
