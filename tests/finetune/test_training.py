"""What is not chosen is bit-identical after training, what is chosen has moved: everywhere."""

import pytest
import torch

import culture_lens as cl
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.finetune import finetune, plain_copy
from culture_lens.finetune.examples import (
    answer_loss,
    as_questions,
    last_logits,
    make_examples,
    to_batch,
)
from culture_lens.finetune.masks import language_parameters
from culture_lens.finetune.modules import RankedModule
from culture_lens.finetune.projections import projections_of, transposed
from culture_lens.neurons.neurons import Neurons
from culture_lens.questions.question import PromptFormat, Question
from tests.conftest import toy_questions
from tests.helpers.finetune import (
    ENCODER_DECODERS,
    FAST,
    TEXT,
    VLMS,
    bits,
    of,
    weights,
)
from tests.helpers.vlm import pictured_questions

pytestmark = pytest.mark.filterwarnings("ignore::culture_lens.errors.CultureLensWarning")


def questions_for(name):
    if name.startswith("vlm-"):
        return pictured_questions()[:6]
    return toy_questions()[:8]


def three_modules(model):
    """A gate and a q of the middle layer and a v of another: single outputs of fused modules."""
    places = projections_of(model, plain_copy(model))
    stem = "encoder." if ("encoder.gate", 1) in places else ""
    wanted = [(f"{stem}gate", 1), (f"{stem}q", 1), (f"{stem}v", 0)]
    return [RankedModule(places[place], 1, places[place].width) for place in wanted]


def may_change(plain, modules):
    """Independent of the masks: for each parameter, the entries inside the chosen projections."""
    inside = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in plain.named_parameters()}
    for module in modules:
        place = module.projection
        for leaf in ("weight", "bias"):
            name = f"{place.path}.{leaf}"
            if name in inside:
                along_columns = leaf == "weight" and transposed(plain.get_submodule(place.path))
                target = inside[name].t() if along_columns else inside[name]
                target[place.start : place.stop] = True
    return inside


def check_only_inside_moved(before, after, inside, every=True):
    moved = 0
    for name, mask in inside.items():
        outside = ~mask
        assert torch.equal(bits(before[name])[outside], bits(after[name])[outside]), name
        moved += int((before[name] != after[name])[mask].sum())
        if every and mask.any():
            assert (before[name] != after[name])[mask].any(), name
    return moved


@pytest.mark.parametrize("name", [*TEXT, *(f"vlm-{v}" for v in VLMS), *ENCODER_DECODERS])
def test_outside_the_modules_nothing_changes_and_inside_it_does(name):
    model = of(name)
    modules = three_modules(model)
    before = weights(plain_copy(model))
    tuned = finetune(model, questions_for(name), modules, **FAST)
    after_plain = plain_copy(tuned.model)
    inside = may_change(after_plain, modules)
    moved = check_only_inside_moved(before, weights(after_plain), inside, every=False)
    n = sum(module.projection.parameters for module in modules)
    assert tuned.result["trained_parameters"] == n == sum(int(m.sum()) for m in inside.values())
    # Keys' and ReLU's own: what gets no gradient at all does not move; most does.
    assert moved > 0.5 * n
    for module in modules:
        path = f"{module.projection.path}.weight"
        assert (before[path] != after_plain.get_parameter(path))[inside[path]].any(), path
    assert all(torch.equal(before[k], v) for k, v in weights(plain_copy(model)).items())


@pytest.mark.parametrize("name", [*TEXT, "vlm-llava"])
def test_lora_changes_the_chosen_modules_only(name):
    model = of(name)
    modules = three_modules(model)
    before = weights(plain_copy(model))
    tuned = finetune(model, questions_for(name), modules, lora_rank=2, **FAST)
    after_plain = plain_copy(tuned.model)
    after = weights(after_plain)
    assert before.keys() == after.keys()
    inside = may_change(after_plain, modules)
    for module in modules:  # LoRA has no bias
        inside.pop(f"{module.projection.path}.bias", None)
    check_only_inside_moved(before, after, inside)
    change = (
        after[modules[0].projection.path + ".weight"]
        - before[modules[0].projection.path + ".weight"]
    )
    assert torch.linalg.matrix_rank(change, tol=1e-5) == 2


