"""K-Viscuit: the published rows against what the file itself says, and its layout on the hub."""

import json
from collections import Counter

import datasets
import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.questions.images import LazyImage
from culture_lens.questions.readable import readable
from culture_lens.questions.splits import split_questions
from tests.helpers.images import plain_picture
from tests.helpers.marks import needs_data
from tests.helpers.places import DATA

pytestmark = pytest.mark.usefixtures("cache_apart")

FOLDER = DATA / "k_viscuit"
real = needs_data("k_viscuit")


@pytest.fixture(scope="module")
def published():
    with (FOLDER / "annotations.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@real
def test_every_published_row_is_a_question(published, recwarn):
    questions = load_benchmark("k_viscuit", FOLDER)
    assert not [w for w in recwarn if w.category is CultureLensWarning]
    assert len(questions) == len(published) > 100
    print(f"{len(questions)} questions on {len({q.group for q in questions})} images")
    for question, row in zip(questions, published, strict=True):
        assert question.id.split("/")[0] == row["id_"]
        assert (question.text, question.options) == (row["question"], tuple(row["options"]))
        assert (question.answer, question.category) == (row["answer"], row["category"])
        assert question.culture == "South Korea" and question.benchmark == "k_viscuit"
        assert question.group == row["image_path"]
        assert question.image.name == str(FOLDER / "images" / row["image_path"])
        assert question.metadata["question_type"] == row["question_type"]
        assert question.metadata["image_source"] == row["image_url"]
    ids = Counter(row["id_"] for row in published)
    assert sum("/" in q.id for q in questions) == sum(n - 1 for n in ids.values()) > 0
    assert len({q.id for q in questions}) == len(questions)


@real
def test_every_image_can_be_read(published, recwarn):
    questions = load_benchmark("k_viscuit", FOLDER / "annotations.jsonl")
    assert readable(questions, progress=False) == questions
    assert not [w for w in recwarn if w.category is CultureLensWarning]
    for question in questions[::10]:
        opened = question.image.open()
        assert opened.mode == "RGB" and opened.size == question.image.size
    groups = {(q.group, q.image.key) for q in questions}
    assert len(groups) == len({g for g, _ in groups}) == len({k for _, k in groups})


@real
def test_topics_as_cultures(published):
    questions = load_benchmark("k_viscuit", FOLDER, grouping="category")
    assert Counter(q.culture for q in questions) == Counter(row["category"] for row in published)
    identify, evaluate = split_questions(questions)
    assert not {q.image.key for q in identify} & {q.image.key for q in evaluate}
    food = load_benchmark("k_viscuit", FOLDER, categories=["Food"])
    assert {q.culture for q in food} == {"South Korea"}
    assert len(food) == sum(row["category"] == "Food" for row in published)


COLOURS = ("red", "green")


def made(number, path="0.png", **other):
    return {
        "question": f"What is {number}?",
        "options": ["kimchi", "tofu", "rice", "soup"],
        "answer": number % 4,
        "category": ("Food", "Tool")[number % 2],
        "id_": f"Food.{number}.0",
        "question_type": 1,
        "image_url": "https://example.org/0.png",
        "image_path": path,
        **other,
    }


def written(folder, rows, images="images"):
    (folder / images).mkdir(parents=True, exist_ok=True)
    for number, colour in enumerate(COLOURS):
        (folder / images / f"{number}.png").write_bytes(plain_picture(colour))
    lines = "\n".join(json.dumps(row) for row in rows)
    (folder / "annotations.jsonl").write_text(lines, encoding="utf-8")
    return folder


def test_images_beside_the_file_or_in_their_folder(tmp_path):
    rows = [made(n, f"{n // 2}.png") for n in range(4)]
    first, second = (
        load_benchmark("k_viscuit", written(tmp_path / where, rows, images))
        for where, images in (("a", "images"), ("b", "."))
    )
    assert [q.image.key for q in first] == [q.image.key for q in second]
    assert [q.group for q in first] == ["0.png", "0.png", "1.png", "1.png"]
    assert first[3].image.open().getpixel((0, 0)) == (0, 128, 0)


def test_the_layout_of_the_hub(tmp_path, monkeypatch):
    rows = [
        {
            **made(n, f"{n // 2}.png"),
            "image": {"bytes": plain_picture(COLOURS[n // 2]), "path": None},
        }
        for n in range(4)
    ]
    hub = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
    asked = []

    def load_dataset(name, config, *, split):
        asked.append((name, config, split))
        return hub

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    from_hub = load_benchmark("k_viscuit")
    assert asked == [("ddehun/k-viscuit", None, "test")]
    (tmp_path / "data").mkdir()
    hub.to_parquet(str(tmp_path / "data" / "test-00000-of-00001.parquet"))
    from_copy = load_benchmark("k_viscuit", tmp_path)
    local = load_benchmark(
        "k_viscuit", written(tmp_path / "local", [made(n, f"{n // 2}.png") for n in range(4)])
    )
    for questions in (from_hub, from_copy):
        assert [(q.id, q.group, q.image.key) for q in questions] == [
            (q.id, q.group, q.image.key) for q in local
        ]


def test_ids_that_occur_twice_are_numbered_without_a_word(tmp_path, recwarn):
    rows = [made(n, id_="Food.1.2") for n in range(3)]
    questions = load_benchmark("k_viscuit", written(tmp_path, rows))
    assert [q.id for q in questions] == ["Food.1.2", "Food.1.2/2", "Food.1.2/3"]
    assert not [w for w in recwarn if w.category is CultureLensWarning]


def test_what_cannot_be_used(tmp_path):
    rows = [made(0), made(1, options=["a", "a ", "b", "c"]), made(2, answer=7), made(3, "")]
    with pytest.warns(CultureLensWarning) as caught:
        questions = load_benchmark("k_viscuit", written(tmp_path, rows))
    assert [q.id for q in questions] == ["Food.0.0"]
    assert [str(w.message) for w in caught] == [
        "k_viscuit: dropped 3 of 4 rows: 1 whose options are empty or collide, 1 whose label is "
        "out of range, 1 without an image."
    ]
    with pytest.raises(
        InputError, match=r"'Food.1.0' of k_viscuit.*images/gone.png does not exist"
    ):
        load_benchmark("k_viscuit", written(tmp_path, [made(1, "gone.png")]))
    with pytest.raises(InputError, match="grouping of K-Viscuit 'topic'.*category, country"):
        load_benchmark("k_viscuit", tmp_path, grouping="topic")


def test_topics_need_two(tmp_path):
    folder = written(tmp_path, [made(0), made(2)])
    assert len(load_benchmark("k_viscuit", folder)) == 2
    assert len(load_benchmark("k_viscuit", folder, grouping="category")) == 2


def test_nothing_is_decoded_at_load(tmp_path, monkeypatch):
    def refuse(self):
        raise AssertionError("opened")

    monkeypatch.setattr(LazyImage, "_opened", refuse)
    assert len(load_benchmark("k_viscuit", written(tmp_path, [made(0), made(1)]))) == 2
