"""CVQA: rows of the documented layout, made here, in every form that a copy of them can take."""

import csv
import hashlib
import io
import json
import random
from collections import Counter

import datasets
import numpy as np
import pytest
from PIL import Image, ImageFile

from culture_lens.benchmarks import load_benchmark
from culture_lens.benchmarks.cvqa import cvqa_questions, pair
from culture_lens.benchmarks.reading.dataset_rows import Cell
from culture_lens.benchmarks.reading.image_rows import image_groups, numbered
from culture_lens.benchmarks.reading.rows import as_frame, read_rows
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.questions.images import LazyImage, as_image
from culture_lens.questions.readable import readable
from culture_lens.questions.splits import split_questions

SUBSETS = (
    "('Spanish', 'Mexico')",
    "('Spanish', 'Chile')",
    "('Tamil', 'India')",
    "('Hindi', 'India')",
    "('Korean', 'South_Korea')",
    "('Minangkabau', 'Indonesia')",
)
PER_SUBSET = 6  # questions, two on each image
FEATURES = datasets.Features(
    {
        "image": datasets.Image(),
        **dict.fromkeys(
            ("ID", "Subset", "Question", "Translated Question"), datasets.Value("string")
        ),
        "Options": datasets.Sequence(datasets.Value("string")),
        "Translated Options": datasets.Sequence(datasets.Value("string")),
        "Label": datasets.Value("int64"),
        **dict.fromkeys(
            ("Category", "Image Type", "Image Source", "License"), datasets.Value("string")
        ),
    }
)  # fmt: skip


def drawn(seed, kind="JPEG"):
    """A picture that belongs to its seed alone; numbers of bytes differ from seed to seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (16 + 8 * seed, 16, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, kind)
    return out.getvalue()


def made(number, subset=SUBSETS[0], picture=0, **other):
    name = f"59199911442724{picture:05d}_{number}"
    return {
        "image": {"bytes": drawn(picture), "path": f"{name}.jpg"},
        "ID": name,
        "Subset": subset,
        "Question": f"¿Qué es {number}?",
        "Translated Question": f"What is {number}? ",
        "Options": [f"cosa {number}", "casa", " perro ", "gato"],
        "Translated Options": [f"thing {number}", "house", " dog ", "cat"],
        "Label": number % 4,
        "Category": "Objects / materials / clothing" if number % 2 else "Sports and recreation",
        "Image Type": "Self",
        "Image Source": "Self-open",
        "License": "CC BY-SA",
        **other,
    }


@pytest.fixture(scope="module")
def rows():
    return [
        made(number, subset, picture=place * PER_SUBSET // 2 + number // 2)
        for place, subset in enumerate(SUBSETS)
        for number in range(PER_SUBSET)
    ]


@pytest.fixture(autouse=True)
def cache_apart(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(
        datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("datasets"))
    )


@pytest.fixture(autouse=True)
def decodes(monkeypatch):
    """Count what PIL decodes."""
    counted, load = [], ImageFile.ImageFile.load

    def noted(self):
        counted.append(self)
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", noted)
    return counted


def dataset(rows):
    return datasets.Dataset.from_list(rows, features=FEATURES)


def plain(questions):
    """Everything about questions but the picture, and the hash of that."""
    fields = ("id", "culture", "text", "options", "answer", "category", "group", "metadata")
    return [(*(getattr(q, f) for f in fields), q.image.key) for q in questions]


def questions_of(*rows, **options):
    return cvqa_questions(as_frame(list(rows)), **options)


# One set of questions, whatever the rows come in.


def as_parquet(rows, tmp_path):
    dataset(rows).to_parquet(str(tmp_path / "cvqa.parquet"))
    return tmp_path / "cvqa.parquet"


def as_shards(rows, tmp_path):
    """A copy of the hub's repository, which also holds files that are no rows."""
    (tmp_path / "data").mkdir()
    for n in range(4):
        shard = dataset(rows).shard(4, n, contiguous=True)
        shard.to_parquet(str(tmp_path / "data" / f"test-{n:05d}-of-00004.parquet"))
    (tmp_path / "submission_examples.csv").write_text("ID,answer\n1,2\n")
    return tmp_path


def as_shards_without_folder(rows, tmp_path):
    return as_shards(rows, tmp_path) / "data"


def as_saved(rows, tmp_path):
    dataset(rows).save_to_disk(str(tmp_path / "cvqa"), num_shards=2)
    return tmp_path / "cvqa"


def as_saved_splits(rows, tmp_path):
    splits = datasets.DatasetDict(test=dataset(rows), dev=dataset(rows[:1]))
    splits.save_to_disk(str(tmp_path / "cvqa"))
    return tmp_path / "cvqa"


