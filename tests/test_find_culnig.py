"""find_culture_neurons by CULNIG: three scorings, one run folder, mistakes before anything runs."""

import pytest
import torch

from culture_lens.attribution.culnig import CulnigScores
from culture_lens.errors import InputError
from culture_lens.find import find_culture_neurons
from culture_lens.neurons.scores import NeuronScores
from culture_lens.questions.splits import split_questions
from culture_lens.selectors import select
from tests.helpers import reference_culnig as reference
from tests.helpers.culnig import (
    CONTROL_SHARES,
    METHODS,
    countryrc_questions,
    members,
    reference_tables,
    scored_by_hand,
)
from tests.helpers.forwards import must_not_run
from tests.helpers.lm import exact, exact_raw, lens
from tests.helpers.questions import toy_questions


@pytest.mark.slow
@pytest.mark.parametrize(("method", "options"), METHODS)
def test_finding_runs_the_three_scorings_and_equals_doing_it_by_hand(method, options):
    model = exact("llama")
    found = find_culture_neurons(
        model,
        toy_questions(),
        method=method,
        progress=False,
        summary_options={"countryrc": countryrc_questions()},
        **options,
    )
    identify, rest = split_questions(toy_questions())
    assert identify and rest
    scores = scored_by_hand(model, identify, countryrc_questions())
    assert found.cultures == (
        ("general",) if "general" in method else ("France", "Japan", "Mexico")
    )
    assert members(found) == members(select(scores, method, **options))
    tables = reference_tables(model, exact_raw("llama"), identify, countryrc_questions())
    if "general" in method:
        expected = reference.culture_general(*tables, len(identify), len(identify), **options)
        assert members(found) == {"general": expected}
    else:
        n = len(identify)
        expected = reference.culture_specific(*tables, n, n, found.cultures, **options)
        assert members(found) == expected
    assert found.metadata["selector"] == method.replace("-", "_")
    held = {q.group for q in identify} | {q.group for q in countryrc_questions()}
    assert held == set(found.metadata["groups"])
    assert not {q.group for q in rest} & set(found.metadata["groups"])


@pytest.mark.slow
@pytest.mark.parametrize(("method", "options"), METHODS)
def test_a_run_keeps_the_three_files_and_is_not_run_again(monkeypatch, tmp_path, method, options):
    model = lens("llama")
    arguments = {
        "method": method,
        "progress": False,
        "run": tmp_path,
        "summary_options": {"countryrc": countryrc_questions()},
        **options,
    }
    first = find_culture_neurons(model, toy_questions(), **arguments)
    files = {file.name for file in (tmp_path / "scores").iterdir()}
    assert files == {f"{name}.safetensors" for name in ("task", "control", "countryrc")}
    scores = CulnigScores(
        *(
            NeuronScores.load(tmp_path / "scores" / f"{name}.safetensors")
            for name in ("task", "control", "countryrc")
        )
    )
    assert members(select(scores, method, **options)) == members(first)

    must_not_run(monkeypatch)
    second = find_culture_neurons(model, toy_questions(), **arguments)
    assert members(second) == members(first)
    for label in first:
        for site, scores in first[label].scores.items():
            assert torch.equal(second[label].scores[site], scores)
    other = {**arguments, "method": "culnig_specific" if "general" in method else "culnig_general"}
    other = {name: value for name, value in other.items() if name not in options}
    other |= {"share": 0.06} if "general" in method else CONTROL_SHARES
    find_culture_neurons(model, toy_questions(), **other)  # of the same scorings


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "culnig"}, "unknown selector 'culnig'"),
        ({"method": "culnig_general", "mlp_share": 2.0}, r"outside \(0, 1\]"),
        ({"method": "culnig_general", "attention_share": 0.001}, "0 of .* neurons asked for"),
        ({"method": "culnig_specific", "share": 1e-4}, "0 of .* neurons asked for"),
        ({"method": "culnig_specific", "countryrc_share": 1e-4}, "0 of .* neurons asked for"),
        ({"method": "culnig_specific", "k": 3}, "by shares"),
        ({"method": "culnig_general", "share": 0.1}, "no option 'share'"),
        ({"method": "culnig_general", "mlp_shares": 0.1}, "no option 'mlp_shares'"),
        ({"method": "culnig_specific", "sites": ("gate", "gates")}, "unknown site 'gates'"),
        ({"method": "culnig_specific", "sites": ("up",)}, "gate, q, k, v"),
        ({"method": "culnig_specific", "batch_size": 0}, "batch_size"),
        ({"method": "culnig_specific", "summary_options": {"nothing": 1}}, "unknown option"),
        ({"method": "culnig_specific", "summary_options": {"aggregation": "mean"}}, "aggregation"),
        ({"method": "culnig_specific", "summary_options": {"countries": ["Peru"]}}, "Peru"),
    ],
    ids=str,
)
def test_mistakes_are_refused_before_the_model_runs(idle, options, message):
    with pytest.raises(InputError, match=message):
        find_culture_neurons(idle, toy_questions(), progress=False, **options)
