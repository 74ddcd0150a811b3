"""Ablation matrices from made-up answers: by hand, at random, or with a known effect."""

import numpy as np
import pandas as pd

from culture_lens.experiments.matrix import AblationMatrix


def records(answers, gold=0):
    """A matrix from {(condition, mask, seed): {(culture, group): prediction}}."""
    rows = [
        {
            "condition": condition,
            "mask": mask,
            "seed": seed,
            "id": f"{group}/{culture}",
            "culture": culture,
            "group": group,
            "category": "",
            "gold": gold,
            "prediction": prediction,
            "correct": prediction == gold,
            "p_gold": 0.5,
            "scores": [0.0, 0.0],
        }
        for (condition, mask, seed), table in answers.items()
        for (culture, group), prediction in table.items()
    ]
    return AblationMatrix(pd.DataFrame(rows))


def random_records(seed=0, cultures=("A", "B", "C"), groups=6, seeds=2, shared=True, drop=0.0):
    source = np.random.default_rng(seed)
    items = [
        (culture, f"g{g}" if shared else f"g{culture}{g}")
        for culture in cultures
        for g in range(groups)
        if source.random() >= drop
    ]
    runs = [("unmodified", "", 0)] + [("found", c, 0) for c in cultures]
    runs += [("random", c, s) for c in cultures for s in range(seeds)]
    return records({run: {item: int(source.integers(3)) for item in items} for run in runs})


def frame_of(runs, cultures, correct):
    """A matrix from ``correct``: run x culture x group x item; groups are named alike."""
    _, n_cultures, n_groups, size = correct.shape
    index = np.indices((n_cultures, n_groups, size)).reshape(3, -1)
    items = pd.DataFrame(
        {
            "id": [f"{c}/{g}/{i}" for c, g, i in index.T],
            "culture": np.array(cultures)[index[0]],
            "group": [f"g{g}" for g in index[1]],
            "p_gold": 0.5,
        }
    )
    frames = [
        items.assign(
            condition=condition,
            mask=mask,
            seed=seed,
            correct=own.ravel() == 1,
            prediction=1 - own.ravel(),
        )
        for (condition, mask, seed), own in zip(runs, correct, strict=True)
    ]
    return AblationMatrix(pd.concat(frames, ignore_index=True))


def clustered(source, shape, rate):
    """Answers whose group has a rate of its own, Beta with mean ``rate``: items go together."""
    *outer, size = shape
    rate = np.broadcast_to(np.asarray(rate), outer)
    own = source.beta(2 * rate, 2 * (1 - rate))
    return (source.random(shape) < own[..., None]).astype(int)


def one_mask(seed, effects, groups=40, size=5, base=0.6):
    """One mask on many cultures, each a simulation of its own with the given true effect."""
    source, effects = np.random.default_rng(seed), np.asarray(effects)
    before = clustered(source, (len(effects), groups, size), base)
    after = clustered(source, (len(effects), groups, size), base + effects[:, None])
    cultures = [f"c{i:04d}" for i in range(len(effects))]
    runs = [("unmodified", "", 0), ("found", "m", 0)]
    return frame_of(runs, cultures, np.array([before, after]))


LETTERS = {"progress": False, "scoring": "letter_options", "batch_size": 8}
