"""The options of load_model: one record and its keywords, checked before anything is loaded."""

from dataclasses import fields

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.models.load import load_model
from culture_lens.models.loading import Loading, LoadingOptions


def test_the_keywords_are_the_fields_of_the_record():
    annotated = {field.name: field.type for field in fields(Loading)}
    keywords = {name: hint.__forward_arg__ for name, hint in LoadingOptions.__annotations__.items()}
    assert keywords == annotated


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtpye": "bfloat16"}, "did you mean 'dtype'"),
        ({"tokeniser": None}, "did you mean 'tokenizer'"),
        ({"dtype": "float31"}, "unknown dtype 'float31'"),
        ({"attention": "fast"}, "use 'native' or 'eager'"),
        ({"image_memory": -1}, "0 or more"),
    ],
)
def test_mistakes_fail_before_anything_is_loaded(options, words):
    with pytest.raises(InputError, match=words):
        load_model("no/such-model", **options)


def test_the_device_and_dtype_as_torch_has_them():
    loading = Loading(dtype="float16", device="cpu")
    assert (loading.torch_dtype, loading.target) == (torch.float16, torch.device("cpu"))
    assert Loading().torch_dtype is None
