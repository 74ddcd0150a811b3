"""CountryRC: questions on which country a passage names, a control without cultural knowledge.

After CULNIG (arXiv 2510.08284): a short passage names a country, the question asks for
it, and three other countries are the wrong options. A neuron that scores here reads country names:
no evidence for knowledge of a culture. The bundled passages are this project's own; the published
file has the same layout and is read with ``path=``.

Every passage is asked four times, in the wordings below, two with letters and two with digits;
otherwise neurons for one letter or one instruction would score too. Which neurons score depends on
the wordings; own ones, such as the published ones, are given with ``wordings=``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from culture_lens.benchmarks.reading.own_wordings import (
    PASSAGE_AND_QUESTION,
    Wording,
    joined,
    own_wordings,
)
from culture_lens.benchmarks.reading.rows import cell_text, need_columns, place_of
from culture_lens.benchmarks.reading.source import BUNDLED, Benchmark, Part, Read
from culture_lens.benchmarks.reading.text_rows import N_OPTIONS
from culture_lens.benchmarks.reading.wordings import ANSWER_PREFIX, DIGITS
from culture_lens.errors import InputError, unknown
from culture_lens.questions.question import PromptFormat, Question, shuffled

if TYPE_CHECKING:
    import pandas as pd

ROWS = Part("data", columns=("id", "context", "question"))
COUNTRIES = ("China", "Indonesia", "Iran", "Mexico", "South_Korea", "Spain", "UK", "US")
"""The eight cultures of CULNIG, as BLEnD labels them."""
POOL = (
    *("Algeria", "Assam", "Azerbaijan", "China", "Ethiopia", "Greece", "Indonesia", "Iran"),
    *("Mexico", "North_Korea", "Northern_Nigeria", "South_Korea", "Spain", "UK", "US", "West_Java"),
)
"""All sixteen labels of BLEnD, which wrong options are drawn from."""
PASSAGE_NAMES = {"US": "USA", "Northern_Nigeria": "Nigeria"}
"""Labels whose name in a passage differs by more than underscores."""
TEMPLATE_FIELD = re.compile(r"\{(country|country_dummy)\}")
WORDINGS = (
    PromptFormat(
        instruction=(
            "The passage names the place asked for. Give the letter of that option as "
            '{"answer_choice":""}'
        ),
        layout="{instruction}\n\n{question}\n\n{options}\n\nAnswer:",
        answer_prefix=ANSWER_PREFIX,
    ),
    PromptFormat(
        instruction=(
            "Rely on nothing but the passage. Which number belongs to the right option? Fill it "
            'in: {"answer_choice":""}'
        ),
        layout="{instruction}\n\n{question}\n\nOptions:\n{options}",
        answer_prefix=ANSWER_PREFIX,
        labels=DIGITS,
    ),
    PromptFormat(
        instruction=(
            "Only one of these options agrees with the passage. Fill in its letter, nothing else: "
            '{"answer_choice":""}'
        ),
        layout="{question}\n\n{options}\n\n{instruction}",
        answer_prefix=ANSWER_PREFIX,
    ),
    PromptFormat(
        instruction=(
            'The passage holds the answer. Complete {"answer_choice":""} with the number of the '
            "matching option."
        ),
        layout="{question}\n\n{instruction}\n\n{options}\n\nAnswer:",
        answer_prefix=ANSWER_PREFIX,
        labels=DIGITS,
    ),
)


def country_name(label: str) -> str:
    """Give the name of a culture label in a passage.

    Example:
        >>> country_name("South_Korea"), country_name("US")
        ('South Korea', 'USA')
    """
    return PASSAGE_NAMES.get(label, label).replace("_", " ").strip()


def countryrc_questions(
    templates: pd.DataFrame,
    *,
    countries: Sequence[str] | Mapping[str, str] = COUNTRIES,
    pool: Sequence[str] | None = None,
    split: str | None = None,
    wordings: Sequence[PromptFormat] | str | Path | None = None,
) -> list[Question]:
    """Ask every template of every country in every wording.

    The wrong options, which of them is the decoy, and the order of all four are drawn by hashes of
    the question's id: the same on every machine.

    Args:
        templates: A table with the columns id, context and question; the context holds
            ``{country}`` and may hold ``{country_dummy}``.
        countries: Culture labels, or a mapping of each label to its name in the passage.
        pool: Labels or names that wrong options are drawn from; by default BLEnD's sixteen and the
            given countries. Give it where your labels are not BLEnD's, so that no country is in it
            under two names.
        split: ``"identify"`` for the first half of the templates, ``"evaluate"`` for the second,
            None for both.
        wordings: Own wordings, as prompt formats or a JSON file of them; see
            ``reading.own_wordings``.

    Raises:
        InputError: A template without id, ``{country}`` or question, an id that occurred before,
            an unknown split, countries that cannot be told apart, a pool that is too small, or
            wordings that cannot be used.

    Example:
        ``countryrc_questions(read_rows("data/countryrc/data.json"), countries=["Iran", "Spain"])``
    """
    if split not in (None, "identify", "evaluate"):
        raise unknown("split of CountryRC", split, ("identify", "evaluate"), "None gives both.")
    forms = bundled_wordings() if wordings is None else own_wordings(wordings)
    texts = template_texts(templates)
    names = written_names(countries)
    drawn_from = option_names(names, pool)
    first_half = list(texts)[: len(texts) // 2]
    questions = []
    for (label, name), (wording, form), (template, parts) in product(
        names.items(), enumerate(forms, 1), texts.items()
    ):
        half = "identify" if template in first_half else "evaluate"
        if split not in (None, half):
            continue
        item = f"{template}/{wording}/{label}"
        # Drawn by one hash and ordered by another: with one hash for both, the gold name would
        # be last more often than first.
        others = [other for other in drawn_from if other != name]
        others = shuffled(others, key=f"{item}/draw")[: N_OPTIONS - 1]
        options = shuffled([name, *others], key=f"{item}/order")
        text = joined(form.text, *parts)
        has_decoy = "{country_dummy}" in text
        questions.append(
            Question(
                id=item,
                culture=label,
                text=filled(text, name, others[0]),
                options=tuple(options),
                answer=options.index(name),
                category="decoy" if has_decoy else "plain",
                group=template,
                split=half,
                benchmark="countryrc",
                prompt=form.prompt,
                metadata={
                    "template": template,
                    "wording": wording,
                    "decoy": others[0] if has_decoy else "",
                },
            )
        )
    return questions


def bundled_wordings() -> tuple[Wording, ...]:
    """Give the four wordings above."""
    return tuple(Wording(PASSAGE_AND_QUESTION, form) for form in WORDINGS)


def template_texts(templates: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Read the passage and question of each template id, in the order of the rows."""
    need_columns(templates, ROWS.columns)
    texts: dict[str, tuple[str, str]] = {}
    for number, row in enumerate(templates.to_dict("records"), 1):
        where = f"{place_of(templates)}, row {number}"
        cells = {column: cell_text(row[column]).strip() for column in ROWS.columns}
        for column, text in cells.items():
            if not text:
                raise InputError(f"{where}: {column!r} is empty; fill it in or remove the row.")
        if cells["id"] in texts:
            raise InputError(
                f"{where}: template id {cells['id']!r} occurred before; give it another one, "
                "since question ids are made of it."
            )
        if "{country}" not in cells["context"]:
            raise InputError(
                f"{where}: the context of template {cells['id']!r} does not hold {{country}}, so "
                "the passage would not hold the answer; put it in or remove the row."
            )
        texts[cells["id"]] = cells["context"], cells["question"]
    return texts


