"""BLEnD: the published rows against counts made here with csv and json alone."""

import csv
import json
from collections import Counter

import datasets
import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.benchmarks.blend import PROMPT, blend_questions, row_options, row_question
from culture_lens.benchmarks.reading.rows import as_frame
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.prompts.layout import fill_layout
from culture_lens.questions.question import control_twin
from tests.helpers.marks import needs_data, quiet
from tests.helpers.places import DATA
from tests.helpers.rows import csv_rows

FOLDER = DATA / "blend"
real = needs_data("blend")
IDENTIFY = {"Food", "Sport", "Work life"}


@pytest.fixture(scope="module")
def published():
    return csv_rows(FOLDER, "mc_questions*.csv")


@pytest.fixture(scope="module")
def topics():
    return {row["ID"]: row["Topic"] for row in csv_rows(FOLDER, "US_questions.csv")}


def gold(row):
    return json.loads(row["choices"])[row["answer_idx"]]


def usable(row):
    options = [option.strip() for option in json.loads(row["choices"]).values()]
    return gold(row).strip() != "not-applicable" and len(set(options)) == len(options)


def capped(rows, most):
    seen, kept = Counter(), []
    for row in rows:
        seen[row["country"], row["ID"]] += 1
        if seen[row["country"], row["ID"]] <= most:
            kept.append(row)
    return kept


@real
@pytest.mark.parametrize("split", [None, "identify", "evaluate"])
@pytest.mark.parametrize("most", [5, 1, None])
def test_exact_rows_after_every_rule(published, topics, split, most):
    rows = [
        row
        for row in published
        if split is None or (topics[row["ID"]] in IDENTIFY) == (split == "identify")
    ]
    within = rows if most is None else capped(rows, most)
    expected = [row["MCQID"] for row in within if usable(row)]
    assert 0 < len(expected) < len(rows)
    with pytest.warns(CultureLensWarning) as caught:
        questions = load_benchmark("blend", FOLDER, split=split, rows_per_id=most)
    assert [q.id for q in questions] == expected
    (message,) = [str(w.message) for w in caught]
    inapplicable = sum(gold(row).strip() == "not-applicable" for row in within)
    assert f"dropped {len(rows) - len(expected)} of {len(rows)} rows" in message
    assert f"{inapplicable} whose gold answer is 'not-applicable'" in message
    assert (f"{len(rows) - len(within)} beyond the first {most}" in message) == (most is not None)


@real
@quiet
def test_fields(published, topics):
    rows = {row["MCQID"]: row for row in published}
    questions = load_benchmark("blend", FOLDER)
    assert {q.culture for q in questions} == {row["country"] for row in published}
    for question in questions:
        row = rows[question.id]
        topic = topics[row["ID"]]
        assert (question.culture, question.group) == (row["country"], row["ID"])
        assert question.options[question.answer] == gold(row)
        assert question.category == topic
        assert question.split == ("identify" if topic in IDENTIFY else "evaluate")
        owners = question.metadata["option_cultures"]
        assert list(owners) == list(json.loads(row["choice_countries"]).values())
        assert owners[question.answer] == question.culture
        assert question.text == row["prompt"].split(" Without any explanation")[0]
    groups = {s: {q.group for q in questions if q.split == s} for s in ("identify", "evaluate")}
    assert groups["identify"] and not groups["identify"] & groups["evaluate"]


@pytest.mark.slow
@real
def test_prompt_of_every_row_is_rebuilt_byte_for_byte(published, topics):
    padded = 0
    for row in published:
        options, answer = row_options(row)
        question = row_question(row, options, answer, topics[row["ID"]])
        assert fill_layout(question, "choices")[0] == row["prompt"].strip()
        padded += any(option != option.strip() for option in options)
    assert padded  # options with surrounding space stand in the prompt as they were published


@pytest.mark.slow
@real
@quiet
def test_inapplicable_rows_are_kept_on_request(published):
    kept = load_benchmark("blend", FOLDER, keep_inapplicable=True)
    golds = {row["MCQID"]: gold(row).strip() for row in capped(published, 5)}
    assert [q.id for q in kept if golds[q.id] == "not-applicable"]
    without = [q.id for q in kept if golds[q.id] != "not-applicable"]
    assert without == [q.id for q in load_benchmark("blend", FOLDER)]


