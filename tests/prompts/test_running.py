"""Running options: flat keywords and record have the same fields; bad ones are named."""

from dataclasses import FrozenInstanceError, dataclass, fields

import jaxtyping
import pytest

from culture_lens.errors import InputError
from culture_lens.prompts.running import BATCH_SIZE, Running, RunningOptions, read_options
from culture_lens.storage.runs import Run


def test_keywords_and_record_have_the_same_fields():
    assert [field.name for field in fields(Running)] == list(RunningOptions.__annotations__)
    # every keyword may be left out
    assert RunningOptions.__required_keys__ == frozenset()
    by_name = {field.name: field.type for field in fields(Running)}
    for name, annotation in RunningOptions.__annotations__.items():
        assert getattr(annotation, "__forward_arg__", annotation) == by_name[name]


def test_the_record_takes_what_is_given_and_defaults_for_the_rest():
    assert Running.of({}) == Running()
    given = Running.of({"batch_size": 3, "progress": False})
    assert given == Running(batch_size=3, progress=False) and given.too_long == "error"


def test_the_record_is_frozen():
    with pytest.raises(FrozenInstanceError):
        Running().batch_size = 3


def test_an_unknown_option_is_named_with_the_nearest():
    with pytest.raises(InputError, match="unknown option 'batchsize': did you mean 'batch_size'"):
        Running.of({"batchsize": 3})
    with pytest.raises(
        InputError, match="Known: batch_size, engine, progress, run, speed, too_long"
    ):
        Running.of({"zzz": 1})


@pytest.mark.parametrize("size", [0, -1])
def test_batch_sizes_below_one_are_refused(size):
    with pytest.raises(InputError, match=f"batch_size must be at least 1, not {size}"):
        Running.of({"batch_size": size})
    assert Running.of({"batch_size": 1}).rows() == 1


@pytest.fixture
def unchecked():
    """As for users: without the type checks of these tests, which refuse the value themselves."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_an_unknown_way_to_treat_long_prompts_is_refused(unchecked):
    with pytest.raises(InputError, match="too_long='cut': use one of error, skip, truncate"):
        Running.of({"too_long": "cut"})


def test_the_batch_size_of_a_stage_is_its_default_only():
    assert Running().rows() == BATCH_SIZE and Running().rows(8) == 8
    assert Running(batch_size=3).rows(8) == 3


def test_the_run_folder_is_made_where_there_is_none(tmp_path):
    assert Running().folder is None
    folder = Running(run=tmp_path / "new").folder
    assert folder == Run(tmp_path / "new") and folder.path.is_dir()
    assert Running(run=folder).folder is folder


@dataclass(frozen=True)
class Drawing:
    colour: str = "red"
    width: int = 1


def test_options_go_to_the_record_that_has_them():
    drawing, running = read_options({"colour": "blue", "batch_size": 2}, Drawing, Running)
    assert drawing == Drawing("blue") and running == Running(batch_size=2)
    with pytest.raises(InputError, match="unknown option 'color': did you mean 'colour'"):
        read_options({"color": "blue"}, Drawing, Running)
