"""Four wordings of every benchmark: other words, the same questions."""

import csv
import json
from collections import Counter
from dataclasses import replace

import pytest

from culture_lens.benchmarks import (
    BENCHMARKS,
    culturalbench,
    glue,
    in_every_wording,
    load_benchmark,
    normad,
)
from culture_lens.benchmarks.blend import PROMPT
from culture_lens.benchmarks.commonsenseqa import commonsenseqa_questions
from culture_lens.benchmarks.organism import ORGANISM_PROMPT
from culture_lens.benchmarks.reading.rows import as_frame
from culture_lens.benchmarks.reading.wordings import DEFAULT_WORDINGS, in_wording
from culture_lens.benchmarks.table import questions_from_table
from culture_lens.errors import InputError
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.build import build_prompt
from culture_lens.prompts.layout import fill_layout
from culture_lens.questions.question import PromptFormat, Question, control_twin, with_format
from tests.helpers.marks import needs_data, quiet
from tests.helpers.places import DATA
from tests.helpers.tiny import ARCHITECTURES, tiny_tokenizer

KINDS = {
    (name, number): forms
    for name, benchmark in BENCHMARKS.items()
    for number, forms in enumerate(benchmark.wordings)
    if name != "organism"
}


def one(forms, benchmark="table", number=0):
    return Question(
        id=f"q{number}",
        culture="Japan",
        text="Which coin is it?",
        options=("yen", "won", "euro", "real", "rupee"),
        answer=0,
        benchmark=benchmark,
        prompt=forms[0],
        metadata={"kept": number},
    )


# The words.


def test_every_benchmark_but_the_organism_has_four_wordings_of_each_kind():
    assert BENCHMARKS["organism"].wordings == ((ORGANISM_PROMPT,),)
    assert {len(forms) for forms in KINDS.values()} == {4}
    assert len(BENCHMARKS["culturalbench"].wordings) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_wordings_differ_in_words_and_labels(kind):
    forms = KINDS[kind]
    assert len({form.instruction for form in forms}) == 4
    assert len({form.layout for form in forms}) == 4
    assert [form.labels[:5] for form in forms] == ["ABCDE", "12345", "ABCDE", "12345"]
    if kind[0] != "countryrc":
        assert len({form.cloze_instruction for form in forms}) == 4
    for number, form in enumerate(forms):
        question = replace(one(forms), prompt=form)
        message = fill_layout(question, "choices")[0]
        shown = "\n".join(
            f"{a}. {b}" for a, b in zip(question.labels, question.options, strict=True)
        )
        for part in (question.text, shown, form.instruction):
            assert message.count(part) == 1
        assert form.cloze_instruction in fill_layout(question, "cloze")[0]
        twin = fill_layout(control_twin(question), "choices")[0]
        assert question.text not in twin and form.instruction in twin
        if (kind[0], number) != ("blend", 0):  # whose published words name neither
            asked = {"letter": "number", "number": "letter"}
            wanted = "number" if number % 2 else "letter"
            assert wanted in form.instruction and asked[wanted] not in form.instruction
        if form.answer_prefix:
            assert form.answer_prefix == '{"answer_choice":"'
            assert '{"answer_choice":""}' in form.instruction


def test_no_two_kinds_share_an_instruction():
    own = {
        form.instruction
        for kind, forms in KINDS.items()
        if forms is not DEFAULT_WORDINGS
        for form in forms
    }
    kinds = [forms for forms in KINDS.values() if forms is not DEFAULT_WORDINGS]
    assert len(own) == 4 * len(kinds)
    assert not own & {form.instruction for form in DEFAULT_WORDINGS}


