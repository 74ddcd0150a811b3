"""One machine with several GPUs, from Python or a notebook: a worker on each."""

import torch

import culture_lens as cl

workers = cl.Ray(workers=torch.cuda.device_count(), gpus_per_worker=1)
options = {"engine": workers, "run": "runs/llama-8b"}

# This process only hands out shards and adds up: its own copy of the model stays on the CPU.
model = cl.load_model("meta-llama/Llama-3.1-8B-Instruct", device="cpu", dtype="bfloat16")
questions = cl.load_benchmark("blend")
found = cl.find_culture_neurons(model, questions, method="conact", **options)
matrix = cl.ablation_matrix(model, found, questions, random_seeds=10, **options)
print(matrix.summary())
