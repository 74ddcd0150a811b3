"""A plan's operations are those of the package's own runs, which torch counts."""

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import culture_lens as cl
from culture_lens.attribution.paths import Path
from culture_lens.experiments.planning.asking import Asking
from culture_lens.experiments.planning.experiment import Experiment
from culture_lens.experiments.planning.operations import (
    backward_operations,
    forward_operations,
)
from culture_lens.experiments.planning.passes import batch_pass
from culture_lens.experiments.planning.shape import shape_of
from culture_lens.experiments.planning.stages import Stages, passes_of
from culture_lens.prompts.running import Running
from culture_lens.prompts.speed import Speed
from tests.helpers import t5
from tests.helpers.lm import lens
from tests.helpers.neurons import found_set
from tests.helpers.questions import toy_questions

QUIET = {"progress": False, "batch_size": 3}


def counted(run):
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        run()
    return counter.get_total_flops()


def stages(model, scoring="option_likelihood", **running):
    shape = shape_of("tiny", model.bridge.original_model.config)
    asking = Asking(shape, model.processor)
    experiment = Experiment(random_seeds=1)
    return Stages(asking, experiment, scoring, Running(**QUIET, **running), on_gpu=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:these neurons do not say")
@pytest.mark.parametrize(("scoring", "trees"), [("option_likelihood", True), ("letter", False)])
def test_an_ablation_matrix(scoring, trees):
    """Trees or batches, letters or options, masks that begin in layer 0."""
    model, speed = lens("llama"), Speed(trees=trees)
    asked, found = toy_questions(1), found_set()

    def run():
        options = {"random_seeds": 0, "scoring": scoring, "seen": True, "speed": speed}
        cl.ablation_matrix(model, found, asked, **options, **QUIET)

    conditions = 1 + len(found)
    stage = stages(model, scoring, speed=speed).answer(asked, "ablate", conditions)
    assert counted(run) == stage.operations
    assert stage.items == len(asked) and stage.conditions == conditions


@pytest.mark.parametrize("make", [lambda: lens("llama"), lambda: t5.lens("flan")])
def test_a_recording(make):
    model, asked = make(), toy_questions(2, ("Japan", "France"))
    stage = stages(model).record(asked)
    operations = counted(lambda: cl.summarise(model, asked, **QUIET))
    # Of an encoder-decoder the encoder's neurons alone are recorded, and the head is always read.
    assert operations == pytest.approx(stage.operations, rel=0.02)
    if stage.counted.encoder_tokens == 0:
        assert operations == stage.operations


@pytest.mark.slow
@pytest.mark.parametrize("scoring", ["letter", "option_likelihood"])
def test_an_attribution(scoring):
    """Gradients end at the first layer's q, k and v, whose inputs' gradients are not needed."""
    model, asked = lens("llama"), toy_questions(1)
    stage = stages(model, scoring).attribution(asked)
    operations = counted(lambda: cl.attribute(model, asked, scoring=scoring, **QUIET))
    shape = stages(model).asking.shape
    not_needed = 2 * (32 * 32 + 2 * 32 * 16) * stage.counted.tokens / 2
    assert operations == pytest.approx(stage.operations - not_needed, rel=0.02)
    assert operations <= stage.operations <= 1.1 * operations
    assert shape.decoder.layers == 3  # of more layers the difference is less


def test_passes_of_a_path_by_hand():
    """Six points, three layers: the end of each, and the unmodified model once."""
    assert passes_of(Path("integrated_layerwise", 6), 3) == (3 * 7 + 1, 12)
    assert passes_of(Path("inputs", 4), 3) == (5, 4)


def test_options_run_behind_their_prompts_and_not_with_them():
    model = lens("llama")
    makes = stages(model)
    prompts = makes.asking.prompts(toy_questions(1), "cloze")[:1]
    whole = batch_pass(makes.asking.shape, prompts, 1, share=False, options=True)
    behind = [len(option) - 1 for option in prompts[0].continuations if len(option) > 1]
    assert whole.tokens == len(prompts[0].ids) + sum(behind)
    assert forward_operations(makes.asking.shape, whole) < backward_operations(
        makes.asking.shape, whole
    )