def test_the_first_wording_is_the_benchmarks_own():
    assert DEFAULT_WORDINGS[0] == PromptFormat()
    for name in ("everyday", "cvqa", "k_viscuit", "table"):
        assert BENCHMARKS[name].wordings == (DEFAULT_WORDINGS,)
    assert BENCHMARKS["blend"].wordings[0][0] is PROMPT
    assert load_benchmark("everyday")[0].prompt == DEFAULT_WORDINGS[0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_labels_are_single_tokens_in_every_wording(architecture):
    tokenizer = tiny_tokenizer(architecture)
    for forms in KINDS.values():
        for form in forms:
            question = replace(one(forms), prompt=form)
            ids = label_ids(build_prompt(question, tokenizer), tokenizer)
            assert [tokenizer.decode([i]).strip() for i in ids] == list(question.labels)


# The same questions.


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_words_change(kind):
    forms = KINDS[kind]
    questions = [one(forms, kind[0], n) for n in range(3)]
    lists = in_every_wording(questions)
    assert len(lists) == 4
    for number, worded in enumerate(lists):
        for before, after in zip(questions, worded, strict=True):
            assert after.prompt == forms[number]
            assert after.metadata == {"kept": before.metadata["kept"], "wording": number}
            assert replace(after, prompt=before.prompt, metadata=before.metadata) == before
    # From whichever wording one begins, the lists are the same.
    for worded in lists:
        assert in_every_wording(worded) == lists


def test_the_two_kinds_of_culturalbench_keep_their_own_words():
    kinds = BENCHMARKS["culturalbench"].wordings
    mixed = [one(kinds[0], "culturalbench", 0), one(kinds[1], "culturalbench", 1)]
    for number, (easy, hard) in enumerate(in_every_wording(mixed)):
        assert (easy.prompt, hard.prompt) == (kinds[0][number], kinds[1][number])


def test_questions_of_several_benchmarks_and_of_the_users_own():
    rows = [{"culture": "Japan", "question": "Coin?", "options": ["yen", "won"], "answer": "A"}]
    own = questions_from_table(rows, benchmark="mine")
    both = [*own, *load_benchmark("everyday", cultures=["Iran"], limit=2)]
    lists = in_every_wording(both)
    assert [[q.id for q in worded] for worded in lists] == [[q.id for q in both]] * 4
    assert [worded[0].prompt for worded in lists] == list(DEFAULT_WORDINGS)


def test_own_words_are_not_replaced():
    mine = with_format(load_benchmark("everyday", limit=1), PromptFormat(instruction="Mine."))
    with pytest.raises(InputError, match=r"of everyday: its prompt format is none of its bench"):
        in_every_wording(mine)
    with pytest.raises(InputError, match="no questions to put in other wordings"):
        in_every_wording([])


@pytest.mark.slow
def test_the_organism_has_one_wording():
    questions = load_benchmark("organism", split="unseen", pictures=1)
    assert load_benchmark("organism", split="unseen", pictures=1, wording=0)[0].prompt == (
        ORGANISM_PROMPT
    )
    (only,) = in_every_wording(questions)
    assert [q.id for q in only] == [q.id for q in questions]
    assert {q.prompt for q in only} == {ORGANISM_PROMPT}
    with pytest.raises(InputError, match=r"wording=1: benchmark 'organism' has only one wording"):
        load_benchmark("organism", wording=1)
    with pytest.raises(
        InputError, match="have different numbers of wordings.*everyday 4, organism 1"
    ):
        in_every_wording([*questions, *load_benchmark("everyday")])


# wording= of load_benchmark.


@pytest.mark.slow
def test_a_wording_by_number():
    default = load_benchmark("everyday")
    lists = in_every_wording(default)
    for number in range(4):
        assert load_benchmark("everyday", wording=number) == lists[number]
    assert [replace(q, metadata=p.metadata) for q, p in zip(lists[0], default, strict=True)] == (
        default
    )
    assert "wording" not in default[0].metadata


@pytest.mark.parametrize("wording", [4, -1, "1", 1.0])
def test_an_unknown_wording_is_named_before_anything_is_read(wording):
    with pytest.raises(InputError, match=r"benchmark 'blend' has the wordings 0 to 3"):
        checked("blend", wording)


def checked(name, wording):
    """As the command line hands it over, where nothing has checked its type."""
    from culture_lens.benchmarks import check_options

    check_options(BENCHMARKS[name], {"wording": wording})


@pytest.mark.slow
def test_countryrc_gives_each_question_once_when_asked_for_one_wording():
    every = load_benchmark("countryrc", split="evaluate")
    assert len(every) == 800
    for number, form in enumerate(BENCHMARKS["countryrc"].wordings[0]):
        some = load_benchmark("countryrc", split="evaluate", wording=number)
        assert [q.id for q in some] == [q.id for q in every if q.prompt == form]
        assert len(some) == 200 and {q.prompt for q in some} == {form}
        assert {q.metadata["wording"] for q in some} == {number}
        assert len({(q.group, q.culture) for q in some}) == 200
        lists = in_every_wording(some)
        assert lists[number] == some
        assert all([q.id for q in worded] == [q.id for q in some] for worded in lists)


def test_loading_limits_after_wording_is_the_same_choice():
    plain = load_benchmark("everyday", limit=3)
    assert [q.id for q in load_benchmark("everyday", limit=3, wording=2)] == [q.id for q in plain]


# Every benchmark's own reader, on rows made here.


def made():
    """Questions of the benchmarks with text, two rows each."""
    option = {f"prompt_option_{letter}": word for letter, word in zip("abcd", "wxyz", strict=True)}
    shared = {"question_idx": "1", "prompt_question": "What?", "country": "Peru"}
    story = {"Country": "fiji", "Story": "Ann bowed.", "Gold Label": "yes"}
    choices = {"label": ["A", "B"], "text": ["bank", "mall"]}
    return {
        "easy": culturalbench.culturalbench_questions(
            as_frame([{"data_idx": "1", "answer": "A", **shared, **option}])
        ),
        "hard": culturalbench.culturalbench_questions(
            as_frame([{"data_idx": "1", "answer": "TRUE", **shared, "prompt_option": "w"}]),
            subset="hard",
        ),
        "normad": normad.normad_questions(as_frame([story])),
        "commonsenseqa": commonsenseqa_questions(
            as_frame([{"id": "1", "question": "?", "choices": choices, "answerKey": "A"}])
        ),
        "qnli": glue.glue_questions(
            as_frame([{"idx": 1, "question": "Who?", "sentence": "Ann.", "label": 0}]),
            glue.QNLI_TASK,
        ),
        "mrpc": glue.glue_questions(
            as_frame([{"idx": 1, "sentence1": "A.", "sentence2": "B.", "label": 0}]),
            glue.MRPC_TASK,
        ),
    }


def test_every_reader_gives_questions_that_have_other_words():
    for name, questions in made().items():
        lists = in_every_wording(questions)
        assert len(lists) == 4 and len({worded[0].prompt for worded in lists}) == 4, name
        assert lists[0][0].prompt == questions[0].prompt, name


@pytest.mark.slow
@needs_data("blend")
@quiet
def test_the_test_topics_of_blend_in_every_wording():
    with next((DATA / "blend").glob("mc_questions*.csv")).open(encoding="utf-8") as file:
        prompts = {row["MCQID"]: row["prompt"] for row in csv.DictReader(file)}
    questions = load_benchmark("blend", DATA / "blend", split="evaluate")
    assert len(questions) == 571 and {q.split for q in questions} == {"evaluate"}
    lists = in_every_wording(questions)
    assert Counter(len(worded) for worded in lists) == {571: 4}
    for question in lists[0]:
        assert fill_layout(question, "choices")[0] == prompts[question.id].strip()
    assert load_benchmark("blend", DATA / "blend", split="evaluate", wording=3) == lists[3]


def test_a_wording_from_the_command_line(tmp_path):
    from culture_lens.cli.loading import open_questions

    path = tmp_path / "dev.jsonl"
    row = {"id": "1", "question": "?", "answerKey": "A"}
    row["choices"] = {"label": ["A", "B"], "text": ["bank", "mall"]}
    path.write_text(json.dumps(row), encoding="utf-8")
    options = {"benchmark": "commonsenseqa", "path": path, "benchmark_option": ["wording=1"]}
    (question,) = open_questions(options)
    assert question.metadata["wording"] == 1 and question.labels == "12"
    assert in_wording([question], 0, BENCHMARKS["commonsenseqa"].wordings)[0].labels == "AB"
