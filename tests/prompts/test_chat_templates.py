"""Chat templates are programs that come with a checkpoint: bounded, and each fault one error."""

import copy
import signal
import threading
import time

import pytest

from culture_lens.errors import InputError
from culture_lens.prompts import tokens
from culture_lens.prompts.build import build_prompt, build_prompts
from culture_lens.prompts.time_limit import time_limit
from culture_lens.questions.question import PromptFormat, with_format
from tests.helpers.questions import toy_questions
from tests.helpers.tiny import tiny_tokenizer

MESSAGE = "{{ messages[0].content }}"
LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}BODY{% endfor %}{% endfor %}"
ENDLESS = {
    "silent": LOOP.replace("BODY", ""),
    "writing": LOOP.replace("BODY", "x"),
    "recursive": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "a long range": "{% for a in range(10 ** 12) %}x{% endfor %}",
}
FAULTY = {
    "raises": "{{ raise_exception('no system message') }}",
    "unfinished": "{% if",
    "divides by zero": "{{ 1 / 0 }}",
    "adds text and number": "{{ 'a' + 1 }}",
    "asks for what is not there": "{{ messages[7].content.text }}",
}


def tokenizer_with(template):
    tokenizer = copy.copy(tiny_tokenizer("llama"))
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("template", ENDLESS.values(), ids=ENDLESS)
def test_a_template_without_end_is_stopped(template, monkeypatch):
    monkeypatch.setattr(tokens, "TEMPLATE_SECONDS", 0.1)
    started = time.monotonic()
    with pytest.raises(InputError, match="chat template .* fails .*another template"):
        build_prompts(toy_questions(), tokenizer_with(template + MESSAGE))
    assert time.monotonic() - started < 20  # on a busy machine


@pytest.mark.parametrize("template", FAULTY.values(), ids=FAULTY)
def test_a_template_that_fails_is_one_clear_error(template):
    with pytest.raises(InputError, match="chat template .* fails .*another template"):
        build_prompts(toy_questions(), tokenizer_with(template + MESSAGE))


def test_a_template_that_writes_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(tokens, "TEMPLATE_CHARACTERS", 1000)
    with pytest.raises(InputError, match="writes 5[0-9]{3} characters around one question"):
        build_prompts(toy_questions(), tokenizer_with("{{ 'x' * 5000 }}" + MESSAGE))


def test_an_honest_template_is_as_it_was():
    (prompt, *_) = build_prompts(toy_questions(), tokenizer_with("<u>" + MESSAGE + "</u>"))
    assert prompt.text.startswith("<u>Which food") and prompt.text.endswith("</u>")


def test_an_alarm_of_the_user_stays(monkeypatch):
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 100)
        with time_limit(50.0):
            assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 50
        assert 90 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
        with pytest.raises(TimeoutError, match=r"0\.05 seconds"), time_limit(0.05):
            time.sleep(10)
        assert 90 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100 and not rung
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_another_thread_has_no_limit_and_no_error():
    done = []

    def work():
        with time_limit(0.01):
            time.sleep(0.05)
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]


@pytest.mark.parametrize(
    ("layout", "template"),
    [("{options}\nAnswer: ", MESSAGE), ("{options}", MESSAGE + "{{ ' Answer:' }}")],
    ids=["layout", "template"],
)
def test_an_answer_prefix_that_is_there_already_is_refused(layout, template):
    tokenizer = tokenizer_with(template)
    (twice,) = with_format(
        toy_questions()[:1], PromptFormat(layout=layout, answer_prefix="Answer:")
    )
    with pytest.raises(InputError, match="ends with 'Answer:' before answer_prefix='Answer:'"):
        build_prompt(twice, tokenizer)
    (once,) = with_format(
        [twice], PromptFormat(layout="Answer: {question}", answer_prefix="Answer: (")
    )
    assert build_prompt(once, tokenizer).text.endswith("Answer: (")
