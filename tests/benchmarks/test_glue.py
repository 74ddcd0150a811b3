"""QNLI and MRPC: the published rows against counts made here, and rows in both layouts."""

from collections import Counter

import datasets
import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.benchmarks.glue import MRPC_TASK, QNLI_TASK, glue_questions
from culture_lens.benchmarks.reading.rows import as_frame
from culture_lens.errors import CultureLensWarning, InputError
from tests.helpers.marks import needs_data
from tests.helpers.places import DATA

TASKS = {"qnli": QNLI_TASK, "mrpc": MRPC_TASK}


def published(name):
    """The rows by a plain split at tabs: what the file says, quotation marks and all."""
    text = (DATA / name / "dev.tsv").read_text(encoding="utf-8-sig")
    header, *lines = [line.split("\t") for line in text.rstrip("\n").split("\n")]
    assert {len(cells) for cells in lines} == {len(header)}  # no ragged line
    return [dict(zip(header, cells, strict=True)) for cells in lines]


# The published rows.


@pytest.mark.slow
@needs_data("qnli")
def test_qnli_rows(recwarn):
    rows = published("qnli")
    questions = load_benchmark("qnli", DATA / "qnli")
    assert not [w for w in recwarn if w.category is CultureLensWarning]  # no row is lost
    assert len(questions) == len(rows) == 5463
    assert {q.culture for q in questions} == {"inference"}
    assert Counter(q.options[q.answer] for q in questions) == {"Yes": 2702, "No": 2761}
    for question, row in zip(questions, rows, strict=True):
        assert question.id == row["index"]
        first, second = row["question"].strip(), row["sentence"].strip()
        assert question.text == f"Question: {first}\nSentence: {second}"
        assert (question.options[question.answer] == "Yes") == (row["label"] == "entailment")
    assert sum(q.text.count('"') for q in questions) == 1525
    # One half of 5463: sd 37, so three sd.
    assert abs(sum(q.answer for q in questions) - 5463 / 2) < 111


@needs_data("mrpc")
def test_mrpc_rows(recwarn):
    rows = published("mrpc")
    questions = load_benchmark("mrpc", DATA / "mrpc" / "dev.tsv")
    assert not [w for w in recwarn if w.category is CultureLensWarning]
    assert len(questions) == len(rows) == 408
    assert {q.culture for q in questions} == {"paraphrase"}
    assert Counter(q.options[q.answer] for q in questions) == {"Yes": 279, "No": 129}
    for question, row in zip(questions, rows, strict=True):
        assert question.id == f"{row['#1 ID']}-{row['#2 ID']}"
        assert question.text == (
            f"First sentence: {row['#1 String']}\nSecond sentence: {row['#2 String']}"
        )
        assert (question.options[question.answer] == "Yes") == (row["Quality"] == "1")
    assert sum(q.text.count('"') for q in questions) == 272


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "columns", "groups"),
    [
        pytest.param("qnli", ("question", "sentence"), 2686, marks=needs_data("qnli")),
        pytest.param("mrpc", ("#1 String", "#2 String"), 399, marks=needs_data("mrpc")),
    ],
)
def test_pairs_that_share_a_text_are_one_group(name, columns, groups):
    questions = load_benchmark(name, DATA / name)
    group = {}
    for question, row in zip(questions, published(name), strict=True):
        for column in columns:
            assert group.setdefault(row[column].strip(), question.group) == question.group
    assert len({q.group for q in questions}) == groups < len(questions)


# Rows made here, in both layouts.


def pair(task, number, label, first="", second=""):
    """One row in the hub's layout."""
    names = ("question", "sentence") if task is QNLI_TASK else ("sentence1", "sentence2")
    return {
        names[0]: first or f"Who came {number}?",
        names[1]: second or f'"Ann came {number} times.',
        "label": label,
        "idx": number,
    }


def in_tsv(task, row, number):
    """The same row in the layout of the published file."""
    first, second, label, idx = row.values()
    if task is QNLI_TASK:
        words = {0: "entailment", 1: "not_entailment"}
        return {
            "index": str(idx),
            "question": first,
            "sentence": second,
            "label": words.get(label, str(label)),
        }
    return {
        "Quality": str(label),
        "#1 ID": str(idx),
        "#2 ID": f"9{number}",
        "#1 String": first,
        "#2 String": second,
    }


def write(path, rows):
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    text = "".join("\t".join(cells) + "\n" for cells in lines)
    path.write_text(text, encoding="utf-8-sig")


def parts(question):
    return question.culture, question.text, question.options[question.answer]


