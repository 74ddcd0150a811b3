"""Every copy of CVQA gives the same questions, reads no picture unasked, and is whole."""

import hashlib
import io
import random

import datasets
import pytest
from PIL import Image

from culture_lens.benchmarks import load_benchmark
from culture_lens.benchmarks.cvqa import cvqa_questions
from culture_lens.benchmarks.reading.dataset_rows import Cell
from culture_lens.benchmarks.reading.rows import as_frame
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.questions.images import LazyImage
from culture_lens.questions.readable import readable
from tests.helpers.cvqa import (
    FORMS,
    SUBSETS,
    as_jsonl,
    as_parquet,
    as_saved,
    as_shards,
    dataset,
    made,
    plain,
    questions_of,
)

pytestmark = pytest.mark.usefixtures("cache_apart")


@pytest.mark.parametrize("form", FORMS)
def test_every_copy_gives_the_same_questions(form, rows, tmp_path, decodes, recwarn):
    questions = load_benchmark("cvqa", form(rows, tmp_path))
    assert not decodes and not [w for w in recwarn if w.category is CultureLensWarning]
    assert [q.id for q in questions] == [row["ID"] for row in rows]
    for question, row in zip(questions, rows, strict=True):
        assert question.text == row["Translated Question"]
        assert question.options == tuple(row["Translated Options"])
        assert question.answer == row["Label"] and question.category == row["Category"]
        assert question.group == row["ID"].split("_")[0]
        language, country = row["Subset"].strip("()").replace("'", "").split(", ")
        assert question.culture == country
        assert question.metadata == {
            "language": language,
            "country": country,
            "image_type": "Self",
            "image_source": "Self-open",
            "license": "CC BY-SA",
        }
        assert question.benchmark == "cvqa"
        assert isinstance(question.image, LazyImage) and repr(question.id) in question.image.where
        digest = hashlib.sha256(row["image"]["bytes"]).hexdigest()
        assert digest.startswith(question.image.key) and len(question.image.key) >= 20
    assert not decodes
    with Image.open(io.BytesIO(rows[7]["image"]["bytes"])) as expected:
        assert questions[7].image.open().tobytes() == expected.tobytes()
        assert questions[7].image.size == expected.size
    assert decodes


def test_the_hub(rows, monkeypatch, decodes):
    asked = []

    def load_dataset(hub, config, *, split):
        asked.append((hub, config, split))
        return dataset(rows)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    questions = load_benchmark("cvqa")
    assert asked == [("afaji/cvqa", None, "test")]
    assert plain(questions) == plain(questions_of(*rows))
    assert not decodes


@pytest.mark.parametrize("form", [as_parquet, as_shards, as_saved])
def test_bytes_stay_in_the_file_until_they_are_asked_for(form, rows, tmp_path, monkeypatch):
    read, call = [], Cell.__call__
    monkeypatch.setattr(Cell, "__call__", lambda self: (read.append(self.row), call(self))[1])
    questions = load_benchmark("cvqa", form(rows, tmp_path))
    assert not read
    sources = [question.image.source for question in questions]
    assert all(isinstance(source, Cell) for source in sources)
    # All cells share one dataset, whose rows are a memory-mapped file.
    assert len({id(source.dataset) for source in sources}) == 1
    assert sources[0].dataset.cache_files
    assert [s.n_bytes for s in sources] == [len(row["image"]["bytes"]) for row in rows]
    questions[5].image.open()
    assert read == [5]


def test_a_dataset_in_another_order_keeps_rows_and_images_together(rows):
    order = list(range(len(rows)))
    random.Random(0).shuffle(order)
    mixed = dataset(rows).select(order).filter(lambda row: row["Subset"] != SUBSETS[1])
    questions = cvqa_questions(as_frame(mixed))
    expected = [rows[i] for i in order if rows[i]["Subset"] != SUBSETS[1]]
    assert plain(questions) == plain(questions_of(*expected))


def test_many_rows_are_more_than_one_batch(monkeypatch):
    monkeypatch.setattr("culture_lens.benchmarks.reading.dataset_rows.ROWS_AT_ONCE", 4)
    rows = [made(n, picture=n) for n in range(11)]
    assert plain(cvqa_questions(as_frame(dataset(rows)))) == plain(questions_of(*rows))


