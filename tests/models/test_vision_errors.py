"""What cannot be asked of a vision-language model is refused in one sentence that says why."""

import copy
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.find import summarise
from culture_lens.models.architectures import ARCHITECTURES
from culture_lens.models.load import load_model
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.questions.images import as_image
from culture_lens.questions.question import PromptFormat, Question
from culture_lens.questions.readable import readable
from tests.conftest import lens as text_lens
from tests.helpers.reference_vlm import vlm_logits
from tests.helpers.tiny import tiny_model, tiny_tokenizer
from tests.helpers.tiny_vlm import FAMILIES, VLM_ARCHITECTURES, picture, tiny_processor, tiny_vlm
from tests.helpers.vlm import bare, lens, native, pictured_questions, prompts_of, raw, relative

each_architecture = pytest.mark.parametrize("architecture", VLM_ARCHITECTURES)
QUIET = {"progress": False}
TEXT_ONLY = (
    "{% for m in messages %}{{ m.role }}: {% for p in m.content %}{% if p.type == 'text' %}"
    "{{ p.text }}{% endif %}{% endfor %}\n{% endfor %}"
)


def question(image, name="q7", text="What is it?", **fields):
    return Question(name, "Japan", text, ("tea", "milk"), 0, image=image, **fields)


def refused(words, function, *args, **options):
    """It must fail with one InputError that holds all of the words."""
    with pytest.raises(InputError) as caught:
        function(*args, **options)
    said = str(caught.value)
    missing = [word for word in words if word not in said]
    assert not missing, f"{missing} not in: {said}"


def built(model, *questions, **options):
    return build_prompts(list(questions), model.processor, **options)


# ------------------------------------------------------------------ pictures


def test_a_missing_file(tmp_path):
    path = tmp_path / "gone.png"
    refused(["'q7'", "gone.png", "does not exist", "correct the path"], question, path)
    picture(1).save(path)
    asked = question(path)
    path.unlink()
    refused(["'q7'", "gone.png", "readable(questions)"], built, lens("llava"), asked)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["is empty"]),
        (b"this is no picture at all", ["not an image of a known kind"]),
        ("truncated", ["cannot be decoded"]),
    ],
)
@each_architecture
def test_a_damaged_file(architecture, content, words, tmp_path):
    path = tmp_path / "photo.png"
    if content == "truncated":
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        content = path.read_bytes()[:3000]
    path.write_bytes(content)
    words = ["question 'q7'", "photo.png", *words, "replace it", "readable(questions)"]
    model = lens(architecture)
    refused(words, built, model, question(path))
    whole = [*pictured_questions()[:3], question(path)]
    refused(words, evaluate, model, whole, **QUIET)
    with pytest.warns(CultureLensWarning, match="left out 1 of 4 questions"):
        assert len(evaluate(model, readable(whole, progress=False), **QUIET).frame) == 3


@pytest.mark.parametrize("value", [7, ["a.png"], object(), {"pixels": b""}, np.zeros((4, 4, 3))])
def test_a_picture_of_the_wrong_type(value):
    refused(["'q7'", type(value).__name__, "give a path, bytes, a PIL image"], question, value)


def test_a_picture_of_too_many_pixels():
    image = as_image(picture(1, 50, 50), where="question 'q7'", max_pixels=1000)
    refused(["question 'q7'", "max_pixels=1000", "smaller copy"], built, lens("llava"),
            question(image))  # fmt: skip


def test_floating_point_pictures_are_refused():
    image = Image.fromarray(np.zeros((20, 20), dtype=np.float32))
    refused(["'q7'", "8 or 16 bits"], built, lens("gemma3"), question(image))


# ------------------------------------------------------------------ prompts


@each_architecture
def test_a_chat_template_that_writes_no_picture(architecture):
    processor = tiny_processor(architecture)
    processor.chat_template = processor.tokenizer.chat_template = TEXT_ONLY
    model = load_model("x", hf_model=bare(architecture), processor=processor)
    words = ["question 'q7'", "0 image tokens", "exactly one", "give load_model a processor"]
    refused(words, built, model, question(picture(1)))
    assert built(model, question(None))  # text can be asked all the same


@each_architecture
def test_a_chat_template_that_writes_two_pictures(architecture):
    processor = tiny_processor(architecture)
    token = processor.image_token
    twice = processor.chat_template.replace(token, token + token)
    assert twice != processor.chat_template
    processor.chat_template = processor.tokenizer.chat_template = twice
    model = load_model("x", hf_model=bare(architecture), processor=processor)
    words = ["question 'q7'", "2 image tokens", "exactly one"]
    refused(words, built, model, question(picture(1)))


