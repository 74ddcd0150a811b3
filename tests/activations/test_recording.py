"""Recording options: flat keywords and record have the same fields; sites and roles are checked."""

from dataclasses import fields

import pytest

from culture_lens.activations.record import Recording, RecordingOptions, record_activations
from culture_lens.errors import InputError
from culture_lens.evaluation.summarise import SummariseOptions
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import CONTENT_ROLES, Role
from culture_lens.prompts.running import RunningOptions
from tests.helpers.lm import lens
from tests.helpers.questions import toy_questions


def test_keywords_and_record_have_the_same_fields():
    assert [field.name for field in fields(Recording)] == list(RecordingOptions.__annotations__)
    assert RecordingOptions.__required_keys__ == frozenset()


def test_summarise_takes_the_fields_of_both_records():
    both = {*RecordingOptions.__annotations__, *RunningOptions.__annotations__}
    assert SummariseOptions.__optional_keys__ == both


def test_roles_by_name_and_by_number():
    assert Recording().counted == tuple(CONTENT_ROLES)
    assert Recording(roles=(int(Role.QUESTION),)).counted == (int(Role.QUESTION),)
    assert set(Recording(roles="text").counted) < set(CONTENT_ROLES)
    with pytest.raises(InputError, match="contents"):
        _ = Recording(roles="contents").counted


def test_sites_are_those_asked_for_or_the_models_own():
    model = lens("llama")
    assert Recording().chosen(model) == (model.default_site,)
    assert Recording(sites="gate").chosen(model) == ("gate",)
    assert Recording(sites=["gate", "q"]).chosen(model) == ("gate", "q")
    with pytest.raises(InputError, match="unknown site 'gates': did you mean 'gate'"):
        Recording(sites="gates").chosen(model)


def test_an_unknown_option_is_named_before_anything_runs(monkeypatch):
    model = lens("llama")
    prompts = build_prompts(toy_questions(2), model.tokenizer)
    monkeypatch.setattr(type(model), "_forward", None)
    with pytest.raises(InputError, match="unknown option 'role': did you mean 'roles'"):
        record_activations(model, prompts, progress=False, role="text")
    with pytest.raises(InputError, match="unknown site"):
        record_activations(model, prompts, progress=False, sites=["act", "acts"])


@pytest.mark.parametrize("magnitudes", [True, False])
def test_sums_are_recorded_where_asked_for(magnitudes):
    model = lens("llama")
    prompts = build_prompts(toy_questions(2), model.tokenizer)
    summary = record_activations(
        model, prompts, progress=False, sites=["gate", "q"], magnitudes=magnitudes
    ).summary()
    assert set(summary.counts) == {"gate", "q"}
    assert set(summary.sums) == set(summary.squares) == ({"gate", "q"} if magnitudes else set())