@pytest.mark.parametrize("name", ["llama", "phi3", "gpt2", "vlm-llava"])
@pytest.mark.parametrize("way", ["protect", "only"])
def test_single_neurons(name, way):
    """Against masks written out here, by the rows and columns of plain transformers' weights."""
    model = of(name)
    neurons = Neurons.of({"act": [(1, 2), (0, 7)], "q": [(1, 5)], "v": [(2, 3)]})
    before = weights(plain_copy(model))
    tuned = finetune(model, questions_for(name), **{way: neurons}, **FAST)
    plain = plain_copy(tuned.model)
    own = {n: torch.zeros_like(p, dtype=torch.bool) for n, p in plain.named_parameters()}
    stem = {"gpt2": "transformer.h", "vlm-llava": "model.language_model.layers"}
    stem = stem.get(name, "model.layers")
    for layer, index in ((1, 2), (0, 7)):
        if name == "gpt2":
            own[f"{stem}.{layer}.mlp.c_fc.weight"][:, index] = True
            own[f"{stem}.{layer}.mlp.c_fc.bias"][index] = True
            own[f"{stem}.{layer}.mlp.c_proj.weight"][index] = True
        elif name == "phi3":
            own[f"{stem}.{layer}.mlp.gate_up_proj.weight"][[index, 48 + index]] = True
            own[f"{stem}.{layer}.mlp.down_proj.weight"][:, index] = True
        else:
            own[f"{stem}.{layer}.mlp.gate_proj.weight"][index] = True
            own[f"{stem}.{layer}.mlp.up_proj.weight"][index] = True
            own[f"{stem}.{layer}.mlp.down_proj.weight"][:, index] = True
    if name == "gpt2":
        for layer, column in ((1, 5), (2, 64 + 3)):
            own[f"{stem}.{layer}.attn.c_attn.weight"][:, column] = True
            own[f"{stem}.{layer}.attn.c_attn.bias"][column] = True
    elif name == "phi3":
        own[f"{stem}.1.self_attn.qkv_proj.weight"][5] = True
        own[f"{stem}.2.self_attn.qkv_proj.weight"][32 + 16 + 3] = True
    else:
        own[f"{stem}.1.self_attn.q_proj.weight"][5] = True
        own[f"{stem}.2.self_attn.v_proj.weight"][3] = True
    language = language_parameters(plain)
    if way == "protect":
        own = {n: ~mask if n in language else torch.zeros_like(mask) for n, mask in own.items()}
    moved = check_only_inside_moved(before, weights(plain), own, every=False)
    total = sum(int(mask.sum()) for mask in own.values())
    assert tuned.result["trained_parameters"] == total
    assert moved > 0.3 * total


def test_all_trains_the_language_model_and_leaves_the_tower():
    model = of("vlm-llava")
    before = weights(plain_copy(model))
    tuned = finetune(model, questions_for("vlm-llava"), **FAST)
    after = weights(plain_copy(tuned.model))
    for name, was in before.items():
        same = torch.equal(was, after[name])
        assert same == ("vision_tower" in name or "projector" in name), name


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3", "vlm-llava", "vlm-qwen2_5_vl", "flan"])
@pytest.mark.parametrize("scoring", ["letter", "option_likelihood_sum"])
def test_the_loss_is_the_log_probability_of_the_answer(name, scoring):
    """By the model's own scoring, which runs the bridge with hooks, caches and other batches."""
    model = of(name)
    questions = questions_for(name)
    examples = make_examples(model, questions, scoring, progress=False)
    batch = to_batch(examples, model.pad_id)
    plain = plain_copy(model)
    with torch.no_grad():
        logits = last_logits(model, plain, batch["batch"], batch["answers"].shape[1])
        loss = float(answer_loss(logits, batch["answers"]))
    frame = cl.evaluate(model, questions, scoring=scoring, progress=False).frame
    if scoring == "letter":
        expected = -torch.tensor(frame["p_gold"].tolist()).log().mean()
        assert all(len(example.answer) == 1 for example in examples)
    else:
        gold = [row.scores[row.gold] for row in frame.itertuples()]
        expected = -torch.tensor(gold).sum() / sum(len(e.answer) for e in examples)
        assert max(len(example.answer) for example in examples) > 1
    assert loss == pytest.approx(float(expected), rel=2e-4)