def as_plain_parquet(rows, tmp_path):
    """Written without the features of datasets, as pandas does."""
    import pandas as pd

    pd.DataFrame(rows).to_parquet(tmp_path / "cvqa.parquet")
    return tmp_path / "cvqa.parquet"


def with_files(rows, tmp_path):
    (tmp_path / "photos").mkdir()
    for row in rows:
        (tmp_path / "photos" / row["image"]["path"]).write_bytes(row["image"]["bytes"])
    return [{**row, "image": f"photos/{row['image']['path']}"} for row in rows]


def as_jsonl(rows, tmp_path):
    path = tmp_path / "cvqa.jsonl"
    path.write_text("\n".join(map(json.dumps, with_files(rows, tmp_path))), encoding="utf-8")
    return path


def as_json_in_folder(rows, tmp_path):
    (tmp_path / "cvqa.json").write_text(json.dumps(with_files(rows, tmp_path)), encoding="utf-8")
    return tmp_path


def as_csv(rows, tmp_path, write=json.dumps):
    lists = ("Options", "Translated Options")
    flat = [{**r, **{name: write(r[name]) for name in lists}} for r in with_files(rows, tmp_path)]
    with (tmp_path / "cvqa.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, flat[0])
        out.writeheader()
        out.writerows(flat)
    return tmp_path / "cvqa.csv"


def as_csv_written_by_python(rows, tmp_path):
    return as_csv(rows, tmp_path, repr)


FORMS = [
    as_parquet,
    as_shards,
    as_shards_without_folder,
    as_saved,
    as_saved_splits,
    as_plain_parquet,
    as_jsonl,
    as_json_in_folder,
    as_csv,
    as_csv_written_by_python,
]


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
    monkeypatch.setattr("culture_lens.benchmarks.reading.dataset_rows.BATCH", 4)
    rows = [made(n, picture=n) for n in range(11)]
    assert plain(cvqa_questions(as_frame(dataset(rows)))) == plain(questions_of(*rows))


# The benchmark's own options.


def test_native_language(rows):
    questions = questions_of(*rows, language="native")
    assert [(q.text, q.options) for q in questions] == [
        (row["Question"], tuple(row["Options"])) for row in rows
    ]
    # The same questions: ids and groups do not depend on the language.
    english = questions_of(*rows)
    assert [(q.id, q.group) for q in questions] == [(q.id, q.group) for q in english]


def test_native_needs_native_columns_only(rows):
    lacking = ("Translated Question", "Translated Options", "License", "Category")
    bare = [{k: v for k, v in row.items() if k not in lacking} for row in rows]
    assert len(questions_of(*bare, language="native")) == len(rows)
    with pytest.raises(InputError, match="'Translated Question', 'Translated Options' is missing"):
        questions_of(*bare)


def test_groupings(rows):
    by_country = Counter(q.culture for q in questions_of(*rows))
    assert by_country == {"Mexico": 6, "Chile": 6, "India": 12, "South_Korea": 6, "Indonesia": 6}
    both = Counter(q.culture for q in questions_of(*rows, grouping="language_country"))
    assert both == {
        "Mexico (Spanish)": 6,
        "Chile (Spanish)": 6,
        "India (Tamil)": 6,
        "India (Hindi)": 6,
        "South_Korea (Korean)": 6,
        "Indonesia (Minangkabau)": 6,
    }


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        ("('Kinyarwanda', 'Rwanda')", ("Kinyarwanda", "Rwanda")),
        ("('Chinese', 'Singapore')", ("Chinese", "Singapore")),
        ("('Breton', 'France')", ("Breton", "France")),
        ("('Korean', 'South_Korea')", ("Korean", "South_Korea")),
        ('("N\'Ko", "Côte d\'Ivoire")', ("N'Ko", "Côte d'Ivoire")),
        ("('Korean', 'Korea, Republic of')", ("Korean", "Korea, Republic of")),
        (" ( 'Irish' ,'Ireland' ) ", ("Irish", "Ireland")),
        ('["Irish", "Ireland"]', ("Irish", "Ireland")),
        (("Irish", "Ireland"), ("Irish", "Ireland")),
        (np.array(["Irish", "Ireland"]), ("Irish", "Ireland")),
    ],
)
def test_subsets(subset, expected):
    assert pair(subset, "row 1") == expected


@pytest.mark.parametrize(
    "subset",
    ["Mexico", "('Mexico',)", "('a', 'b', 'c')", "('a', '')", "", None, 3, "__import__('os')", "("],
)
def test_a_subset_that_is_no_pair_is_named(subset):
    with pytest.raises(InputError, match="CVQA row '59199911442724.*Subset is.*as published"):
        questions_of(made(0), made(1, subset=subset))


