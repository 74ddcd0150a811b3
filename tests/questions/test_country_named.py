"""The two versions of a question differ in the country's name alone."""

import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.errors import InputError
from culture_lens.questions.country_named import (
    names_country,
    with_country_named,
    without_country_named,
)
from culture_lens.questions.question import Question


def asked(text, culture="UK"):
    return Question(id="1", culture=culture, text=text, options=("tea", "mate"), answer=0)


CASES = [
    ("UK", "What is drunk in the UK?", "What is drunk in this country?"),
    ("UK", "In Great Britain, what is drunk?", "In this country, what is drunk?"),
    ("UK", "The United Kingdom drinks what?", "This country drinks what?"),
    ("South_Korea", "South Korea's soup?", "This country's soup?"),
    ("South_Korea", "A south korea soup of South-Korea", "A this country soup of this country"),
    ("India (Tamil)", "What is eaten in India?", "What is eaten in this country?"),
    ("West_Java", "What is eaten in West Java?", "What is eaten in this country?"),
    ("US", "Which sport in the USA, the States?", "Which sport in this country, the States?"),
    ("US", "A sport of the U.S. and of us?", "A sport of this country and of us?"),
    ("united_states_of_america", "A sport of US schools?", "A sport of this country schools?"),
    ("Italy", "IT in Italy?", "IT in this country?"),
]


@pytest.mark.parametrize(("culture", "text", "without"), CASES)
def test_the_name_goes_with_its_article_and_nothing_else(culture, text, without):
    question = asked(text, culture)
    assert names_country(question) and with_country_named([question]) == [question]
    (found,) = without_country_named([question])
    assert found.text == without and not names_country(found)
    assert (found.id, found.options, found.group) == (question.id, question.options, question.group)


@pytest.mark.parametrize(
    "text", ["Who ukes?", "A Korean soup?", "What is drunk in Ukraine?", "uk", ""]
)
def test_what_does_not_name_it_is_asked_as_it_is_and_after_a_lead(text):
    question = asked(text)
    assert without_country_named([question]) == [question]
    (found,) = with_country_named([question])
    assert found.text == f"Country: UK. {text}" and names_country(found)
    (own,) = with_country_named([question], "In {country}: ")
    assert own.text == f"In UK: {text}"


def test_every_bundled_question_becomes_a_pair():
    questions = load_benchmark("everyday", limit=4)
    assert all(map(names_country, with_country_named(questions)))
    assert not any(map(names_country, without_country_named(questions)))


def test_a_lead_without_a_place_and_a_stand_in_that_names_it_are_refused():
    with pytest.raises(InputError, match="put {country} where the name goes"):
        with_country_named([asked("x")], "In a country: ")
    with pytest.raises(InputError, match="'in Britain' names 'UK'"):
        without_country_named([asked("in the UK")], "in Britain")