def test_padding_changes_no_gradient():
    model = of("gpt2")  # learned positions
    examples = make_examples(model, toy_questions(), "letter", progress=False)
    assert len({len(e.prompt.ids) for e in examples}) > 2

    def gradient(groups):
        plain = plain_copy(model)
        for group in groups:
            batch = to_batch(group, model.pad_id)
            logits = last_logits(model, plain, batch["batch"], 1)
            (answer_loss(logits, batch["answers"]) * len(group)).backward()
        return torch.cat([p.grad.flatten() for p in plain.parameters()])

    together, alone = gradient([examples]), gradient([[e] for e in examples])
    assert torch.isfinite(together).all()
    assert float((together - alone).abs().max() / alone.abs().max()) < 1e-5


def test_training_learns_the_answers():
    model = of("llama")
    questions = toy_questions()
    tuned = finetune(
        model, questions, scoring="letter", learning_rate=1e-2, epochs=20.0, progress=False
    )
    assert cl.evaluate(model, questions, scoring="letter", progress=False).accuracy().value < 0.5
    after = cl.evaluate(tuned.model, questions, scoring="letter", progress=False)
    assert after.accuracy().value == 1.0
    log = tuned.log()
    assert log["loss"].iloc[-1] < 0.1 < log["loss"].iloc[0]
    assert len(log) == tuned.result["steps"] == 20 * 2
    assert (log["learning_rate"] == 1e-2).all()  # constant


def test_kept_activations_move_less():
    model = of("llama")
    neurons = Neurons.of({"act": [(1, i) for i in range(10)], "q": [(2, 4)]})
    questions = toy_questions()

    def moved(**options):
        tuned = finetune(
            model, questions, scoring="letter", learning_rate=3e-3, epochs=6.0, progress=False,
            **options,
        )  # fmt: skip
        from culture_lens.finetune.activation_penalty import Keeper

        plain = plain_copy(tuned.model)
        keeper = Keeper(model, plain, projections_of(model, plain), neurons)
        batch = to_batch(make_examples(model, questions, "letter"), model.pad_id)["batch"]
        with torch.no_grad(), keeper.watching():
            last_logits(model, plain, batch, 1)
            return float(keeper.penalty(batch))

    free, held = moved(), moved(keep=neurons, keep_weight=30.0)
    elsewhere = moved(keep=neurons, keep_weight=30.0, keep_on=toy_questions(topics=1))
    assert held < 0.2 * free
    assert held < elsewhere < free


@pytest.mark.parametrize("name", ["phi3", "gpt2", "vlm-llava", "flan"])
def test_the_penalty_is_that_of_the_sites(name):
    """Nothing at the start; then one neuron's shift, squared, over neurons and tokens."""
    from culture_lens.finetune.activation_penalty import Keeper

    model = of(name)
    plain = plain_copy(model)
    places = projections_of(model, plain)
    stem = "encoder." if name == "flan" else ""
    neurons = Neurons.of({f"{stem}gate": [(0, 3)], f"{stem}v": [(1, 2)], f"{stem}act": [(0, 5)]})
    keeper = Keeper(model, plain, places, neurons)
    batch = to_batch(make_examples(model, questions_for(name), "letter"), model.pad_id)["batch"]
    with torch.no_grad(), keeper.watching():
        last_logits(model, plain, batch, 1)
        assert float(keeper.penalty(batch)) < 1e-8
    place = places[f"{stem}v", 1]
    module = plain.get_submodule(place.path)

    def shift(_module, _inputs, output):
        output[..., place.start + 2] += 0.5
        return output

    handle = module.register_forward_hook(shift)
    with torch.no_grad(), keeper.watching():
        last_logits(model, plain, batch, 1)
        assert float(keeper.penalty(batch)) == pytest.approx(0.25 / 3, rel=1e-3)
    handle.remove()


def test_global_random_states_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    finetune(of("llama"), toy_questions()[:4], three_modules(of("llama")), **FAST)
    assert torch.equal(torch.rand(3), expected)


def test_seeds():
    """GPT-2 has dropout, and the order of the questions is drawn too."""
    model = of("gpt2")
    runs = [finetune(model, toy_questions(), seed=s, **FAST) for s in (1, 1, 2)]
    one, two, other = (weights(plain_copy(run.model)) for run in runs)
    assert all(torch.equal(one[n], two[n]) for n in one)
    assert any(not torch.equal(one[n], other[n]) for n in one)