def test_min_items_leaves_out_cultures_and_says_which(rows):
    few = [*rows, made(0, "('Irish', 'Ireland')", 90), made(1, "('Breton', 'France')", 91)]
    with pytest.warns(CultureLensWarning) as caught:
        questions = questions_of(*few, min_items=2)
    assert [q.id for q in questions] == [row["ID"] for row in rows]
    assert [str(w.message) for w in caught] == [
        "cvqa: left out 2 of 7 cultures, 2 of 38 questions, for having fewer than min_items=2: "
        "France (1), Ireland (1)."
    ]
    assert len(questions_of(*few)) == len(few)


def test_min_items_counts_what_can_be_used():
    rows = [made(0), made(1, Label=9), made(2, SUBSETS[2]), made(3, SUBSETS[2])]
    with pytest.warns(CultureLensWarning, match=r"fewer than min_items=2: Mexico \(1\)"):
        assert [q.culture for q in questions_of(*rows, min_items=2)] == ["India", "India"]


def test_the_filters_of_every_benchmark(rows, tmp_path):
    path = as_jsonl(rows, tmp_path)
    found = load_benchmark("cvqa", path, cultures=["India", "Chile"], limit=4)
    assert Counter(q.culture for q in found) == {"India": 4, "Chile": 4}
    sport = load_benchmark("cvqa", path, categories="Sports and recreation", language="native")
    assert len(sport) == len(rows) // 2 and sport[0].text.startswith("¿")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"language": "nativ"}, ["language of CVQA 'nativ'", "'native'", "english"]),
        ({"grouping": "language"}, ["grouping of CVQA 'language'", "language_country"]),
        ({"min_items": 0}, ["min_items=0", "at least 1"]),
    ],
)
def test_bad_options(options, words, rows):
    with pytest.raises(InputError) as caught:
        questions_of(*rows, **options)
    for word in words:
        assert word in str(caught.value)


# What cannot be used.

UNUSABLE = {
    "without an image": [{"image": None}, {"image": {"bytes": None, "path": None}}],
    "whose options are empty or collide": [
        {"Translated Options": ["a", "b ", " b", "c"]},
        {"Translated Options": ["a", "b", "", "c"]},
        {"Translated Options": ["a"]},
    ],
    "whose label is out of range": [{"Label": 4}, {"Label": -2}, {"Label": None}, {"Label": "B"}],
    "whose answer is withheld (label -1)": [{"Label": -1}],
    "without a question": [{"Translated Question": "  "}, {"Translated Question": None}],
}


@pytest.mark.parametrize("reason", UNUSABLE)
def test_rows_that_cannot_be_used_are_counted_by_reason(reason):
    changes = UNUSABLE[reason]
    bad = [made(10 + n, **change) for n, change in enumerate(changes)]
    with pytest.warns(CultureLensWarning) as caught:
        questions = questions_of(made(0), *bad, made(1))
    assert [q.text for q in questions] == ["What is 0? ", "What is 1? "]
    assert [str(w.message) for w in caught] == [
        f"cvqa: dropped {len(bad)} of {len(bad) + 2} rows: {len(bad)} {reason}."
    ]


def test_missing_images_in_a_dataset(rows, tmp_path):
    holed = [{**row, "image": None} if n in (3, 8) else row for n, row in enumerate(rows)]
    for form in (as_parquet, as_saved):
        (tmp_path / form.__name__).mkdir()
        with pytest.warns(CultureLensWarning, match=r"dropped 2 of 36 rows: 2 without an image"):
            questions = load_benchmark("cvqa", form(holed, tmp_path / form.__name__))
        kept = [row for n, row in enumerate(rows) if n not in (3, 8)]
        assert plain(questions) == plain(questions_of(*kept))


def test_a_release_without_answers_is_refused(rows):
    with pytest.raises(InputError, match="every label is -1.*withholds.*later one"):
        questions_of(*({**row, "Label": -1} for row in rows))


def test_labels_may_be_text_or_floats():
    labels = [2, "2", 2.0, "2.0", " 2 ", np.int64(2)]
    questions = questions_of(*(made(n, Label=label) for n, label in enumerate(labels)))
    assert {q.answer for q in questions} == {2}


def test_options_that_are_no_list_are_named():
    bad = made(1, **{"Translated Options": "house, dog"})
    with pytest.raises(InputError, match="CVQA row '.*Translated Options does not hold a list"):
        questions_of(made(0), bad)


def test_an_image_file_that_is_not_there_is_named(rows, tmp_path):
    path = as_jsonl(rows, tmp_path)
    (tmp_path / "photos" / rows[4]["image"]["path"]).unlink()
    with pytest.raises(InputError) as caught:
        load_benchmark("cvqa", path)
    for word in (f"question {rows[4]['ID']!r} of cvqa", str(tmp_path / "photos"), "does not exist"):
        assert word in str(caught.value)


