"""Pictures in a user's own table: paths, bytes, data sets, addresses."""

import io
import json

import datasets
import pandas as pd
import pytest
from PIL import Image

from culture_lens.benchmarks import load_benchmark, questions_from_table
from culture_lens.errors import CultureLensWarning, InputError
from tests.helpers.images import plain_picture
from tests.helpers.table import row


@pytest.fixture
def pictured(tmp_path):
    """A folder with two different pictures and a copy of the first; rows that name them."""
    (tmp_path / "tables" / "img").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for name, colour in (("tables/img/a.png", "red"), ("tables/img/b.png", "blue")):
        (tmp_path / name).write_bytes(plain_picture(colour))
    (tmp_path / "elsewhere" / "copy.png").write_bytes(plain_picture("red"))
    outside = "../elsewhere/copy.png"
    absolute = str(tmp_path / "tables" / "img" / "b.png")
    cells = ["img/a.png", "img/b.png", "img/a.png", outside, absolute, ""]
    return [row("Japan", n=f"q{i}", picture=cell) for i, cell in enumerate(cells)]


def colours(questions):
    return [q.image.open().getpixel((0, 0)) for q in questions if q.image is not None]


RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_image_paths_start_from_the_folder_of_the_table(pictured, tmp_path, kind):
    path = tmp_path / "tables" / f"own.{kind}"
    flat = [{**r, "options": json.dumps(r["options"])} for r in pictured]
    if kind in ("csv", "tsv"):
        pd.DataFrame(flat).to_csv(path, index=False, sep="," if kind == "csv" else "\t")
    elif kind == "parquet":
        pd.DataFrame(flat).to_parquet(path)
    else:
        lines = [json.dumps(r) for r in pictured]
        text = "\n".join(lines) if kind == "jsonl" else f"[{','.join(lines)}]"
        path.write_text(text, encoding="utf-8")
    options = {"image": "picture", "id": "n"}
    questions = questions_from_table(path, **options)
    assert colours(questions) == [RED, BLUE, RED, RED, BLUE]
    assert questions[5].image is None
    # One picture is one group, by path or by content; named by its first question.
    assert [q.group for q in questions] == ["q0", "q1", "q0", "q0", "q1", "q5"]
    loaded = load_benchmark("table", path, cultures="Japan", **options)
    assert [(q.id, q.group, q.image and q.image.key) for q in loaded] == [
        (q.id, q.group, q.image and q.image.key) for q in questions
    ]


def test_images_of_every_other_kind(pictured, tmp_path):
    data = {"r": plain_picture("red"), "b": plain_picture("blue")}
    files = {"r": tmp_path / "tables" / "img" / "a.png", "b": tmp_path / "tables" / "img" / "b.png"}
    kinds = {
        "bytes": data,
        "path": files,
        "hugging face": {k: {"bytes": v, "path": f"{k}.png"} for k, v in data.items()},
        "pil": {k: Image.open(io.BytesIO(v)) for k, v in data.items()},
    }
    for name, cells in kinds.items():
        rows = [row(picture=cells[k]) for k in "rbbr"]
        questions = questions_from_table(rows, image="picture")
        assert colours(questions) == [RED, BLUE, BLUE, RED], name
        assert [q.group for q in questions] == ["1", "2", "2", "1"], name


@pytest.mark.parametrize("shape", ["dataset", "parquet", "bare bytes"])
def test_images_of_a_dataset_stay_where_they_are(shape, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    cells = [plain_picture(c, (4, 4 + n)) for n, c in enumerate(("red", "blue"))]
    if shape != "bare bytes":
        cells = [{"bytes": c, "path": None} for c in cells]
    own = datasets.Dataset.from_list([row(picture=cells[n % 2]) for n in range(4)])
    if shape != "bare bytes":
        own = own.cast_column("picture", datasets.Image())
    if shape == "parquet":
        own.to_parquet(str(tmp_path / "own.parquet"))
        own = tmp_path / "own.parquet"
    # The pictures of this set differ in length, so that even grouping reads none but the twins.
    questions = questions_from_table(own, image="picture")
    assert all(callable(q.image.source) for q in questions)
    assert colours(questions) == [RED, BLUE, RED, BLUE]
    assert [q.group for q in questions] == ["1", "2", "1", "2"]


def test_a_group_column_goes_before_images():
    rows = [row(picture=plain_picture("red"), g=g) for g in "xyx"]
    questions = questions_from_table(rows, image="picture", group="g")
    assert [q.group for q in questions] == ["x", "y", "x"]


def test_bad_images_name_the_row_or_are_skipped(tmp_path):
    rows = [row(picture=plain_picture("red")), row(picture="gone.png"), row(picture=3)]
    with pytest.raises(InputError) as caught:
        questions_from_table(rows, image="picture", benchmark="mine")
    for word in ("row 2", "question '2' of mine", "gone.png does not exist", "on_bad='skip'"):
        assert word in str(caught.value)
    with pytest.warns(CultureLensWarning, match="dropped 2 of 3 rows"):
        kept = questions_from_table(rows, image="picture", on_bad="skip")
    assert [q.id for q in kept] == ["1"]


def test_addresses_only_where_they_are_asked_for():
    rows = [row(picture=f"https://example.org/{name}.png") for name in "aba"]
    with pytest.raises(InputError, match="row 1.*not fetched by default.*allow_urls=True"):
        questions_from_table(rows, image="picture")
    # Not even to group them: one address is one picture.
    questions = questions_from_table(rows, image="picture", allow_urls=True)
    assert [q.group for q in questions] == ["1", "2", "1"]
