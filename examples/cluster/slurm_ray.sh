#!/bin/bash
#SBATCH --job-name=culture-lens
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --requeue
# SLURM gives the machines, Ray runs on all of them: `ray symmetric-run` starts it on every node,
# runs the command on the first one, and stops Ray when the command ends. A job that is requeued
# goes on with the shards that are left.
set -eu
model=meta-llama/Llama-3.1-8B-Instruct
run=$SCRATCH/runs/llama-8b
export HF_HUB_OFFLINE=1 RAY_USAGE_STATS_ENABLED=0   # the model is in the hub's cache already

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    ray symmetric-run --address "$head:6379" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus=4 -- \
    culture-lens find --model "$model" --device cpu --dtype bfloat16 --benchmark blend \
    --method conact --run "$run" \
    --engine ray --workers $((4 * SLURM_JOB_NUM_NODES)) --gpus-per-worker 1 --address auto