def test_ids_that_occur_twice_are_numbered_and_said():
    rows = [made(0), made(1), made(0, picture=0), made(0), made(1)]
    with pytest.warns(CultureLensWarning) as caught:
        questions = questions_of(*rows)
    name = rows[0]["ID"]
    assert [q.id for q in questions] == [
        name, rows[1]["ID"], f"{name}/2", f"{name}/3", f"{rows[1]['ID']}/2"
    ]  # fmt: skip
    assert [str(w.message) for w in caught] == [
        "cvqa: 3 of 5 rows have an id that occurred before; they are kept and numbered, the first "
        f"as '{name}/2'."
    ]


def test_numbers_do_not_depend_on_what_is_dropped():
    first = made(0, **{"Options": ["a", "a"]})
    with pytest.warns(CultureLensWarning):
        english, native = (questions_of(first, made(0), language=x) for x in ("english", "native"))
    assert english[1].id == native[0].id


def test_numbering_keeps_clear_of_ids_that_look_numbered():
    assert numbered(["a", "a/2", "a", "a"]) == ["a", "a/2", "a/3", "a/4"]
    assert numbered(["a", "a", "a/2"]) == ["a", "a/3", "a/2"]
    mixed = ["a", "b", "a", "a/2", "a/2", "a", "b"]
    assert len(set(numbered(mixed))) == len(mixed)


# Groups.


def test_ids_without_a_number_are_their_own_picture():
    rows = [
        made(0, ID="one", picture=1),
        made(1, ID="two_b", picture=2),
        made(2, ID="_3", picture=3),
    ]
    assert [q.group for q in questions_of(*rows)] == ["one", "two_b", "_3"]


def test_byte_identical_images_of_different_ids_are_one_group(rows, tmp_path):
    again = made(0, SUBSETS[2], picture=1, ID="777_0")
    more = made(1, SUBSETS[3], picture=77, ID="777_1")
    last = made(2, SUBSETS[3], picture=77, ID="888_0")
    for form in (as_parquet, as_jsonl):
        (tmp_path / form.__name__).mkdir()
        path = form([*rows, again, more, last], tmp_path / form.__name__)
        groups = {q.id: q.group for q in load_benchmark("cvqa", path)}
        # Same bytes, same ID stem, same bytes again: all of them are correlated.
        joined = rows[2]["ID"].split("_")[0]
        assert groups["777_0"] == groups["777_1"] == groups["888_0"] == joined
        assert [groups[row["ID"]] for row in rows] == [row["ID"].split("_")[0] for row in rows]


def test_only_images_of_one_length_are_read_to_group_them(monkeypatch):
    read, plain_read = [], LazyImage.read
    monkeypatch.setattr(LazyImage, "read", lambda self: (read.append(self), plain_read(self))[1])
    pictures = [as_image(data, where="here") for data in (b"aa", b"bb", b"ccc", b"aa", b"dddd")]
    assert image_groups(pictures, list("vwxyz")) == ["v", "w", "x", "v", "z"]
    assert set(read) == {pictures[0], pictures[1], pictures[3]}
    read.clear()
    assert image_groups(pictures, ["v", "v", "x", "v", "z"]) == ["v", "v", "x", "v", "z"]
    assert not read


@pytest.mark.parametrize("seed", range(20))
def test_groups_are_the_connected_parts(seed):
    chance = random.Random(seed)
    data = [bytes([65 + chance.randrange(6)]) * chance.randrange(1, 4) for _ in range(14)]
    names = [f"n{chance.randrange(10)}" for _ in data]
    groups = image_groups([as_image(d, where="here") for d in data], names)
    # By hand: spread the smallest row number over shared names and shared bytes until it rests.
    rests = list(range(14))
    for _ in range(14):
        for i in range(14):
            for j in range(14):
                if names[i] == names[j] or data[i] == data[j]:
                    rests[i] = rests[j] = min(rests[i], rests[j])
    assert groups == [names[rest] for rest in rests]


def test_no_picture_identifies_and_evaluates(rows):
    identify, evaluate = split_questions(questions_of(*rows))
    assert identify and evaluate
    assert not {q.image.key for q in identify} & {q.image.key for q in evaluate}


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


def test_parquet_without_bytes_is_read_as_before(tmp_path):
    import pandas as pd

    path = tmp_path / "a.parquet"
    pd.DataFrame({"a": [1, 2], "b": [["x"], ["y", "z"]]}).to_parquet(path)
    frame = read_rows(path)
    assert frame["a"].dtype.kind == "i" and [list(v) for v in frame["b"]] == [["x"], ["y", "z"]]
    assert frame.attrs == {"place": str(path), "root": str(tmp_path)}