@pytest.mark.parametrize("name", TASKS)
def test_hub_and_published_layout_say_the_same(name, tmp_path, monkeypatch):
    task = TASKS[name]
    rows = [pair(task, n, n % 2) for n in range(6)]
    features = datasets.Dataset.from_list(rows).features
    names = ["not_equivalent", "equivalent"] if name == "mrpc" else ["entailment", "not_entailment"]
    features["label"] = datasets.ClassLabel(names=names)
    dataset = datasets.Dataset.from_list(rows, features=features)
    asked = []

    def load_dataset(hub, config, *, split):
        asked.append((hub, config, split))
        return dataset

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    of_hub = load_benchmark(name)
    assert asked == [("nyu-mll/glue", name, "validation")]
    yes = 0 if name == "qnli" else 1
    for question, row in zip(of_hub, rows, strict=True):
        assert (question.options[question.answer] == "Yes") == (row["label"] == yes)
        assert question.prompt is task.wordings[0]
    write(tmp_path / "dev.tsv", [in_tsv(task, row, n) for n, row in enumerate(rows)])
    of_file = load_benchmark(name, tmp_path)
    assert list(map(parts, of_file)) == list(map(parts, of_hub))
    assert load_benchmark(name, tmp_path / "dev.tsv") == of_file
    if name == "qnli":  # whose two layouts have the same ids, and so the same order of options
        assert of_file == of_hub
    dataset.to_parquet(tmp_path / "validation-00000-of-00001.parquet")
    assert load_benchmark(name, tmp_path) == of_hub
    dataset.save_to_disk(tmp_path / "saved")
    assert load_benchmark(name, tmp_path / "saved") == of_hub


def questions_of(task, *rows):
    return glue_questions(as_frame(list(rows)), task)


@pytest.mark.parametrize("name", TASKS)
def test_words_numbers_and_gaps_in_a_column_of_labels(name):
    task = TASKS[name]
    words = ("entailment", "not_entailment") if name == "qnli" else ("equivalent", "not_equivalent")
    yes = (0, "0", 0.0, words[0]) if name == "qnli" else (1, "1", 1.0, words[0])
    questions = questions_of(task, *(pair(task, n, label) for n, label in enumerate(yes)))
    assert [q.options[q.answer] for q in questions] == ["Yes"] * 4
    (question,) = questions_of(task, pair(task, 9, words[1]))
    assert question.options[question.answer] == "No"


@pytest.mark.parametrize("name", TASKS)
def test_the_order_of_options_does_not_depend_on_the_rows(name):
    task = TASKS[name]
    rows = [pair(task, n, 0) for n in range(30)]
    order = {q.id: (q.options, q.answer) for q in questions_of(task, *rows)}
    assert {q.id: (q.options, q.answer) for q in questions_of(task, *rows[::-1])} == order
    assert {
        q.id: (q.options, q.answer) for q in questions_of(task, rows[5])
    }.items() <= order.items()
    assert {options for options, _ in order.values()} == {("Yes", "No"), ("No", "Yes")}


def test_groups_of_pairs():
    rows = [
        pair(MRPC_TASK, 0, 0, "a", "b"),
        pair(MRPC_TASK, 1, 0, "c", "a"),  # on the other side
        pair(MRPC_TASK, 2, 0, "d", "e"),
        pair(MRPC_TASK, 3, 0, "e", "c"),  # joins them
        pair(MRPC_TASK, 4, 0, "f", "g"),
    ]
    assert [q.group for q in questions_of(MRPC_TASK, *rows)] == ["0", "0", "0", "0", "4"]


QUIRKS = {
    "withheld": ({"label": -1}, "1 whose label is withheld"),
    "out of range": ({"label": 2}, "1 whose gold answer is out of range"),
    "no label": ({"label": None}, "1 whose 'label' is empty"),
    "no text": ({"sentence": " "}, "1 whose 'sentence' is empty"),
    "repeat": (pair(QNLI_TASK, 1, 0, *list(pair(QNLI_TASK, 0, 0).values())[:2]), "1 repeating an"),
}


@pytest.mark.parametrize("case", QUIRKS)
def test_quirks_are_dropped_and_said(case):
    change, words = QUIRKS[case]
    rows = [pair(QNLI_TASK, n, 0) for n in range(3)]
    rows[1] = {**rows[1], **change}
    with pytest.warns(CultureLensWarning) as caught:
        questions = questions_of(QNLI_TASK, *rows)
    assert [q.id for q in questions] == ["0", "2"]
    (message,) = [str(w.message) for w in caught]
    assert message.startswith(f"qnli: dropped 1 of 3 rows: {words}")


def test_bad_files_are_named(tmp_path):
    (tmp_path / "dev.tsv").write_text('index\tquestion\tsentence\tlabel\n0\t"a\tb\n', "utf-8")
    with pytest.raises(InputError, match=r"dev\.tsv, line 2: 3 cells where the header has 4"):
        load_benchmark("qnli", tmp_path)
    with pytest.raises(InputError) as caught:
        load_benchmark("mrpc", as_file(tmp_path / "mrpc.tsv", "sentence1\tlabel\nx\t1\n"))
    for word in ("mrpc.tsv", "'sentence2'", "'idx'", "'#1 String'", "it has 'sentence1', 'label'"):
        assert word in str(caught.value)


def as_file(path, text):
    path.write_text(text, encoding="utf-8")
    return path
