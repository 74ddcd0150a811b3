"""How far CULNIG's sets depend on the wordings of CountryRC: our wordings beside others.

    python speed/countryrc_wordings.py published.json --blend data/blend --countryrc data.json

``published.json`` holds wordings (see ``benchmarks/reading/own_wordings.py``), such as the
published ones, which are not bundled; ``data.json`` the passages. The same passages with the same
options are asked in our wordings, in the others, and in the others without the line breaks that end
their layouts. For each selector it prints the mean Jaccard overlap of the sets, that with the set
without CountryRC, and what each set says of its own stability over wordings. SmolLM2-135M takes a
quarter of an hour of one core for 11 questions of each region and six passages.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import combinations

from culture_lens.attribution.countryrc import countryrc_for, score_wordings
from culture_lens.attribution.culnig import CulnigScores
from culture_lens.attribution.gradients import attribute
from culture_lens.benchmarks import load_benchmark
from culture_lens.models.load import load_model
from culture_lens.neurons.neuron_set import NeuronSet, jaccard
from culture_lens.neurons.wordings import wording_stability_in_words
from culture_lens.questions.question import Question
from culture_lens.selectors import select

WITHOUT_COUNTRYRC = {
    "culnig_specific": {"countryrc_share": 0.0},
    "culnig_general": {"countryrc_mlp_share": 0.0, "countryrc_attention_share": 0.0},
}


def shortest(questions: list[Question], per_culture: int) -> list[Question]:
    """The shortest questions of each culture, to save time."""
    chosen = []
    for culture in sorted({question.culture for question in questions}):
        own = [question for question in questions if question.culture == culture]
        chosen += sorted(own, key=lambda question: (len(question.text), question.id))[:per_culture]
    return chosen


def unbroken(question: Question) -> Question:
    """The same question without the line breaks that end its layout."""
    form = question.prompt
    return replace(question, prompt=replace(form, layout=form.layout.rstrip("\n")))


def overlap(one: NeuronSet, other: NeuronSet) -> float:
    """Mean Jaccard overlap over labels."""
    found = [jaccard(one[label].members(), other[label].members()) for label in one]
    return sum(found) / len(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wordings", help="a JSON file of other wordings")
    parser.add_argument("--blend", required=True, help="a local copy of BLEnD")
    parser.add_argument("--countryrc", help="a file of passages instead of the bundled ones")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--per-culture", type=int, default=11)
    parser.add_argument("--passages", type=int, default=6)
    given = parser.parse_args()
    model = load_model(given.model)
    every = load_benchmark("blend", given.blend, split="identify")
    task = shortest(every, given.per_culture)
    ours, others = (
        countryrc_for(every, None, given.countryrc, wordings) for wordings in (None, given.wordings)
    )
    kept = list(dict.fromkeys(question.group for question in ours))[: given.passages]
    ours, others = ([q for q in asked if q.group in kept] for asked in (ours, others))

    def score(questions: list[Question], control: bool = False):  # type: ignore[no-untyped-def]
        return attribute(model, questions, control=control)

    both = score(task), score(task, control=True)
    asked = {"ours": ours, "others": others, "unbroken": [unbroken(q) for q in others]}
    scores = {name: CulnigScores(*both, *score_wordings(qs, score)) for name, qs in asked.items()}
    for method, none in WITHOUT_COUNTRYRC.items():
        sets = {name: select(one, method) for name, one in scores.items()}
        for name, found in sets.items():
            print(f"{method}, {name}: {wording_stability_in_words(found.metadata)}")
        sets["none"] = select(scores["ours"], method, **none)
        for one, other in combinations(sets, 2):
            print(f"{method}: {one} and {other} {overlap(sets[one], sets[other]):.3f}")


if __name__ == "__main__":
    main()