def written_names(countries: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Give each label's name in a passage; names must differ.

    Example:
        >>> written_names(["US", "Iran"])
        {'US': 'USA', 'Iran': 'Iran'}
    """
    if isinstance(countries, Mapping):
        pairs = [(label, name.strip()) for label, name in countries.items()]
    else:
        labels = [countries] if isinstance(countries, str) else countries
        pairs = [(label, country_name(label)) for label in labels]
    if not pairs:
        raise InputError("countries is empty: name at least one, such as countries=['Iran'].")
    owner: dict[str, str] = {}
    for label, name in pairs:
        if not name:
            raise InputError(f"countries: {label!r} has no name to write in a passage; give one.")
        if name in owner:
            raise InputError(
                f"countries: {owner[name]!r} and {label!r} would both be written {name!r} in a "
                "passage; keep one, or give names that differ as {label: name}."
            )
        owner[name] = label
    return dict(pairs)


def option_names(names: Mapping[str, str], pool: Sequence[str] | None) -> list[str]:
    """List the names that options are drawn from, each once."""
    if pool is None:
        pool = (*POOL, *names)
    # A label of ``countries`` takes the name given there: USA and United States would be two right
    # options.
    found = list(dict.fromkeys(names.get(entry) or country_name(entry) for entry in pool))
    if "" in found:
        raise InputError("pool holds an empty name, which cannot be an option; remove it.")
    if len(found) < N_OPTIONS:
        raise InputError(
            f"pool has {len(found)} different names ({', '.join(found)}), at least {N_OPTIONS} are "
            f"needed to make {N_OPTIONS} options; add names, or leave pool out for BLEnD's sixteen."
        )
    return found


def filled(text: str, country: str, decoy: str) -> str:
    """Write the country and the decoy into a text; other braces stay as they are.

    Example:
        >>> filled("{a} from {country}, not {country_dummy}", "Iran", "Spain")
        '{a} from Iran, not Spain'
    """
    values = {"country": country, "country_dummy": decoy}
    return TEMPLATE_FIELD.sub(lambda found: values[found[1]], text)


def load(
    read: Read,
    *,
    countries: Sequence[str] | Mapping[str, str] = COUNTRIES,
    pool: Sequence[str] | None = None,
    split: str | None = None,
    wordings: Sequence[PromptFormat] | str | Path | None = None,
) -> list[Question]:
    """Read the bundled templates, or a local file of the published layout.

    Args:
        read: Reads a part of the benchmark.
        countries: See ``countryrc_questions``.
        pool: See ``countryrc_questions``.
        split: See ``countryrc_questions``.
        wordings: See ``countryrc_questions``.
    """
    return countryrc_questions(
        read(ROWS), countries=countries, pool=pool, split=split, wordings=wordings
    )


BENCHMARK = Benchmark(
    name="countryrc",
    summary="control: 50 bundled passages that name the country asked for (after arXiv 2510.08284)",
    source=BUNDLED,
    licence="CC0-1.0",
    rows=load,
    wordings=(WORDINGS,),
    each_wording=True,
)
