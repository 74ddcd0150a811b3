"""Made-up questions: four topics of four cultures, or many that are alike."""

from collections.abc import Sequence
from dataclasses import replace

from culture_lens.questions.question import Question

TOPICS = (
    ("food", "Which food do people in {} usually eat at the new year festival?"),
    ("sport", "What sport is played in {}?"),
    ("drink", "In {} many families drink this in the morning, and in the evening too. What is it?"),
    ("city", "{}: the capital?"),
)
TOY_ANSWERS = {
    "Japan": ("noodles", "baseball", "tea", "Tokyo"),
    "Mexico": ("corn bread", "soccer", "coffee with sugar", "Mexico City"),
    "Ethiopia": ("injera", "long running", "coffee", "Addis Ababa"),
    "France": ("cake", "cycling", "milk", "Paris"),
}


def toy_questions(topics: int = 4, cultures: Sequence[str] = tuple(TOY_ANSWERS)) -> list[Question]:
    """One question per topic and culture; a topic is a group, and prompts differ in length."""
    questions = []
    for number, (topic, text) in enumerate(TOPICS[:topics]):
        options = [answers[number] for answers in TOY_ANSWERS.values()]
        for position, culture in enumerate(cultures):
            turned = options[(number + position) % 4 :] + options[: (number + position) % 4]
            own = TOY_ANSWERS[culture][number]
            questions.append(
                Question(
                    id=f"{topic}/{culture}",
                    culture=culture,
                    text=text.format(culture),
                    options=tuple(turned),
                    answer=turned.index(own),
                    category=topic,
                    group=topic,
                    benchmark="toy",
                )
            )
    return questions


def with_options(question: Question, options: Sequence[str], answer: int) -> Question:
    """The same question with other options."""
    return replace(question, options=tuple(options), answer=answer)


def asked_twice(questions: Sequence[Question]) -> list[Question]:
    """Ask every question once more in other words, as a question group of its own."""
    again = [
        replace(q, id=f"{q.id}/again", group=f"{q.group}/again", text=f"Once more: {q.text}")
        for q in questions
    ]
    return [*questions, *again]


def many(n=40, cultures=("Japan", "Peru"), **fields):
    return [
        Question(f"{g}/{c}", c, f"Question {g}?", ("tea", "milk"), 0, group=f"g{g}", **fields)
        for g in range(n)
        for c in cultures
    ]


def lengthened(questions, times=5):
    """Every third question is asked so many times over, so that batches are mostly padding."""
    return [
        replace(q, text=f"{q.text} " * (times if number % 3 == 0 else 1))
        for number, q in enumerate(questions)
    ]


def one_of_each(*cultures):
    return [Question(id=c, culture=c, text="?", options=("yes", "no"), answer=0) for c in cultures]
