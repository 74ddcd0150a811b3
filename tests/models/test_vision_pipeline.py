"""The whole way with pictures: each picture seen once, nothing stale, nothing dropped unsaid."""

import functools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from culture_lens.attribution.culnig import culnig_scores
from culture_lens.attribution.gradients import attribute
from culture_lens.benchmarks import load_benchmark
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.predicted_matrix import predicted_ablation_matrix
from culture_lens.find import find_culture_neurons, summarise
from culture_lens.interventions.hooks import ablated
from culture_lens.models.load import load_model
from culture_lens.models.vision import groups_of_pictures
from culture_lens.neurons.neuron_set import Neurons, NeuronSet
from culture_lens.prompts.batches import build_prompts, collate
from culture_lens.prompts.prompt import Role
from culture_lens.questions.question import Question
from culture_lens.questions.splits import split_questions
from culture_lens.report.page import build_report
from culture_lens.selectors import select
from culture_lens.storage.runs import Run
from tests.helpers.places import DATA
from tests.helpers.reference_vlm import vlm_logits
from tests.helpers.tiny import N_LAYERS
from tests.helpers.tiny_vlm import VLM_ARCHITECTURES, picture, tiny_processor
from tests.helpers.vlm import (
    SIZES,
    bare,
    fresh,
    lens,
    native,
    pictured_questions,
    prompts_of,
    raw,
    relative,
)

FOLDER = DATA / "k_viscuit"
real = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"K-Viscuit is not at {FOLDER} (set CULTURE_LENS_DATA)"
)
quiet = pytest.mark.filterwarnings("ignore::culture_lens.errors.CultureLensWarning")
each_architecture = pytest.mark.parametrize("architecture", VLM_ARCHITECTURES)
QUIET = {"progress": False}


def counted(architecture, **options):
    """A model of one's own, and a list that grows with every run of its raw vision tower."""
    hf = bare(architecture)
    name = "visual" if hasattr(hf.model, "visual") else "vision_tower"
    tower = getattr(hf.model, name if hasattr(hf.model, name) else "vision_model")
    runs = []
    tower.register_forward_hook(lambda *_: runs.append(1))
    model = load_model(
        f"tiny-{architecture}", hf_model=hf, processor=tiny_processor(architecture), **options
    )
    runs.clear()
    return model, runs


def pictures_of(questions):
    return {question.image.key for question in questions if question.image is not None}


def by_hand(model):
    """Neurons of one culture, identified on no question."""
    neurons = {"Japan": Neurons.of({"act": [(0, 1), (1, 5)], "v": [(1, 2)]})}
    return NeuronSet(neurons, {site: (N_LAYERS, model.widths[site]) for site in ("act", "v")})


def same_records(one, other):
    """All but the last digits of float32."""
    columns = [name for name in one if name not in ("scores", "p_gold")]
    pd.testing.assert_frame_equal(one[columns], other[columns])
    for name in ("scores", "p_gold"):
        found, expected = (np.vstack(frame[name].tolist()) for frame in (one, other))
        assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


OPTIONS = {"random_seeds": 2, "scoring": "letter_options", **QUIET}


@functools.cache
def whole_matrix(architecture):
    """No mask, one of a culture and two random ones, every picture's features in memory."""
    model = lens(architecture)
    return ablation_matrix(model, by_hand(model), pictured_questions(), **OPTIONS)


# ------------------------------------------------------------------ once per picture


@each_architecture
def test_each_picture_goes_through_the_tower_once(architecture):
    """Under every mask and seed, in every later call, with several questions on a picture."""
    questions = pictured_questions()
    model, runs = counted(architecture)
    found = by_hand(model)
    matrix = ablation_matrix(model, found, questions, batch_size=9, **OPTIONS)
    same_records(matrix.frame, whole_matrix(architecture).frame)
    assert len(runs) == model.vision.runs == len(pictures_of(questions)) == 5
    masks = matrix.frame.groupby(["kind", "mask", "seed"])
    assert masks.ngroups == 1 + 1 + 2 and set(masks.size()) == {16}
    summarise(model, questions, **QUIET)
    attribute(model, questions[:5], sites="gate", **QUIET)
    assert len(runs) == model.vision.runs == 5