def test_tables_of_ones_own():
    rows = [
        {"question": "2 + 2?", "options": ["3", "4"], "answer": "B"},
        {"question": "1 + 2?", "options": ["3", "4"], "answer": "A"},
    ]
    tuned = finetune(of("llama"), rows, three_modules(of("llama")), **FAST)
    assert tuned.settings["questions"] == 2 and tuned.settings["task"] == "task"
    assert {q.culture for q in as_questions(rows)} == {"task"}


def test_bad_input():
    model = of("llama")
    modules = three_modules(model)
    asked = toy_questions()[:4]
    with pytest.raises(InputError, match="no questions"):
        finetune(model, [], modules, **FAST)
    with pytest.raises(InputError, match="answer"):
        finetune(model, [{"question": "a?", "options": ["x", "y"]}], modules, **FAST)
    with pytest.raises(InputError, match="row 2"):
        rows = [{"question": "a?", "options": ["x", "y"], "answer": a} for a in ("x", "")]
        finetune(model, rows, modules, **FAST)
    two_tokens = PromptFormat(labels="AÉ", layout="{question}\n{options}\n", label_form="bare")
    odd = [Question("1", "a", "b?", ("x", "y"), 1, prompt=two_tokens)]
    with pytest.raises(InputError, match="not one token"):
        finetune(model, odd, modules, **FAST)
    with pytest.raises(InputError, match="no module 'transformer"):
        finetune(model, asked, three_modules(of("gpt2")), **FAST)
    with pytest.raises(InputError, match="has no module"):  # wider than the model's own
        finetune(of("qwen3"), asked, modules, **FAST)
    with pytest.raises(InputError, match="at least one module"):
        finetune(model, asked, [], **FAST)
    with pytest.raises(InputError, match="or 'all'"):
        finetune(model, asked, "top", **FAST)
    with pytest.raises(InputError, match="nothing is left"):
        finetune(model, asked, modules, only=Neurons.of({"gate": [(0, 0)]}), **FAST)
    with pytest.raises(InputError, match="no neuron 48"):
        finetune(model, asked, protect=Neurons.of({"act": [(0, 48)]}), **FAST)
    with pytest.raises(InputError, match="layer 3"):
        finetune(model, asked, protect=Neurons.of({"act": [(3, 0)]}), **FAST)
    with pytest.raises(InputError, match="cannot be kept"):
        finetune(model, asked, keep=Neurons.of({"z": [(0, 0)]}), **FAST)
    with pytest.raises(InputError, match="whole modules"):
        finetune(model, asked, modules, lora_rank=2, only=Neurons.of({"act": [(0, 0)]}), **FAST)
    with pytest.raises(InputError, match="lora_rank=0"):
        finetune(model, asked, modules, lora_rank=0, **FAST)
    for option in ({"learning_rate": 0.0}, {"epochs": -1.0}, {"accumulate": 0}, {"keep_weight": -1.0, "keep": Neurons.of({"act": [(0, 0)]})}):  # fmt: skip  # noqa: E501
        with pytest.raises(InputError, match=next(iter(option))):
            finetune(model, asked, modules, **{**FAST, **option})
    with pytest.raises(InputError, match="needs folder"):
        finetune(model, asked, modules, save_every=1, **FAST)
    with pytest.raises(InputError, match="keep="):
        finetune(model, asked, modules, keep_on=asked, **FAST)


def test_lora_without_peft_names_the_install_command(monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "peft" else find(name, *a)
    )
    with pytest.raises(InputError, match=r"pip install 'culture-lens\[finetune\]'"):
        finetune(of("llama"), toy_questions()[:4], lora_rank=2, **FAST)


def test_coarse_weights_are_warned_of():
    from tests.conftest import lens

    with pytest.warns(CultureLensWarning, match="rounded away"):
        finetune(lens("llama", torch.bfloat16), toy_questions()[:2], **{**FAST, "max_steps": 1})


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32():
    options = {**FAST, "max_steps": 6, "learning_rate": 1e-3}
    exact, coarse = (
        finetune(of("llama"), toy_questions(), mixed_precision=mixed, **options)
        for mixed in (False, True)
    )
    assert all(w.dtype == torch.float32 for w in weights(plain_copy(coarse.model)).values())
    first, last = coarse.result["first_loss"], coarse.result["last_loss"]
    assert first != exact.result["first_loss"]  # computed otherwise
    assert first == pytest.approx(exact.result["first_loss"], rel=0.01)
    assert last == pytest.approx(exact.result["last_loss"], rel=0.02) and last < first
