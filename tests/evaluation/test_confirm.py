"""confirm: effects by plain ablation, units, groups by rank, and what is kept and recorded."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from culture_lens.evaluation import confirm as module
from culture_lens.evaluation.candidate_groups import cut
from culture_lens.evaluation.confirm import confirm, judged, margins, p_of
from culture_lens.evaluation.evaluate import answer_masks
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.questions.question import Question
from tests.helpers.confirmed import candidates, drawn_questions, plain_scores
from tests.helpers.forwards import must_not_run
from tests.helpers.lm import lens, raw

GROUPS = 3


def confirmed(questions, found=None, **options):
    found = candidates() if found is None else found
    return confirm(
        lens("llama"), found, questions,
        **{"groups": GROUPS, "scoring": "letter", "progress": False, **options},
    )  # fmt: skip


def asked_of(words, answer):
    return Question("q", "Japan", "Which?", tuple(words), answer)


def table_of(found):
    return pd.DataFrame(found.metadata["confirmed"])


def best_first(neurons):
    """Places by their scores, by plain sorting."""
    places = neurons.places["act"].tolist()
    scored = zip(neurons.scores["act"].tolist(), map(tuple, places), strict=True)
    return [place for _, place in sorted(scored, reverse=True)]


@pytest.fixture(scope="module")
def asked():
    """Eight groups, two rows each; two groups of Japan have the same right answer."""
    questions = drawn_questions(8, rows=2)
    first = next(q for q in questions if q.id == "Japan/0/0")
    gold = first.options[first.answer]
    changed = []
    for q in questions:
        if q.culture == "Japan" and q.group == "g1" and gold not in q.options:
            options = list(q.options)
            options[q.answer] = gold
            q = replace(q, options=tuple(options))
        changed.append(q)
    golds = [q.options[q.answer] for q in changed if q.culture == "Japan"]
    assert len(golds) == 16 and len(set(golds)) == 7
    return changed


@pytest.mark.slow
def test_effects_are_those_of_plain_ablation(asked):
    found = candidates()
    table = table_of(confirmed(asked, found, fdr=0.4))
    assert len(table) == 2 * GROUPS
    hf = raw("llama")
    rows = iter(table.to_dict("records"))
    for culture in found:
        own = [q for q in asked if q.culture == culture]
        golds = [q.options[q.answer] for q in own]
        ranked = best_first(found[culture])
        base = plain_scores(hf, own)
        for first in range(0, 12, 4):
            moved = plain_scores(hf, own, ranked[first : first + 4]) - base
            change = np.stack([m - (m.sum() - m) / 3 for m in moved])  # each option as the right
            alike = [[g == gold for g in golds] for gold in sorted(set(golds))]
            units = np.stack([change[rows_alike].mean(0) for rows_alike in alike])
            sums = [sum(picks) for picks in itertools.product(*units)]
            row = next(rows)
            assert (row["culture"], row["first"], row["size"]) == (culture, first + 1, 4)
            assert row["answers"] == len(units)
            assert row["effect"] == pytest.approx(units[:, 0].mean(), abs=1e-5)
            assert row["low"] < row["effect"] < row["high"]
            exact = np.mean([one <= units[:, 0].sum() + 1e-6 for one in sums])
            # Of seven answers all relabellings are tried, of eight so many are drawn.
            assert row["p"] == pytest.approx(exact, abs=1e-9 if len(units) == 7 else 0.02)


@pytest.mark.slow
def test_what_is_kept_is_what_benjamini_and_hochberg_keep(asked):
    found = candidates()
    kept = confirmed(asked, found, fdr=0.4)
    table = table_of(kept)
    p = table["p"].to_numpy()
    order, number = np.sort(p), len(p)
    passed = [n + 1 for n in range(number) if order[n] <= 0.4 * (n + 1) / number]
    limit = order[max(passed) - 1] if passed else -1
    assert 0 < (p <= limit).sum() < number  # or this test proves nothing
    assert table["kept"].tolist() == (p <= limit).tolist()
    for culture in found:
        ranked = best_first(found[culture])
        own = table[(table["culture"] == culture) & table["kept"]]
        wanted = {place for first in own["first"] for place in ranked[first - 1 : first + 3]}
        assert {place[1:] for place in kept[culture].members()} == wanted
        held = dict(zip(map(tuple, found[culture].places["act"].tolist()),
                        found[culture].scores["act"].tolist(), strict=True))  # fmt: skip
        if wanted:
            again = map(tuple, kept[culture].places["act"].tolist())
            assert [held[place] for place in again] == kept[culture].scores["act"].tolist()


@pytest.mark.slow
def test_more_rows_of_the_same_questions_are_no_more_evidence():
    once = drawn_questions(7)
    four = [replace(q, id=f"{q.id}/{n}") for n in range(4) for q in once]
    first, second = table_of(confirmed(once)), table_of(confirmed(four))
    assert (first["p"] == second["p"]).all() and (first["answers"] == 7).all()
    assert (second["answers"] == 7).all()
    np.testing.assert_allclose(first["effect"], second["effect"], atol=1e-5)


@pytest.mark.slow
def test_questions_that_found_the_candidates_are_left_out(asked):
    looked = {"drawn": {"groups": ["g0", "g7"], "ids": []}}
    found = candidates(looked_at=looked, groups=["g0", "g7"])
    kept = confirmed(asked, found)
    rest = [q for q in asked if q.group not in ("g0", "g7")]
    assert table_of(kept).equals(table_of(confirmed(rest)))
    assert kept.metadata["groups"] == [f"g{n}" for n in range(8)]  # none may evaluate it now
    assert kept.metadata["fdr"] == 0.05 and kept.metadata["groups_of_candidates"] == GROUPS


@pytest.mark.slow
def test_a_culture_without_candidates_is_not_asked(asked, monkeypatch):
    found = candidates()
    empty = NeuronSet({**found.neurons, "Japan": Neurons({})}, found.shapes, found.metadata)
    whole, alone = table_of(confirmed(asked)), []

    def watched(model, prompts, *arguments, **options):
        alone.extend(prompt.question.culture for prompt in prompts)
        return answer_masks(model, prompts, *arguments, **options)

    monkeypatch.setattr(module, "answer_masks", watched)
    kept = confirmed(asked, empty)
    assert set(alone) == {"Mexico"} and len(kept["Japan"]) == 0
    own = whole[whole["culture"] == "Mexico"].drop(columns=["q", "kept"]).reset_index(drop=True)
    assert table_of(kept).drop(columns=["q", "kept"]).equals(own)


def test_without_any_candidates_nothing_runs(asked, monkeypatch):
    must_not_run(monkeypatch)
    found = candidates()
    empty = NeuronSet(dict.fromkeys(found, Neurons({})), found.shapes, found.metadata)
    kept = confirmed(asked, empty)
    assert kept.metadata["confirmed"] == [] and not any(len(kept[c]) for c in kept)


@pytest.mark.slow
def test_a_run_folder_keeps_what_is_done(asked, tmp_path, monkeypatch):
    first = confirmed(asked, run=tmp_path)
    must_not_run(monkeypatch)
    assert table_of(confirmed(asked, run=tmp_path)).equals(table_of(first))


@pytest.mark.slow
def test_batches_do_not_matter(asked):
    first, second = (table_of(confirmed(asked, batch_size=n)) for n in (1, 32))
    assert (first["p"] == second["p"]).all()
    np.testing.assert_allclose(first["effect"], second["effect"], atol=1e-5)


def test_groups_are_cut_by_rank_over_all_sites():
    some = Neurons.of({"act": [(0, 1), (0, 2), (2, 0)], "gate": [(1, 5), (1, 6)]})
    scores = {"act": torch.tensor([0.1, 0.9, 0.5]), "gate": torch.tensor([0.7, 0.2])}
    groups = cut("Japan", replace(some, scores=scores), 2)
    assert [set(group.neurons.members()) for group in groups] == [
        {("act", 0, 2), ("gate", 1, 5), ("act", 2, 0)},
        {("gate", 1, 6), ("act", 0, 1)},
    ]
    assert [group.first for group in groups] == [1, 4]
    assert {group.culture for group in groups} == {"Japan"}
    assert cut("Japan", Neurons({}), 2) == []


def test_margins_are_against_the_mean_of_the_others():
    frame = pd.DataFrame({"scores": [[1.0, 4.0, 0.0], [2.0, 8.0], [0.0, 3.0, 3.0, 9.0]]})
    found = margins(frame, [asked_of("bac", 1), asked_of("ab", 0), asked_of("dcba", 3)])
    # The right option first, then the others by their words.
    assert [one.tolist() for one in found] == [[3.5, -1.0, -2.5], [-6, 6], [7, -1, -1, -5]]


def test_margins_do_not_see_what_moves_all_options_alike():
    source = np.random.default_rng(0)
    scores = source.standard_normal((6, 4))
    moved = scores + source.standard_normal((6, 1))
    questions = [asked_of("abcd", n % 4) for n in range(6)]
    one, two = (
        margins(pd.DataFrame({"scores": table.tolist()}), questions) for table in (scores, moved)
    )
    np.testing.assert_allclose(one, two)
    np.testing.assert_allclose(np.sum(two, axis=1), 0, atol=1e-12)  # by chance 0, whatever it says


@pytest.mark.slow
@pytest.mark.parametrize("raised", [1.0, -1.0])
def test_effects_on_one_option_of_four_are_no_evidence(raised):
    """One option is moved in every item, by chance the right one: as lopsided as effects can be."""
    source, p = np.random.default_rng(0), []
    for _ in range(300):
        moved = np.eye(4)[source.integers(4, size=8)] * raised
        p.append(p_of([m - (m.sum() - m) / 3 for m in moved]))
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_answers_with_different_numbers_of_options_by_hand():
    """Of two options and of three: six relabellings, of which 1 and 2 are as low."""
    assert p_of([np.array([-1.0, 1]), np.array([-1.0, 0, 1])]) == pytest.approx(1 / 6)
    assert p_of([np.array([-1.0, 1]), np.array([0.0, -1, 1])]) == pytest.approx(2 / 6)


def test_groups_of_all_cultures_are_judged_together():
    groups = cut("Japan", candidates()["Japan"], 2) + cut("Mexico", candidates()["Mexico"], 2)
    low = [np.array([-1.0, 1.0])] * 6
    none = [np.array([sign, -sign]) for sign in (1.0, -1.0, 1.0, -1.0, 1.0, -1.0)]
    rows = judged(groups, [low, low, low, none], 0.05)
    # 1/64 in three of four tests is 1/48 after correction; alone among four it is 1/16.
    assert [row["kept"] for row in rows] == [True, True, True, False]
    assert rows[0]["q"] == pytest.approx(1 / 48) and rows[0]["p"] == 1 / 64
    assert not any(row["kept"] for row in judged(groups, [low, none, none, none], 0.05))