@real
def test_ids_are_unique_over_all_rows(published):
    assert len({row["MCQID"] for row in published}) == len(published)


@pytest.mark.slow
@real
@quiet
def test_file_folder_topics_and_hub_give_the_same_questions(
    published, topics, monkeypatch, tmp_path
):
    expected = load_benchmark("blend", FOLDER)
    path = next(FOLDER.glob("mc_questions*.csv"))
    assert load_benchmark("blend", path) == expected
    assert load_benchmark("blend", path, topics=topics) == expected
    alone = tmp_path / path.name
    alone.write_bytes(path.read_bytes())
    assert load_benchmark("blend", alone, topics=FOLDER / "US_questions.csv") == expected

    asked = []

    def load_dataset(hub, config, *, split):
        asked.append((hub, config, split))
        if config == "multiple-choice-questions":
            return datasets.Dataset.from_list(published)
        return datasets.Dataset.from_list([{"ID": i, "Topic": t} for i, t in topics.items()])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert load_benchmark("blend") == expected
    assert asked == [
        ("nayeon212/BLEnD", "multiple-choice-questions", "test"),
        ("nayeon212/BLEnD", "short-answer-questions", "US"),
    ]
    asked.clear()
    assert load_benchmark("blend", topics=topics) == expected
    assert [config for _, config, _ in asked] == ["multiple-choice-questions"]


# Rows made here, in the published layout.

INSTRUCTION = (
    " Without any explanation, choose only one from the given alphabet choices(e.g., A, B, C). "
    'Provide as JSON format: {"answer_choice":""}'
)
TOPICS = {"Al-01": "Food", "Al-02": "Family"}


def made(number, item="Al-01", country="UK", options=("pie", "rice", "fufu"), answer="A", **other):
    letters = "ABCD"[: len(options)]
    lines = "\n".join(f"{a}. {b}" for a, b in zip(letters, options, strict=True))
    return {
        "MCQID": f"{item}_{number}",
        "ID": item,
        "country": country,
        "prompt": f"What is eaten in {country}?{INSTRUCTION}\n\n{lines}\n\nAnswer:",
        "choices": json.dumps(dict(zip(letters, options, strict=True)), indent=4),
        "choice_countries": json.dumps(dict.fromkeys(letters, country)),
        "answer_idx": answer,
        **other,
    }


def questions_of(*rows, topics=TOPICS, **options):
    return blend_questions(as_frame(list(rows)), topics, **options)


def test_the_cap_comes_before_the_drop():
    rows = [made(n) for n in range(7)]
    rows[1] = made(1, options=("not-applicable", "rice", "fufu"))
    rows[2] = made(2, options=("pie", "rice ", "rice"))
    rows[3] = made(3, options=("pie", "rice", "not-applicable"))
    with pytest.warns(CultureLensWarning) as caught:
        questions = questions_of(*rows)
    # 5 and 6 are beyond the cap, though 1 and 2 make room: they are not among CULNIG's rows.
    assert [q.id for q in questions] == ["Al-01_0", "Al-01_3", "Al-01_4"]
    assert [str(w.message) for w in caught] == [
        "blend: dropped 4 of 7 rows: 2 beyond the first 5 of their (country, ID), "
        "1 whose gold answer is 'not-applicable', 1 whose options are empty or collide."
    ]


def test_the_cap_counts_each_country_by_itself():
    rows = [made(f"{c}{n}", country=c) for n in range(3) for c in ("UK", "US")]
    with pytest.warns(CultureLensWarning, match="dropped 2 of 6"):
        kept = questions_of(*rows, rows_per_id=2)
    assert Counter(q.culture for q in kept) == {"UK": 2, "US": 2}


def test_nothing_is_said_where_nothing_is_dropped(recwarn):
    assert len(questions_of(made(1), made(2))) == 2
    assert not recwarn


