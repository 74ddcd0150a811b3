"""Plain references of prompt trees: every option as a full sequence, one at a time."""

import torch


def plain_reads(hf, prompts, extra=lambda prompt: {}):
    """The logit and log-probability of every option's tokens, and every prompt's next token."""
    logits, logs, best = [], [], []
    with torch.no_grad():
        for prompt in prompts:
            options = prompt.continuations or [(label,) for label in prompt.labels]
            for at, option in enumerate(options):
                ids = torch.tensor([list(prompt.ids) + list(option)])
                out = hf(input_ids=ids, **extra(prompt)).logits[0]
                start = len(prompt.ids) - 1
                if at == 0:
                    best.append(int(out[start].argmax()))
                for step, token in enumerate(option):
                    logits.append(float(out[start + step, token]))
                    logs.append(float(out[start + step].double().log_softmax(-1)[token]))
    return logits, logs, best


def distinct_beginnings(prompts):
    """How many different beginnings some prompts and their options have; last tokens not run."""
    seen = set()
    for prompt in prompts:
        for option in prompt.continuations or [()]:
            whole = tuple(prompt.ids) + tuple(option[:-1])
            seen |= {whole[:end] for end in range(1, len(whole) + 1)}
    return len(seen)
