"""The fingerprint is a hash of all weights as they are, however they were changed."""

import hashlib

import pytest
import torch

from culture_lens.models.fingerprint import ROW, Fingerprint, bit_sum
from culture_lens.models.load import load_model
from tests.helpers.tiny import tiny_model, tiny_tokenizer


@pytest.fixture
def model():
    return load_model("m", hf_model=tiny_model("llama"), tokenizer=tiny_tokenizer("llama"))


def down(model, layer=1):
    return model.bridge.original_model.get_submodule(
        f"model.layers.{layer}._original_component.mlp._original_component.down_proj"
    )._original_component.weight


def by_data(weight):
    weight.data[3, 5] += 1


def by_hand(weight):
    with torch.no_grad():
        weight[-1, -1] *= -1


def zeroed_by_data(weight):
    weight.data.zero_()


def by_numpy(weight):
    weight.detach().numpy()[0, 0] = 7


def other_memory(weight):
    weight.data = weight.data.clone() * 2


@pytest.mark.parametrize("change", [by_data, by_hand, zeroed_by_data, by_numpy, other_memory])
def test_any_change_is_noticed_and_taken_back(model, change):
    weight, before = down(model), model.fingerprint
    kept = weight.detach().clone()
    change(weight)
    assert model.fingerprint != before
    weight.data.copy_(kept)
    assert model.fingerprint == before


def test_every_value_counts(model):
    """One value of each weight, at places that a sample of the values would miss."""
    seen = {model.fingerprint}
    for number, parameter in enumerate(model.bridge.original_model.parameters(), start=1):
        place = (7 * number) % parameter.numel()
        parameter.data.view(-1)[place] += 0.5
        seen.add(model.fingerprint)
        assert len(seen) == number + 1


def test_unchanged_weights_are_hashed_once(model, monkeypatch):
    before = model.fingerprint
    monkeypatch.setattr("culture_lens.models.fingerprint.digest", None)
    assert model.fingerprint == before


def test_the_same_weights_in_another_load_dtype_and_order_of_bytes(model):
    again = load_model("n", hf_model=tiny_model("llama"), tokenizer=tiny_tokenizer("llama"))
    assert again.fingerprint == model.fingerprint
    half = load_model(
        "m", hf_model=tiny_model("llama").bfloat16(), tokenizer=tiny_tokenizer("llama")
    )
    assert half.fingerprint != model.fingerprint


def test_the_hash_is_that_of_names_shapes_and_bytes():
    module = torch.nn.Linear(2, 1)
    module.register_buffer("saved", torch.ones(1))
    module.register_buffer("made", torch.ones(1), persistent=False)
    digests = b""
    for name in ("weight", "bias", "saved"):
        value = getattr(module, name).detach()
        head = f".{name}{tuple(value.shape)}{value.dtype}".encode()
        digests += hashlib.sha256(head + value.numpy().tobytes()).digest()
    fingerprint = Fingerprint(module)
    assert fingerprint.now() == hashlib.sha256(digests).hexdigest()
    module.made.zero_()
    assert fingerprint.now() == hashlib.sha256(digests).hexdigest()
    module.saved.zero_()
    assert fingerprint.now() != hashlib.sha256(digests).hexdigest()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.uint8, torch.bool])
def test_the_sum_of_bits_is_that_of_a_plain_loop(dtype):
    values = (torch.arange(3 * 8 * ROW + 13) * 37 % 251).to(dtype)
    content = values.view(torch.uint8).numpy().tobytes()
    whole = len(content) // 8
    numbers = [int.from_bytes(content[8 * i : 8 * i + 8], "little") for i in range(whole)]
    rows = whole // ROW
    total = sum((2 * row + 1) * sum(numbers[ROW * row : ROW * row + ROW]) for row in range(rows))
    total += sum(numbers[ROW * rows :]) + sum(content[8 * whole :])
    assert bit_sum(values) % 2**64 == total % 2**64


def test_a_part_of_other_memory_has_the_sum_of_a_copy():
    values = torch.arange(40, dtype=torch.bfloat16)
    assert bit_sum(values[3:21]) == bit_sum(values[3:21].clone())


def test_rows_that_change_places_change_the_sum():
    values = torch.randn(4, 8 * ROW, generator=torch.Generator().manual_seed(0))
    assert bit_sum(values) != bit_sum(values[[1, 0, 2, 3]])


def test_offloaded_weights_are_hashed_too(tmp_path):
    from accelerate import cpu_offload

    def linear():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2))

    plain, offloaded = linear(), linear()
    cpu_offload(offloaded, execution_device=torch.device("cpu"))
    assert all(p.is_meta for p in offloaded.parameters())
    assert Fingerprint(offloaded).now() == Fingerprint(plain).now()


def test_features_of_pictures_go_with_the_weights_they_came_from():
    from tests.helpers.vlm import fresh, pictured_questions

    model = fresh("llava")
    image = next(question.image for question in pictured_questions() if question.image)
    model.fingerprint  # noqa: B018
    before = model.vision.features(image)
    tower = next(
        p for n, p in model.bridge.original_model.named_parameters() if "vision" in n and p.ndim > 1
    )
    tower.data.zero_()
    model.fingerprint  # noqa: B018
    assert not torch.equal(model.vision.features(image), before)