def test_prompt_and_its_control():
    (question,) = questions_of(made(1))
    assert question.prompt is PROMPT
    assert question.prompt.answer_prefix == '{"answer_choice":"'
    whole, control = (fill_layout(q, "choices")[0] for q in (question, control_twin(question)))
    assert whole == made(1)["prompt"]
    assert control == whole.removeprefix("What is eaten in UK? ")


def test_choices_may_come_as_a_struct():
    row = made(1)
    struct = {**row, "choices": json.loads(row["choices"])}
    assert questions_of(struct) == questions_of(row)


BAD = {
    "shape": ({"prompt": "What is eaten? A or B"}, ["'Al-01_1'", "prompt", "as published"]),
    "other options": (
        {"choices": '{"A": "x", "B": "y", "C": "z"}'},
        ["'Al-01_1'", "prompt is not"],
    ),
    "gold out of range": ({"answer_idx": "E"}, ["'Al-01_1'", "'E'", "out of range", "A, B, C"]),
    "blank gold": ({"answer_idx": None}, ["'Al-01_1'", "out of range"]),
    "malformed choices": ({"choices": '{"A": "x"'}, ["'Al-01_1'", "choices is not a JSON object"]),
    "listed choices": ({"choices": '["x", "y"]'}, ["'Al-01_1'", "choices is not a JSON object"]),
    "other letters": ({"choices": '{"1": "x"}'}, ["'Al-01_1'", "keys A, B, C"]),
    "countries": ({"choice_countries": "UK"}, ["'Al-01_1'", "choice_countries is not"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_named(case):
    change, words = BAD[case]
    with pytest.raises(InputError) as caught:
        questions_of(made(0), {**made(1), **change})
    for word in words:
        assert word in str(caught.value)


def test_bad_topics_and_options():
    with pytest.raises(InputError, match=r"1 of 2 question IDs have no topic \(first 'Al-03'\)"):
        questions_of(made(1), made(1, item="Al-03"))
    with pytest.raises(InputError, match=r"unknown topic 'Foods'.*did you mean 'Food'.*'Al-01'"):
        questions_of(made(1), topics={"Al-01": "Foods"})
    with pytest.raises(InputError, match="unknown split of BLEnD 'test'.*evaluate, identify"):
        questions_of(made(1), split="test")
    with pytest.raises(InputError, match="rows_per_id=0"):
        questions_of(made(1), rows_per_id=0)


def copy_of(folder, *rows, name="mc_questions_file.csv"):
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        out.writerows(rows)
    return folder / name


def test_a_local_copy_lacks_something(tmp_path):
    with pytest.raises(InputError, match=r"exactly one file mc_questions\*.*found none"):
        load_benchmark("blend", tmp_path)
    path = copy_of(tmp_path, made(1), made(1, country="US", item="Al-02"))
    with pytest.raises(InputError, match=r"exactly one file US_questions.*found none"):
        load_benchmark("blend", path)
    copy_of(tmp_path, {"ID": "Al-01", "Subject": "Food"}, name="US_questions.csv")
    with pytest.raises(InputError, match=r"US_questions.csv: column 'Topic' is missing.*'Subject'"):
        load_benchmark("blend", path)
    copy_of(tmp_path, *({"ID": i, "Topic": t} for i, t in TOPICS.items()), name="US_questions.csv")
    assert [q.culture for q in load_benchmark("blend", tmp_path)] == ["UK", "US"]
    copy_of(tmp_path, made(1), name="mc_questions_old.csv")
    with pytest.raises(InputError, match=r"found mc_questions_file.csv, mc_questions_old.csv"):
        load_benchmark("blend", tmp_path)
    with pytest.raises(InputError, match=r"no file .*mc\.csv"):
        load_benchmark("blend", tmp_path / "mc.csv")


def test_duplicate_ids_are_refused(tmp_path):
    path = copy_of(tmp_path, made(1), made(1, country="US"))
    with pytest.raises(InputError, match="'Al-01_1' occurs twice in blend"):
        load_benchmark("blend", path, topics=TOPICS)