@each_architecture
def test_text_that_holds_the_placeholder(architecture):
    model = lens(architecture)
    token = model.processor.placeholder
    words = ["question 'q7'", repr(token), "take it out of the question and its options"]
    for image in (picture(1), None):
        refused(words, built, model, question(image, text=f"What does {token} mean?"))
        options = (token, "milk")
        refused(words, built, model, replace(question(image), options=options))
        form = PromptFormat(instruction=f"Look at {token}.")
        refused(words, built, model, replace(question(image), prompt=form))


def repeated_tokens():
    """Tokens that stand for a piece of a picture where the placeholder is another one."""
    for architecture in VLM_ARCHITECTURES:
        tokenizer = tiny_processor(architecture).tokenizer
        if tokenizer.image_token != tiny_processor(architecture).image_token:
            yield architecture, tokenizer.image_token


@pytest.mark.parametrize(("architecture", "token"), list(repeated_tokens()))
def test_text_that_holds_the_token_of_a_picture_itself(architecture, token):
    """Gemma 3 stands one mark for a picture and repeats another token."""
    model = lens(architecture)
    for image in (picture(1), None):
        asked = question(image, text=f"What does {token} mean?")
        with pytest.raises(InputError, match="'q7'"):
            prompts = built(model, asked)
            model.logits(collate(prompts, model.pad_id))


def test_a_text_model_asked_about_a_picture():
    words = ["question 'q7'", "reads text only", "load a vision-language model"]
    model = text_lens("llama")
    refused(words, build_prompts, [question(picture(1))], model.processor)
    refused(words, evaluate, model, [question(picture(1))], **QUIET)
    several = [replace(q, id=f"q7/{q.id}") for q in pictured_questions()]
    refused(["question 'q7/food/Japan'", *words[1:]], summarise, model, several, **QUIET)


@each_architecture
def test_a_vision_model_asked_without_pictures(architecture):
    """Simply works."""
    model = lens(architecture)
    asked = [replace(q, image=None) for q in pictured_questions()[:5]]
    runs = model.vision.runs
    found = model.logits(collate(prompts_of(architecture, asked), model.pad_id))
    expected = [vlm_logits(raw(architecture), native(architecture, q)) for q in asked]
    assert relative(found, torch.stack(expected)) < 1e-5
    assert model.vision.runs == runs


# ------------------------------------------------------------------ processors


@each_architecture
def test_a_model_without_its_processor(architecture):
    kind = f"{FAMILIES[architecture].name}ForConditionalGeneration"
    hf = bare(architecture)
    for given in ({}, {"tokenizer": tiny_processor(architecture).tokenizer}):
        words = ["'my-vlm'", kind, "reads pictures", "pass processor="]
        refused(words, load_model, "my-vlm", hf_model=hf, **given)


def test_a_text_model_with_a_processor():
    hf, tokenizer = tiny_model("llama"), tiny_tokenizer("llama")
    words = ["'my-llm'", "LlamaForCausalLM", "reads text only", "tokenizer="]
    for given in ({}, {"tokenizer": tokenizer}):
        refused(words, load_model, "my-llm", hf_model=hf, processor=tiny_processor("llava"),
                **given)  # fmt: skip


OTHERS = {  # a processor of another family for each model
    "llava": "gemma3",
    "llava_next_mistral": "llava_onevision",
    "llava_next_qwen2": "qwen2_5_vl",
    "llava_onevision": "idefics3",
    "qwen2_5_vl": "llava",
    "gemma3": "smolvlm",
    "idefics3": "llava_next_qwen2",
    "smolvlm": "llava_next_mistral",
}


@each_architecture
def test_a_processor_of_another_family(architecture):
    """At load, or where its image token happens to be the same, at the first picture."""
    other = OTHERS[architecture]
    processor = tiny_processor(other)
    with pytest.raises(InputError, match="does(n't| not) belong to the model") as caught:
        model = load_model("my-vlm", hf_model=bare(architecture), processor=processor)
        prompts = built(model, question(picture(1)))
        model.logits(collate(prompts, model.pad_id))
    said = str(caught.value)
    assert "my-vlm" in said or "question 'q7'" in said


def test_a_processor_of_the_same_family_with_another_tokenizer():
    """Known at load, by the token that stands for a picture."""
    hf, processor = bare("llava_next_qwen2"), tiny_processor("llava_next_mistral")
    its, looked = processor.tokenizer.image_token_id, hf.config.image_token_id
    assert its != looked
    words = ["'my-vlm'", f"image token {its}", f"looks for {looked}", "its own checkpoint"]
    refused(words, load_model, "my-vlm", hf_model=hf, processor=processor)


SAME_TOKEN = ("llava", "llava_next_qwen2", "llava_onevision")


