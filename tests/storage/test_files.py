"""Files are written whole, read back the same, and refused where they are damaged."""

import pickle
import struct

import pandas as pd
import pytest
import torch

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.storage.files import (
    load_hashed_json,
    load_json,
    load_tensors,
    save_hashed_json,
    save_json,
    save_table,
    save_tensors,
    write_whole,
)
from culture_lens.storage.hashing import content_hash

TENSORS = {
    "a.act": torch.arange(12, dtype=torch.int64).reshape(3, 4),
    "b": torch.tensor([[0.5, float("-inf")]], dtype=torch.float64),
    "empty": torch.empty(0, 2, dtype=torch.long),
    "slice": torch.arange(6.0).reshape(2, 3).T,
}
METADATA = {"cultures": ["Côte d'Ivoire", "日本"], "share": 0.005, "none": None}


@pytest.fixture
def saved(tmp_path):
    return save_tensors(tmp_path / "deep" / "x.safetensors", "thing", TENSORS, METADATA)


def test_tensors_come_back_the_same(saved):
    tensors, metadata = load_tensors(saved, "thing")
    assert metadata == METADATA
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_a_missing_file_and_another_kind(saved, tmp_path):
    with pytest.raises(InputError, match="no such file: .*nothing.safetensors"):
        load_tensors(tmp_path / "nothing.safetensors", "thing")
    with pytest.raises(InputError, match="x.safetensors holds 'thing', not a neuron set"):
        load_tensors(saved, "neuron set")


def test_tensors_that_share_memory_are_written(tmp_path):
    shared = torch.arange(4.0)
    path = save_tensors(tmp_path / "x.safetensors", "thing", {"a": shared, "b": shared}, {})
    assert torch.equal(load_tensors(path, "thing")[0]["b"], shared)


def test_truncated_anywhere(saved):
    whole = saved.read_bytes()
    for length in (0, 4, 8, 20, len(whole) // 2, len(whole) - 8, len(whole) - 1):
        saved.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"x.safetensors is damaged.*copy it again"):
            load_tensors(saved, "thing")
    saved.write_bytes(whole)
    load_tensors(saved, "thing")


def test_any_changed_byte_of_the_data_is_noticed(saved):
    whole = saved.read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    for place in range(start, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 1
        saved.write_bytes(changed)
        with pytest.raises(InputError, match="was changed after it was written"):
            load_tensors(saved, "thing")


def test_changed_metadata_is_noticed(saved):
    whole = saved.read_bytes()
    assert whole.count(b"0.005") == 1
    saved.write_bytes(whole.replace(b"0.005", b"0.009"))
    with pytest.raises(InputError, match="was changed after it was written"):
        load_tensors(saved, "thing")


def test_a_foreign_safetensors_file(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.ones(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="holds 'something else', not a neuron set"):
        load_tensors(tmp_path / "weights.safetensors", "neuron set")


def test_a_pickle_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    for name, load in (
        ("x.safetensors", lambda p: load_tensors(p, "thing")),
        ("x.json", load_json),
    ):
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
        with pytest.raises(InputError):
            load(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_json_round_trip_and_damage(tmp_path):
    value = {"cultures": ["日本", "Perú"], "share": 0.1, "list": [1, None]}
    path = save_json(tmp_path / "a" / "x.json", value)
    assert load_json(path) == value
    assert "日本" in path.read_text(encoding="utf-8")
    whole = path.read_bytes()
    for damaged in (whole[:-4], b"", whole[:20], b"\xff\xfe" + whole):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="x.json is not valid JSON.*make it again"):
            load_json(path)
    with pytest.raises(InputError, match="no such file: .*none.json"):
        load_json(tmp_path / "none.json")
    with pytest.raises(InputError, match="a is no ordinary file"):
        load_json(tmp_path / "a")


def test_json_with_a_hash_and_without(tmp_path):
    value = {"steps": [{"share": 0.005, "path": tmp_path}], "culture": "日本"}
    path = save_hashed_json(tmp_path / "x.json", "log", value)
    with pytest.raises(InputError, match="x.json holds 'log', not a truth"):
        load_hashed_json(path, "truth")
    assert load_hashed_json(path, "log") == {
        **value,
        "steps": [{"share": 0.005, "path": str(tmp_path)}],
    }
    path.write_text(path.read_text().replace("0.005", "0.05"))
    with pytest.raises(InputError, match="x.json is damaged or was changed"):
        load_hashed_json(path, "log")
    save_json(path, {"steps": []})  # as version 0.1.0 wrote it
    with pytest.warns(CultureLensWarning, match="x.json holds no hash"):
        assert load_hashed_json(path, "log") == {"steps": []}
    save_json(path, [1])
    with pytest.raises(InputError, match="x.json holds a list"):
        load_hashed_json(path, "log")


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    target = tmp_path / "x.txt"
    write_whole(target, lambda part: part.write_text("old"))

    def fails(part):
        part.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(target, fails)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_readers_never_see_a_half_file(tmp_path):
    target = tmp_path / "x.txt"

    def write(part):
        part.write_text("half")
        assert not target.exists() and part.parent == target.parent

    write_whole(target, write)
    assert target.read_text() == "half"
    with target.open() as reader:  # one who reads while it is written anew reads the old one whole
        write_whole(target, lambda part: part.write_text("a new and longer one"))
        assert reader.read() == "half"
    assert target.read_text() == "a new and longer one"


def test_the_hash_depends_on_everything():
    x = torch.tensor([1, 2, 3, 4], dtype=torch.int32)
    hashes = {
        content_hash({"x": x}, {}),
        content_hash({"y": x}, {}),
        content_hash({"x": x}, {"a": 1}),
        content_hash({"x": x.reshape(2, 2)}, {}),
        content_hash({"x": x.view(torch.float32)}, {}),
        content_hash({"x": x + 1}, {}),
    }
    assert len(hashes) == 6
    assert content_hash({"x": x, "y": x}, {}) == content_hash({"y": x, "x": x.clone()}, {})


def test_the_same_content_is_the_same_bytes(tmp_path):
    """safetensors writes metadata in an order that differs from file to file."""
    tensors = {"b": torch.ones(3), "a": torch.arange(5), "ü": torch.zeros(0, dtype=torch.bfloat16)}
    facts = {"cultures": ["Perú", "日本", 'a "b" \\ \t\n\x1f\x7f/'], "k": 1}
    files = [save_tensors(tmp_path / f"{n}.safetensors", "thing", tensors, facts) for n in range(9)]
    assert len({file.read_bytes() for file in files}) == 1
    found, told = load_tensors(files[0], "thing")
    assert told == facts and found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    save_table(tmp_path / "1.parquet", pd.DataFrame({"a": [1.5]}), facts, kind="thing")
    save_table(tmp_path / "2.parquet", pd.DataFrame({"a": [1.5]}), facts, kind="thing")
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()
