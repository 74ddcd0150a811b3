#!/bin/bash
#SBATCH --job-name=culture-lens
#SBATCH --array=0-15
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --requeue
# No Ray: sixteen jobs give the same commands on one run folder. Each takes shards that no other
# has taken, and waits at the end of a pass for those that others are still at. A job that dies
# lets go of its shard. The folder must be on a file system with locks (NFS 4, Lustre with flock,
# GPFS); on others shards are computed more than once, and nothing else goes wrong.
set -eu
model=meta-llama/Llama-3.1-8B-Instruct
run=$SCRATCH/runs/llama-8b
export HF_HUB_OFFLINE=1   # the model is in the hub's cache already

culture-lens find --model "$model" --dtype bfloat16 --benchmark blend --method conact --run "$run"
culture-lens ablate --run "$run" --random-seeds 10