@each_architecture
def test_with_memory_for_one_picture_the_matrix_is_the_same(architecture):
    """One picture is looked at under all masks before the next one is."""
    questions = pictured_questions()
    plain = lens(architecture)
    prompts = prompts_of(architecture, questions)
    tokens = max(sum(role == Role.IMAGE for role in prompt.roles) for prompt in prompts)
    model, runs = counted(architecture, image_memory=tokens * plain.vision.bytes_per_token)
    groups = groups_of_pictures(prompts, model.vision)
    assert all(len(pictures_of(prompt.question for prompt in group)) <= 1 for group in groups)
    for batch_size in (16, 2) if architecture == "qwen2_5_vl" else (16,):
        model.vision.forget()
        before = len(runs)
        matrix = ablation_matrix(model, by_hand(model), questions, batch_size=batch_size, **OPTIONS)
        assert len(runs) - before == len(pictures_of(questions))
        assert model.vision.runs == len(runs)
        same_records(matrix.frame, whole_matrix(architecture).frame)


def test_no_memory_at_all_changes_no_result():
    questions = pictured_questions()
    expected = evaluate(lens("qwen2_5_vl"), questions, **QUIET)
    model, runs = counted("qwen2_5_vl", image_memory=0)
    found = evaluate(model, questions, batch_size=2, **QUIET)
    same_records(found.frame, expected.frame)
    assert len(runs) == model.vision.runs >= len(pictures_of(questions))
    scores = attribute(model, questions[:6], sites="v", **QUIET)
    its = attribute(lens("qwen2_5_vl"), questions[:6], sites="v", **QUIET)
    assert relative(scores.scores["v"], its.scores["v"]) < 1e-5