@pytest.mark.parametrize(("architecture", "other"), list(permutations(SAME_TOKEN, 2)))
def test_a_processor_of_another_family_with_the_same_image_token(architecture, other):
    hf, processor = bare(architecture), tiny_processor(other)
    assert hf.config.image_token_id == processor.tokenizer.image_token_id
    with pytest.raises(InputError) as caught:
        model = load_model("my-vlm", hf_model=hf, processor=processor)
        prompts = built(model, question(picture(1)))
        model.logits(collate(prompts, model.pad_id))
    said = str(caught.value)
    assert "processor" in said.lower() and ("my-vlm" in said or "q7" in said), said


def other_size(architecture):
    """The family's own processor, made for pictures of another size."""
    processor = tiny_processor(architecture)
    images = processor.image_processor
    if architecture == "llava":
        images.size, images.crop_size = {"shortest_edge": 14}, {"height": 14, "width": 14}
    elif architecture.startswith("llava_next"):
        processor.patch_size = 3
    elif architecture == "llava_onevision":
        processor.num_image_tokens = 4
    elif architecture == "qwen2_5_vl":
        images.merge_size = 1
    elif architecture == "gemma3":
        processor.image_seq_length = 9
        processor.full_image_sequence = processor.full_image_sequence.replace(
            processor.tokenizer.image_token * 16, processor.tokenizer.image_token * 9
        )
    else:
        processor.image_seq_len = 9
    return processor


@each_architecture
def test_a_processor_of_another_size(architecture):
    """Pictures and prompt must agree on the number of tokens, whatever breaks first."""
    processor = other_size(architecture)
    model = load_model("x", hf_model=bare(architecture), processor=processor)
    with pytest.raises(InputError) as caught:
        prompts = built(model, question(picture(1)))
        model.logits(collate(prompts, model.pad_id))
    said = str(caught.value)
    assert "q7" in said and "processor" in said, said


# ------------------------------------------------------------------ loading


@pytest.mark.parametrize("memory", [-1, -(2**40)])
def test_less_than_no_memory(memory):
    hf, processor = bare("llava"), tiny_processor("llava")
    words = [f"image_memory={memory}", "0 or more"]
    refused(words, load_model, "x", hf_model=hf, processor=processor, image_memory=memory)


def test_an_architecture_that_is_not_supported():
    """Named, with where to find what is; even where TransformerLens could wrap it."""
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
              "num_attention_heads": 2, "image_size": 28, "patch_size": 7}  # fmt: skip
    text = transformers.OPTConfig(
        vocab_size=450, hidden_size=32, num_hidden_layers=1, ffn_dim=48, num_attention_heads=2,
        word_embed_proj_dim=32,
    )  # fmt: skip
    config = transformers.Blip2Config(
        vision_config=vision,
        qformer_config={"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                        "intermediate_size": 24, "encoder_hidden_size": 16},
        text_config=text,
        num_query_tokens=4,
        image_token_index=5,
        architectures=["Blip2ForConditionalGeneration"],
    )  # fmt: skip
    hf = transformers.Blip2ForConditionalGeneration(config)
    for given in (
        {"processor": tiny_processor("llava")},
        {"tokenizer": tiny_tokenizer("llama")},
    ):
        with pytest.raises(InputError) as caught:
            load_model("tiny-blip", hf_model=hf, **given)
        said = str(caught.value)
        assert "Blip2ForConditionalGeneration" in said and "tiny-blip" in said
    assert "is not supported" in said and "Qwen2_5_VLForConditionalGeneration" in said


def test_a_vision_class_that_transformer_lens_knows_and_the_house_does_not():
    """A model with a picture tower of a kind without tests is refused, not run blindly."""
    hf = tiny_vlm("llava")
    hf.config.model_type = "llava_of_tomorrow"
    with pytest.raises(InputError) as caught:
        load_model("tiny-tomorrow", hf_model=hf, processor=tiny_processor("llava"))
    assert "tiny-tomorrow" in str(caught.value)


def test_the_list_of_architectures_names_every_supported_class():
    known = {architecture.name for architecture in ARCHITECTURES}
    for architecture in VLM_ARCHITECTURES:
        assert type(raw(architecture)).__name__ in known


def test_errors_leave_a_model_as_it_was():
    model = lens("idefics3")
    batch = collate(prompts_of("idefics3", pictured_questions()[:2]), model.pad_id)
    before = model.logits(batch)
    bad = copy.copy(batch.prompts[0])
    cut = replace(bad, ids=bad.ids[3:], roles=bad.roles[3:])
    fewer = replace(
        bad,
        ids=tuple(i for n, i in enumerate(bad.ids) if n != bad.roles.index(2)),
        roles=tuple(r for n, r in enumerate(bad.roles) if n != bad.roles.index(2)),
    )
    model.logits(collate([cut], model.pad_id))  # a prompt cut elsewhere is nobody's business
    refused(["food/Japan", "features", "image tokens"], model.logits,
            collate([fewer], model.pad_id))  # fmt: skip
    assert not model.is_hooked
    assert torch.equal(model.logits(batch), before)
