"""Answers of the unmodified and the ablated model are paired by question, or refused."""

import numpy as np
import pandas as pd
import pytest

from culture_lens.errors import InputError
from culture_lens.experiments.cell_tests import against_random, cell_tests
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.paired_answers import PairedAnswers
from tests.helpers.matrices import random_records


def test_what_is_not_paired_is_refused():
    frame = random_records(1, cultures=("A", "B")).frame
    twice = AblationMatrix(pd.concat([frame, frame.iloc[[20]]], ignore_index=True))
    with pytest.raises(InputError, match="recorded twice under mask"):
        cell_tests(twice)
    with pytest.raises(InputError, match="lacks 1 of the 12 questions"):
        cell_tests(AblationMatrix(frame.drop(index=20)))
    with pytest.raises(InputError, match="no answers of the unmodified model"):
        PairedAnswers.of(AblationMatrix(frame[frame["condition"] != "unmodified"]))
    fewer = frame[
        ~((frame["condition"] == "random") & (frame["mask"] == "A") & (frame["seed"] == 1))
    ]
    with pytest.raises(InputError, match="different numbers of random seeds"):
        against_random(AblationMatrix(fewer))


def test_answers_of_groups_are_counts_of_right_ones():
    """Against a pivot of the records, whatever their order."""
    matrix = random_records(2, cultures=("A", "B"), groups=7)
    mixed = AblationMatrix(matrix.frame.sample(frac=1, random_state=0))
    runs = [("unmodified", "", 0), ("found", "A", 0), ("random", "B", 1)]
    frame = matrix.frame[matrix.frame["culture"] == "B"]
    wide = frame.pivot(index="group", columns=["condition", "mask", "seed"], values="correct")
    expected = wide[runs].to_numpy(dtype=int)
    assert np.array_equal(PairedAnswers.of(mixed).of_groups("B", runs), expected)
