"""Made-up short-answer questions, in the layout of BLEnD's annotations."""

import json

from culture_lens.evaluation.short_answers.matching import HumanAnswer
from culture_lens.evaluation.short_answers.questions import ShortQuestion


def entry(question, *annotations, idk=0, none=0, inapplicable=0, english=None):
    return {
        "question": question,
        "en_question": english or f"{question} in English",
        "annotations": [
            {"answers": list(own), "en_answers": list(other), "count": votes}
            for own, other, votes in annotations
        ],
        "idks": {"idk": idk, "no-answer": none, "not-applicable": inapplicable, "a remark": 9},
    }


def written_to(folder, region, entries):
    (folder / f"{region}_data.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder


def short(name="1", culture="UK", language="English", answers=None, **given):
    humans = answers or (HumanAnswer(("milk",), 2), HumanAnswer(("sugar",), 1))
    text = given.pop("text", "Tea with?")
    return ShortQuestion(name, culture, text, language, humans, **given)
