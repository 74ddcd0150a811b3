"""cl.plan: what it adds up, what it says, and what it refuses."""

import pytest

import culture_lens as cl
from culture_lens.experiments.planning.asking import stand_in_ids
from culture_lens.experiments.planning.machines import DEVICES
from culture_lens.storage.finished import SHARD

COUNTS = cl.Counts(items=40, cultures=4)
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def planned(model=LLAMA, questions=COUNTS, **options):
    return cl.plan(model, questions, **{"device": "h100", **options})


@pytest.fixture(scope="module")
def base():
    return planned()


def test_stages_conditions_and_items(base):
    table = base.frame.set_index("stage")
    assert list(table.index) == ["record", "ablate"]
    assert table.loc["ablate", "conditions"] == 1 + 4 * (1 + 5)
    assert table["items"].sum() == 40
    assert table.loc["record", "shards"] == -(-table.loc["record", "items"] // SHARD)


def test_time_is_operations_over_the_rate(base):
    low, middle, high = (DEVICES["h100"].half * share for share in (0.55, 0.36, 0.20))
    for end, rate in (("", middle), ("_low", low), ("_high", high)):
        expected = base.operations / rate
        assert base.frame[f"seconds{end}"].sum() == pytest.approx(expected)


def test_operations_are_near_two_for_every_parameter_and_token(base):
    layers = 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    tokens = base.frame["tokens"].sum()
    assert 1 < base.operations / (2 * layers * tokens) < 1.1


@pytest.mark.parametrize("options", [{"gpus": 4}, {"gpus": 8, "gpus_per_worker": 2}])
def test_workers_share_the_work(base, options):
    assert planned(**options).hours == pytest.approx(base.hours / 4)


def test_a_given_rate_is_taken(base):
    given = planned(flops_per_second=1e12)
    assert given.hours == pytest.approx(base.operations / 1e12 / 3600)
    slower = planned(flops_per_second=1e12, seconds_per_forward=1.0)
    assert slower.hours > given.hours


def test_what_is_done_around_forwards_is_added_by_hand(base):
    """20 items identify and 20 evaluate, under 25 conditions; no pictures."""
    rate = {"flops_per_second": 1e12}
    beside = {"seconds_per_prompt": 0.5, "seconds_per_picture": 9.0, "seconds_per_answer": 0.1}
    bare, whole = planned(**rate).frame, planned(**rate, **beside, workers=2).frame
    for end, scale in (("", 1), ("_low", 1 / 1.3), ("_high", 1.3)):
        seconds = f"seconds{end}"
        added = (2 * whole[seconds] - bare[seconds]).tolist()
        assert added == pytest.approx([scale * 0.5 * 20, scale * (0.5 * 20 + 0.1 * 20 * 25)])


def test_items_stand_for_more_than_are_at_hand(base):
    more = planned(items=400)
    assert more.operations == pytest.approx(10 * base.operations, rel=1e-3)
    assert more.frame["peak"].tolist() == base.frame["peak"].tolist()


@pytest.mark.slow
def test_more_items_than_are_looked_at_count_in_proportion():
    few, many = (planned(questions=cl.Counts(items=n, cultures=4)) for n in (1024, 10_240))
    assert many.operations == pytest.approx(10 * few.operations, rel=0.02)


def test_layers_below_the_first_ablated_neuron_run_once(base):
    deep = planned(first_layer=16)
    ratio = deep.frame["operations"][1] / base.frame["operations"][1]
    assert 0.5 < ratio < 0.6  # half of the layers, 25 conditions, and the head always


@pytest.mark.slow
def test_what_does_not_fit_says_how_many_gpus():
    large = planned("google/gemma-3-27b-it", device="l4")
    assert not large.fits and "does not fit" in large.advice()
    assert large.gpus_needed == -(-large.peak // (0.9 * 24e9))
    enough = planned("google/gemma-3-27b-it", device="l4", gpus=8,
                     gpus_per_worker=int(large.gpus_needed))  # fmt: skip
    assert enough.fits


def test_price_is_for_every_gpu(base):
    assert base.cost is None
    four = planned(gpus=4, price=2.0)
    assert four.cost == pytest.approx(four.hours * 4 * 2)
    assert "at the price given" in repr(four)


@pytest.mark.slow
def test_dtype_is_what_the_model_would_be_loaded_in(base):
    assert base.metadata["dtype"] == "bfloat16"
    assert planned(device="cpu").metadata["dtype"] == "float32"
    assert planned(dtype="float32").frame["weights"][0] == 2 * base.frame["weights"][0]


@pytest.mark.slow
def test_selectors_that_read_the_same_share_a_pass(base):
    both = planned(method=["conact", "lape", "culnig-specific"])
    assert both.frame["stage"].tolist() == ["record", "task", "control", "CountryRC", "ablate"]
    assert both.frame["operations"][0] == base.frame["operations"][0]


def test_written_answers_take_a_forward_for_every_token():
    written = planned(method=None, scoring="generation", new_tokens=8, conditions=1)
    shorter = planned(method=None, scoring="generation", new_tokens=1, conditions=1)
    more = written.frame["tokens"][0] - shorter.frame["tokens"][0]
    assert written.frame["stage"].tolist() == ["write"]
    assert more == 7 * written.frame["items"][0]
    assert written.hours > shorter.hours


@pytest.mark.slow
def test_pictures_go_through_the_tower_once_for_all_conditions():
    """Four questions on two pictures of 2,340 tokens, each of which is run once for its two."""
    counts = cl.Counts(items=8, cultures=2, picture=(640, 480), per_picture=2)
    fast = {"flops_per_second": 1e30, "seconds_per_picture": 9.0}
    one, many = (
        planned("llava-hf/llava-v1.6-mistral-7b-hf", counts, method=None, conditions=n, **fast)
        for n in (1, 11)
    )
    assert many.operations < 11 * one.operations
    assert 2340 / 2 < one.frame["tokens"][0] / one.frame["items"][0] < 2340
    assert many.hours * 3600 == pytest.approx(18)


def test_a_plan_is_saved_and_read(base, tmp_path):
    again = cl.Plan.from_parquet(base.to_parquet(tmp_path / "plan.parquet"))
    assert again.hours == base.hours and again.advice() == base.advice()


def test_a_stand_in_keeps_equal_beginnings():
    one, other = stand_in_ids("Which food is eaten in Japan?"), stand_in_ids("Which food is it?")
    # "Which food i" is three tokens of four bytes.
    assert len(one) == 8 and one[:3] == other[:3] and one[3] != other[3]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "h101"}, "did you mean 'h100'"),
        ({"method": "conac"}, "conact"),
        ({"scoring": "leter"}, "letter"),
        ({"gpus_per_worker": 2}, "gpus_per_worker=2"),
        ({"first_layer": 32}, "32 layers"),
        ({"price": -1.0}, "price"),
        ({"flops_per_second": 0.0}, "above 0"),
        ({"method": None, "conditions": 0}, "nothing to plan"),
        ({"path": "integrate"}, "integrated"),
        ({"dtype": "int8"}, "dtype"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_means_nothing_is_refused(options, said):
    with pytest.raises(cl.InputError, match=said):
        planned(**options)


@pytest.mark.parametrize("numbers", [{"items": 0}, {"cultures": 300}, {"tokens": 30}])
def test_counts_that_mean_nothing_are_refused(numbers):
    with pytest.raises(cl.InputError):
        cl.Counts(**{"items": 40, "cultures": 4, **numbers})


def test_text_models_take_no_pictures():
    with pytest.raises(cl.InputError, match="reads text only"):
        planned(questions=cl.Counts(items=40, cultures=2, picture=(640, 480)))


def test_a_folder_without_a_configuration_is_refused(tmp_path):
    with pytest.raises(cl.InputError, match=r"no config\.json"):
        planned(str(tmp_path))
