"""The templates of CountryRC, and passages made of templates of one's own."""

import re
from collections import Counter

import pytest

from culture_lens.errors import InputError
from tests.helpers.countryrc import made_template, needs_published, questions_of_templates

# The bundled templates.


def test_templates_have_their_placeholders_once_and_ids_in_order(templates):
    assert [t["id"] for t in templates] == [f"rc-{n:02d}" for n in range(1, 51)]
    for one in templates:
        assert list(one) == ["id", "context", "question"]
        fields = re.findall(r"\{.*?\}", one["context"])
        assert fields.count("{country}") == 1 and fields.count("{country_dummy}") <= 1
        assert len(fields) == len(set(fields) & {"{country}", "{country_dummy}"})
        assert "{" not in one["question"] and one["question"].endswith("?")
    assert len({t["question"] for t in templates}) == len({t["context"] for t in templates}) == 50


def test_decoys_are_spread_over_both_halves_and_both_sides_of_the_answer(templates):
    for half in (templates[:25], templates[25:]):
        decoys = [t["context"] for t in half if "{country_dummy}" in t["context"]]
        assert len(decoys) == 10
        assert sum(t.index("{country_dummy}") < t.index("{country}") for t in decoys) == 5


def test_the_answer_stands_early_in_the_middle_and_late_in_both_halves(templates):
    for half in (templates[:25], templates[25:]):
        places = [t["context"].index("{country}") / len(t["context"]) for t in half]
        assert min(Counter(int(3 * place) for place in places).values()) >= 4


def test_no_template_needs_the_place_to_be_a_country(templates):
    for one in templates:
        words = f"{one['context']} {one['question']}".lower()
        for placeholder in ("{country}", "{country_dummy}"):
            words = words.replace(placeholder, "")
        assert not re.search(r"\b(countr|nation|government|border|abroad)", words), one
        assert "the {country" not in one["context"].lower()


def word_runs(templates, length):
    runs = set()
    for text in (t[part] for t in templates for part in ("context", "question")):
        words = re.findall(r"[\w{}']+", text.lower())
        runs |= {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}
    return runs


def sentences(templates):
    texts = (f"{t['context']} {t['question']}".lower() for t in templates)
    return {s.strip() for text in texts for s in re.split(r"[.?!]", text)} - {""}


@needs_published
def test_the_templates_share_no_sentence_and_no_run_of_words_with_the_published(
    templates, published_templates
):
    assert sentences(templates).isdisjoint(sentences(published_templates))
    assert word_runs(templates, 5).isdisjoint(word_runs(published_templates, 5))
    assert word_runs(templates, 2) & word_runs(published_templates, 2)  # so the comparison compares


def test_other_braces_and_repeated_fields_stay_whole():
    text = r"{0} {} {name} \1: {country}, not {country_dummy} but {country} {"
    own = r"A\g<0>{country_dummy}"
    question = questions_of_templates(made_template(context=text), countries={"x": own})[0]
    decoy = question.metadata["decoy"]
    assert question.text.startswith(rf"Passage: {{0}} {{}} {{name}} \1: {own}, not {decoy} but")
    assert question.text.endswith("Where from?") and decoy in question.options


def test_the_middle_of_an_odd_number_of_templates_evaluates():
    found = questions_of_templates(*(made_template(f"t{n}") for n in range(5)), countries="Iran")
    halves = {q.group: q.split for q in found}
    assert list(halves.values()) == ["identify"] * 2 + ["evaluate"] * 3
    assert len(found) == 5 * 4


def test_questions_do_not_depend_on_the_other_templates_or_countries():
    rows = [made_template("t1"), made_template("t2", "{country_dummy} or {country}?")]
    both = questions_of_templates(*rows, countries=["Iran", "UK"])
    alone = questions_of_templates(rows[1], countries=["UK"])
    assert alone == [q for q in both if q.group == "t2" and q.culture == "UK"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [made_template(), made_template("t2", "No place.")],
            ["row 2", "'t2'", "does not hold {country}"],
        ),
        (
            [made_template(context="{country_dummy}", question="{country}?")],
            ["does not hold {country}"],
        ),
        ([made_template(), made_template()], ["row 2", "'t1' occurred before"]),
        ([made_template(), made_template(" ")], ["row 2", "'id' is empty"]),
        ([made_template(context="")], ["row 1", "'context' is empty"]),
        ([made_template(question=None)], ["row 1", "'question' is empty"]),
        ([{"id": "t1", "context": "{country}"}], ["column 'question' is missing"]),
        ([{"context": "{country}", "question": "?"}], ["column 'id' is missing"]),
    ],
)
def test_bad_templates_are_named(rows, words):
    with pytest.raises(InputError) as caught:
        questions_of_templates(*rows)
    for word in words:
        assert word in str(caught.value)