def test_the_oldest_features_go_first():
    questions = pictured_questions()
    images = [question.image for question in questions[:4]]
    sizes = {len(lens("llava").vision.features(image)) for image in images}
    assert sizes == {16}
    model = fresh("llava", image_memory=2 * 16 * lens("llava").vision.bytes_per_token)
    for number, runs in ((0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (1, 4), (2, 5), (1, 5), (0, 6)):
        model.vision.features(images[number])
        assert model.vision.runs == runs


def test_groups_keep_a_picture_together_and_drop_nothing():
    questions = pictured_questions()
    prompts = prompts_of("llava_next_mistral", questions)
    vision = fresh("llava_next_mistral").vision
    for memory in (0, 1, 5_000, 10**9):
        vision.memory = memory
        groups = groups_of_pictures(prompts, vision)
        ids = [prompt.question.id for group in groups for prompt in group]
        assert sorted(ids) == sorted(question.id for question in questions)
        keys = [pictures_of(prompt.question for prompt in group) for group in groups]
        assert sum(len(some) for some in keys) == len(pictures_of(questions))
    assert len(groups) == 1
    assert groups_of_pictures(prompts, None) == [prompts]


def test_the_same_file_under_two_names_is_one_picture(tmp_path):
    """Pictures are told by their content, not by their path."""
    for name in ("a.png", "b.png"):
        picture(3, 40, 40).save(tmp_path / name)
    picture(4, 40, 40).save(tmp_path / "c.png")
    questions = [
        Question(name, "Japan", "What is it?", ("tea", "milk"), 0, image=tmp_path / f"{name}.png")
        for name in "abc"
    ]
    model, runs = counted("gemma3")
    found = evaluate(model, questions, **QUIET)
    assert len(runs) == model.vision.runs == 2
    scores = found.frame["scores"].tolist()
    assert np.allclose(scores[0], scores[1], rtol=1e-4) and not np.allclose(scores[0], scores[2])


# ------------------------------------------------------------------ run folders


def test_a_repeated_run_needs_no_forward_pass(tmp_path, monkeypatch):
    questions = pictured_questions()
    model, runs = counted("smolvlm")
    folder = tmp_path / "run"

    def whole():
        found = find_culture_neurons(model, questions, run=folder, share=0.05, **QUIET)
        matrix = ablation_matrix(model, found, questions, random_seeds=2, run=folder, **QUIET)
        attribute(model, questions[:8], sites="gate", run=folder, **QUIET)
        return found, matrix

    found, matrix = whole()
    forwards = []
    model.vision.forget()
    before = len(runs)
    model.bridge.original_model.register_forward_pre_hook(lambda *_: forwards.append(1))
    monkeypatch.setattr(type(model), "_forward", lambda *_, **__: forwards.append(1))
    again, repeated = whole()
    assert forwards == [] and len(runs) == before == model.vision.runs
    assert all(again[culture] == found[culture] for culture in found)
    same_records(repeated.frame, matrix.frame)


def test_an_interrupted_matrix_goes_on(tmp_path, monkeypatch):
    questions = pictured_questions()
    model, runs = counted("idefics3")
    found = by_hand(model)
    original, done = type(model).begin, []

    def fails(self, batch):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        return original(self, batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(model), "begin", fails)
        ablation_matrix(model, found, questions, run=tmp_path, **OPTIONS)
    assert len(list(Path(tmp_path, "pieces").iterdir())) == 3
    matrix = ablation_matrix(model, found, questions, run=tmp_path, **OPTIONS)
    same_records(matrix.frame, whole_matrix("idefics3").frame)
    assert len(list(Path(tmp_path, "pieces").iterdir())) == 4
    assert len(runs) == 5


def test_a_changed_picture_is_not_answered_from_the_old_record(tmp_path):
    """The picture's content counts, though question, path and size are the same."""
    path = tmp_path / "photo.png"

    def asked():
        return [
            Question(f"q{n}", culture, "What is it?", ("tea", "milk"), 0, image=path)
            for n, culture in enumerate(("Japan", "Japan", "Peru", "Peru"))
        ]

    model = fresh("llava_onevision")
    answers, counts, scores = [], [], []
    for seed in (1, 2, 1):
        picture(seed, 40, 40).save(path)
        options = {"run": tmp_path / "run", **QUIET}
        found = evaluate(model, asked(), **options)
        answers.append(found.frame["scores"].map(tuple).tolist())
        summary = summarise(model, asked(), sites="act", **options)
        counts.append(summary.counts["act"])
        scores.append(attribute(model, asked(), sites="gate", **options).scores["gate"])
        fresh_answers = evaluate(model, asked(), **QUIET).frame["scores"].map(tuple).tolist()
        assert np.allclose(answers[-1], fresh_answers)
    assert not np.allclose(answers[0], answers[1]) and answers[0] == answers[2]
    assert not torch.equal(counts[0], counts[1]) and torch.equal(counts[0], counts[2])
    assert relative(scores[1], scores[0]) > 1e-3 and torch.equal(scores[0], scores[2])
    assert model.vision.runs == 2


def test_other_settings_of_the_processor_are_another_run(tmp_path):
    questions = pictured_questions()[:4]
    evaluate(fresh("llava"), questions, run=tmp_path, **QUIET)
    processor = tiny_processor("llava")
    processor.image_processor.image_mean = [0.1, 0.2, 0.3]
    model = load_model("tiny-llava", hf_model=bare("llava"), processor=processor)
    found = evaluate(model, questions, run=tmp_path, **QUIET)
    expected = evaluate(model, questions, **QUIET)
    same_records(found.frame, expected.frame)


def test_a_hook_in_the_tower_and_a_run_folder_do_not_go_together(tmp_path):
    model = fresh("llava")
    hook = next(n for n in model.bridge.hook_dict if n.endswith(".0.mlp.hook_out"))

    def triple(activation, hook):
        return 3 * activation

    assert hook.startswith("vision")
    with model.hooks([(hook, triple)]), pytest.raises(InputError, match="hooks are attached"):
        evaluate(model, pictured_questions(), run=tmp_path, **QUIET)


# ------------------------------------------------------------------ every method


@pytest.mark.parametrize("method", ["conact", "lape", "mad", "lap"])
def test_from_questions_to_the_report(method, tmp_path):
    architecture = {"conact": "idefics3", "lape": "llava_onevision", "mad": "llava"}.get(
        method, "gemma3"
    )
    model, questions = lens(architecture), pictured_questions()
    run = Run.open(tmp_path)
    found = find_culture_neurons(model, questions, method=method, share=0.05, **QUIET)
    assert found.cultures == tuple(sorted(SIZES)) and sum(len(found[c]) for c in found) > 0
    matrix = ablation_matrix(model, found, questions, random_seeds=1, scoring="letter", **QUIET)
    assert len(matrix.frame) == 8 * (1 + 4 + 4)
    predicted = predicted_ablation_matrix(model, found, questions, **QUIET)
    assert predicted.table().shape == (4, 4) and len(predicted.frame) == 4 * 8
    found.save(run.named("neurons", method, ".safetensors"))
    matrix.to_parquet(run.named("matrix", method, ".parquet"))
    page = build_report(run).read_text()
    assert method in page and "Ethiopia" in page and "plotly" in page


@quiet
def test_culnig_with_pictures(tmp_path):
    questions = pictured_questions()
    model = lens("qwen2_5_vl")
    options = {"countries": ["Japan", "Ethiopia"], "per_culture": 2}
    found = find_culture_neurons(
        model,
        questions,
        method="culnig_specific",
        share=0.05,
        summary_options=options,
        run=tmp_path,
        **QUIET,
    )
    assert all(len(found[culture]) > 0 for culture in ("Japan", "Ethiopia"))
    matrix = ablation_matrix(model, found, questions, random_seeds=1, scoring="letter", **QUIET)
    assert len(matrix.frame) == 8 * (1 + 2 + 2)
    identify, _ = split_questions(questions)
    scores = culnig_scores(model, identify, run=tmp_path, **options, **QUIET)
    general = select(scores, "culnig_general", mlp_share=0.05, attention_share=0.05)
    assert len(general["general"]) > 0
    # the control has the same items, asked without picture and question
    assert set(scores.control.metadata["ids"]) == set(scores.task.metadata["ids"])
    assert relative(scores.control.scores["gate"], scores.task.scores["gate"].clamp(min=0)) > 0.01


def test_the_control_does_not_look_at_pictures():
    model, runs = counted("gemma3")
    attribute(model, pictured_questions(), sites="gate", control=True, **QUIET)
    assert runs == [] and model.vision.runs == 0


@quiet
def test_only_correct():
    model, asked = lens("llava"), pictured_questions()
    answered = evaluate(model, asked, **QUIET).frame["prediction"]
    questions = [  # the model is right about the first eleven
        replace(question, answer=(prediction + (number > 10)) % 4)
        for number, (question, prediction) in enumerate(zip(asked, answered, strict=True))
    ]
    summary = summarise(model, questions, only_correct=True, **QUIET)
    assert int(summary.items.sum()) == 11
    expected = summarise(model, questions[:11], **QUIET)
    assert torch.equal(summary.counts["act"], expected.counts["act"])


@pytest.mark.parametrize("roles", [(Role.IMAGE,), (Role.QUESTION, Role.OPTIONS)])
def test_roles_of_a_summary(roles):
    questions = pictured_questions()
    model = lens("idefics3")
    summary = summarise(model, questions, roles=roles, **QUIET)
    prompts = prompts_of("idefics3", questions)
    tokens = Counter()
    for prompt in prompts:
        tokens[prompt.question.culture] += sum(role in roles for role in prompt.roles)
    assert summary.tokens.tolist() == [tokens[culture] for culture in summary.cultures]
    found = select(summary, "lap", share=0.05)
    assert all(len(found[culture]) == int(0.05 * N_LAYERS * 48) for culture in found)


def test_image_tokens_only_where_a_culture_has_no_picture():
    questions = [
        replace(q, image=None) if q.culture == "Japan" else q for q in pictured_questions()
    ]
    with pytest.raises(InputError, match="no token of Japan has a role that counts"):
        summarise(lens("idefics3"), questions, roles=(Role.IMAGE,), **QUIET)


def test_questions_without_any_picture():
    """A vision-language model reads text as well, and its tower stays at rest."""
    model, runs = counted("qwen2_5_vl")
    questions = [replace(q, image=None) for q in pictured_questions()]
    found = find_culture_neurons(model, questions, share=0.05, **QUIET)
    matrix = ablation_matrix(model, found, questions, random_seeds=1, **QUIET)
    assert len(matrix.frame) == 8 * (1 + 4 + 4) and runs == [] and model.vision.runs == 0
    batch = collate(prompts_of("qwen2_5_vl", questions), model.pad_id)
    items = [native("qwen2_5_vl", question) for question in questions]
    expected = torch.stack([vlm_logits(raw("qwen2_5_vl"), item) for item in items])
    assert relative(model.logits(batch), expected) < 1e-5


# ------------------------------------------------------------------ prompts that are too long


def long_and_short():
    words = "people drink tea with milk in the morning and coffee in the evening " * 30
    short = pictured_questions()[:4]
    long = [replace(q, id=f"long/{q.id}", text=f"{words} {q.text}") for q in short[:2]]
    return short + long


@quiet
@each_architecture
def test_prompts_that_are_too_long(architecture):
    model, questions = lens(architecture), long_and_short()
    options = {"context": 300}
    with pytest.raises(InputError, match="2 of 6 prompts do not fit.*long/food"):
        build_prompts(questions, model.processor, **options)
    with pytest.warns(CultureLensWarning, match="2 of 6 prompts.*left out"):
        kept = build_prompts(questions, model.processor, too_long="skip", **options)
    assert [p.question.id for p in kept] == [q.id for q in questions[:4]]
    with pytest.warns(CultureLensWarning, match="truncated at the question's start"):
        cut = build_prompts(questions, model.processor, too_long="truncate", **options)
    whole = build_prompts(questions, model.processor)
    for short, long in zip(cut, whole, strict=True):
        assert len(short.ids) == min(len(long.ids), 300)
        kinds = [Counter(prompt.roles) for prompt in (short, long)]
        for role in (Role.IMAGE, Role.OPTIONS, Role.TEMPLATE):  # only the question gives way
            assert kinds[0][role] == kinds[1][role]
        assert short.ids[-20:] == long.ids[-20:]
        last = max(place for place, role in enumerate(long.roles) if role == Role.IMAGE) + 1
        assert short.ids[:last] == long.ids[:last]
    # and a truncated prompt can be asked
    found = evaluate(replace(model, context=300), questions, too_long="truncate", **QUIET)
    assert len(found.frame) == 6 and found.frame["p_gold"].notna().all()


@quiet
def test_a_picture_that_alone_is_too_long_is_never_cut():
    model = lens("llava_next_mistral")
    with pytest.raises(InputError, match="even without its question the prompt is longer"):
        build_prompts(pictured_questions()[:2], model.processor, context=60, too_long="truncate")
    with pytest.warns(CultureLensWarning, match="2 of 2.*left out"):
        assert not build_prompts(
            pictured_questions()[:2], model.processor, context=60, too_long="skip"
        )


def test_room_is_kept_for_the_options_of_a_cloze_prompt():
    model = lens("llava")
    questions = pictured_questions()[:4]
    prompts = build_prompts(questions, model.processor, style="cloze")
    need = max(len(p.ids) + p.longest_answer for p in prompts)
    build_prompts(questions, model.processor, style="cloze", context=need)
    with pytest.raises(InputError, match="do not fit"):
        build_prompts(questions, model.processor, style="cloze", context=need - 1)


# ------------------------------------------------------------------ photographs


@pytest.fixture(scope="module")
def photographs():
    """All pictures of K-Viscuit, by category, with up to two questions on each."""
    questions = load_benchmark("k_viscuit", FOLDER, grouping="category")
    kept, seen = [], Counter()
    for question in questions:
        seen[question.group] += 1
        if seen[question.group] <= 2:
            kept.append(question)
    assert 61 == len(seen) < len(kept)
    return kept


@real
@quiet
@each_architecture
def test_photographs(architecture, photographs):
    files = {path.name for path in (FOLDER / "images").iterdir()}
    assert {Path(question.image.name).name for question in photographs} == files
    model, runs = counted(architecture)
    prompts = build_prompts(photographs, model.processor, context=model.context)
    assert len(prompts) == len(photographs) > 61
    for prompt in prompts:
        tokens = sum(role == Role.IMAGE for role in prompt.roles)
        assert tokens == prompt.ids.count(raw(architecture).config.image_token_id) > 0
    found = find_culture_neurons(model, photographs, share=0.05, **QUIET)
    categories = {question.culture for question in photographs}
    assert set(found.cultures) == categories and len(categories) == 10
    one = replace(found, neurons={"Food": found["Food"]})
    matrix = ablation_matrix(model, one, photographs, random_seeds=0, scoring="letter", **QUIET)
    asked = [q for q in photographs if q.group not in found.metadata["groups"]]
    per_mask = matrix.frame.groupby(["kind", "mask", "seed"])["id"]
    assert per_mask.ngroups == 1 + 1
    assert all(list(ids) == [q.id for q in asked] for _, ids in per_mask)
    assert matrix.metadata["items"] == len(asked) > 25
    assert found.metadata["items"] == len(photographs) - len(asked) > 25
    assert len(runs) == model.vision.runs == len(files)


@real
@quiet
@each_architecture
def test_photographs_give_the_logits_of_hugging_face(architecture, photographs):
    """Some of every kind: colour, grey, transparent; the largest and the smallest."""
    by_size = sorted(photographs, key=lambda q: q.image.size[0] * q.image.size[1])
    modes = {}
    for question in photographs:
        with Image.open(question.image.source) as image:
            modes.setdefault(image.mode, question)
    assert set(modes) == {"RGB", "RGBA", "L"}
    chosen = list({q.id: q for q in (by_size[0], by_size[-1], *modes.values())}.values())
    model = lens(architecture)
    found = evaluate(model, chosen, scoring="letter_options", batch_size=4, **QUIET).frame
    for question, scores in zip(chosen, found["scores"], strict=True):
        shown = replace(question, image=flat(question.image.source))
        logits = vlm_logits(raw(architecture), native(architecture, shown))
        tokenizer = model.tokenizer
        item = native(architecture, shown)["input_ids"][0].tolist()
        space = "" if tokenizer.decode(item)[-1] == "\n" else " "
        labels = [tokenizer(space + x, add_special_tokens=False).input_ids[0] for x in "ABCD"]
        assert np.allclose(scores, logits[labels], rtol=1e-4, atol=1e-4)


def flat(path):
    """A photograph in RGB, transparency over white, by PIL alone."""
    image = Image.open(path)
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def test_neurons_silenced_around_an_evaluation():
    """``ablated`` around ``evaluate`` and neurons given to it are one and the same."""
    model, questions = lens("llava_onevision"), pictured_questions()
    neurons = Neurons.of({"act": [(0, 1), (1, 5), (2, 7)]})
    with ablated(model, neurons):
        around = evaluate(model, questions, **QUIET)
    given = evaluate(model, questions, neurons, **QUIET)
    same_records(around.frame, given.frame)
    plain = evaluate(model, questions, **QUIET)
    assert not np.allclose(
        np.concatenate(plain.frame["scores"].tolist()),
        np.concatenate(given.frame["scores"].tolist()),
    )