def test_missing_images_in_a_dataset(rows, tmp_path):
    holed = [{**row, "image": None} if n in (3, 8) else row for n, row in enumerate(rows)]
    for form in (as_parquet, as_saved):
        (tmp_path / form.__name__).mkdir()
        with pytest.warns(CultureLensWarning, match=r"dropped 2 of 36 rows: 2 without an image"):
            questions = load_benchmark("cvqa", form(holed, tmp_path / form.__name__))
        kept = [row for n, row in enumerate(rows) if n not in (3, 8)]
        assert plain(questions) == plain(questions_of(*kept))


def test_an_image_file_that_is_not_there_is_named(rows, tmp_path):
    path = as_jsonl(rows, tmp_path)
    (tmp_path / "photos" / rows[4]["image"]["path"]).unlink()
    with pytest.raises(InputError) as caught:
        load_benchmark("cvqa", path)
    for word in (f"question {rows[4]['ID']!r} of cvqa", str(tmp_path / "photos"), "does not exist"):
        assert word in str(caught.value)


def test_byte_identical_images_of_different_ids_are_one_group(rows, tmp_path):
    again = made(0, SUBSETS[2], picture=1, ID="777_0")
    more = made(1, SUBSETS[3], picture=77, ID="777_1")
    last = made(2, SUBSETS[3], picture=77, ID="888_0")
    for form in (as_parquet, as_jsonl):
        (tmp_path / form.__name__).mkdir()
        path = form([*rows, again, more, last], tmp_path / form.__name__)
        groups = {q.id: q.group for q in load_benchmark("cvqa", path)}
        # Same bytes, same ID stem, same bytes again: all of them are one group.
        joined = rows[2]["ID"].split("_")[0]
        assert groups["777_0"] == groups["777_1"] == groups["888_0"] == joined
        assert [groups[row["ID"]] for row in rows] == [row["ID"].split("_")[0] for row in rows]


def test_a_damaged_image_is_found_by_readable_and_not_before(rows, tmp_path, decodes):
    hurt = [dict(row) for row in rows]
    hurt[4]["image"] = {"bytes": rows[4]["image"]["bytes"][:-200], "path": "x.jpg"}
    questions = load_benchmark("cvqa", as_parquet(hurt, tmp_path))
    assert len(questions) == len(rows) and not decodes
    with pytest.warns(CultureLensWarning, match=rf"left out 1 of 36.*{rows[4]['ID']}' of cvqa"):
        assert [q.id for q in readable(questions, progress=False)] == [
            row["ID"] for n, row in enumerate(rows) if n != 4
        ]


# Copies that are not whole.


def test_a_missing_shard_is_noticed(rows, tmp_path):
    folder = as_shards(rows, tmp_path) / "data"
    (folder / "test-00002-of-00004.parquet").unlink()
    with pytest.raises(InputError, match="holds 3 parquet shards of split 'test'.*not the 4"):
        load_benchmark("cvqa", tmp_path)
    (folder / "test-00000-of-00009.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="parquet shards"):
        load_benchmark("cvqa", folder)


def test_a_shard_cut_short_is_named(rows, tmp_path):
    folder = as_shards(rows, tmp_path) / "data"
    shard = folder / "test-00001-of-00004.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot read test-00000.*downloaded whole"):
        load_benchmark("cvqa", tmp_path)


def test_other_splits_are_named(rows, tmp_path):
    datasets.DatasetDict(tset=dataset(rows)).save_to_disk(str(tmp_path / "cvqa"))
    with pytest.raises(InputError, match="split of .*cvqa 'test': did you mean 'tset'"):
        load_benchmark("cvqa", tmp_path / "cvqa")


def test_a_saved_folder_that_is_broken_or_empty(rows, tmp_path):
    path = as_saved(rows, tmp_path)
    dataset(rows).filter(lambda row: False).save_to_disk(str(tmp_path / "none"))
    with pytest.raises(InputError, match="none has no rows"):
        load_benchmark("cvqa", tmp_path / "none")
    next(path.glob("*.arrow")).unlink()
    with pytest.raises(InputError, match="cvqa: cannot be read"):
        load_benchmark("cvqa", path)


def test_columns_are_those_of_the_layout(rows, tmp_path):
    path = tmp_path / "cvqa.parquet"
    dataset(rows).remove_columns(["image"]).to_parquet(str(path))
    with pytest.raises(InputError, match="column 'image' is missing"):
        load_benchmark("cvqa", path)
