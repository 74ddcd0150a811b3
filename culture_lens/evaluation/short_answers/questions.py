"""BLEnD's short questions with the answers that people gave.

Myung et al. 2024, arXiv 2406.09948. People of 16 countries and regions were asked the same 500
questions. One file per region maps each ID to its question in the local language and in English,
the answers with their votes, and the number of people who gave none. As in the published
evaluation, three kinds of questions are left out: those without an answer, those that at least 3
people found not applicable or gave no answer to, and those that at least 5 people did not know.
Remarks of single people in these files are not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from culture_lens.benchmarks.blend import SPLITS, TOPICS
from culture_lens.benchmarks.reading.rows import need_columns, read_rows, say_dropped
from culture_lens.checks import (
    check_arguments,
    each,
    either,
    file_path,
    mapping,
    names,
    optional,
    text,
    whole,
)
from culture_lens.errors import InputError, unknown, warn
from culture_lens.evaluation.short_answers.matching import HumanAnswer, words_of
from culture_lens.questions.question import PromptFormat
from culture_lens.storage.display import Shown
from culture_lens.storage.files import load_json

LANGUAGE_OF: Mapping[str, str] = {
    "Algeria": "Arabic",
    "Assam": "Assamese",
    "Azerbaijan": "Azerbaijani",
    "China": "Chinese",
    "Ethiopia": "Amharic",
    "Greece": "Greek",
    "Indonesia": "Indonesian",
    "Iran": "Persian",
    "Mexico": "Spanish",
    "North_Korea": "Korean",
    "Northern_Nigeria": "Hausa",
    "South_Korea": "Korean",
    "Spain": "Spanish",
    "UK": "English",
    "US": "English",
    "West_Java": "Sundanese",
}
"""The language that BLEnD asked in, by region; regions are named as in its multiple choice."""

ANSWER_INSTRUCTIONS = (
    "Reply with the answer alone, in the language of the question and in as few words as you can.",
    "Give one short answer, a word or a phrase, in the same language. Do not explain it.",
    "What would most people there say? Write only that, briefly, in the language of the question.",
    "Name one thing. No sentence and no comment, just the answer, in the question's language.",
)
"""Four wordings of the same instruction."""

SUFFIX = "_data.json"


@dataclass(frozen=True, slots=True, repr=False)
class ShortQuestion(Shown):
    """A question with the answers that people gave to it.

    Attributes:
        id: Unique: ID, region, language and wording.
        culture: The region.
        text: The question as asked.
        language: The language it is asked in.
        answers: The human answers with their votes, at least one.
        group: The question's ID in the benchmark; the regions' versions of it share it.
        category: Its topic, where known.
        wording: Number of the instruction.
        prompt: The form of the prompt; ``cloze`` and ``cloze_instruction`` are used.
        benchmark: The benchmark whose groups these are: neurons found on BLEnD's choices have
            looked at the same questions.

    Raises:
        InputError: There is no human answer with a text and a vote.

    Example:
        >>> ShortQuestion("1", "UK", "Tea with?", "English", (HumanAnswer(("milk",), 3),)).group
        '1'
    """

    id: str
    culture: str
    text: str
    language: str
    answers: tuple[HumanAnswer, ...]
    group: str = ""
    category: str = ""
    wording: int = 0
    prompt: PromptFormat = PromptFormat(cloze_instruction=ANSWER_INSTRUCTIONS[0])
    benchmark: str = "blend"

    def __post_init__(self) -> None:
        """Check that there are votes to divide scores by."""
        if not any(a.votes > 0 and (a.texts or a.english) for a in self.answers):
            raise InputError(
                f"short question {self.id!r}: has no human answer with a text and a vote, so no "
                "answer can match it: leave it out."
            )
        if not self.group:
            object.__setattr__(self, "group", self.id)

    @property
    def most_votes(self) -> int:
        """Votes of the most frequent human answer."""
        return max(answer.votes for answer in self.answers)


@check_arguments(
    path=file_path,
    regions=optional(names),
    asked=text,
    wordings=each(whole()),
    split=optional(text),
    topics=optional(either(file_path, mapping(text), remedy="a file, or {ID: topic}")),
    languages=optional(mapping(text)),
)
def load_short_answers(
    path: str | Path,
    *,
    regions: Sequence[str] | None = None,
    asked: str = "local",
    wordings: Sequence[int] = (0, 1, 2, 3),
    split: str | None = None,
    topics: Mapping[str, str] | str | Path | None = None,
    languages: Mapping[str, str] | None = None,
) -> list[ShortQuestion]:
    """Read BLEnD's annotations: one file ``REGION_data.json`` per region.

    Args:
        path: The folder of these files, or its parent folder, where it is called
            ``annotations``.
        regions: Which regions; all in the folder by default.
        asked: ``"local"`` for the region's language, ``"english"`` for the English version.
        wordings: Which of ``ANSWER_INSTRUCTIONS``, by number; a question is asked once in each.
        split: ``"identify"`` or ``"evaluate"`` for the topics of one half (see the benchmark
            ``blend``); all by default.
        topics: The topic of each ID, or a file with columns ID and Topic; by default
            ``US_questions.csv`` in the folder or its parent folder, where there is one.
        languages: The language of regions that are not BLEnD's.

    Raises:
        InputError: An unknown file, region, wording, language or topic, or a file of another
            layout.

    Example:
        ``load_short_answers("../shared/data/blend", regions=["China", "Spain"])``
    """
    if asked not in ("local", "english"):
        raise InputError(f"asked={asked!r}: use 'local' or 'english'.")
    if split not in (None, "identify", "evaluate"):
        raise unknown("split of BLEnD", split, ("identify", "evaluate"), "None gives both.")
    if not wordings or set(wordings) - set(range(len(ANSWER_INSTRUCTIONS))):
        raise InputError(
            f"wordings={tuple(wordings)}: give numbers from 0 to {len(ANSWER_INSTRUCTIONS) - 1}."
        )
    folder = Path(path)
    folder = folder / "annotations" if (folder / "annotations").is_dir() else folder
    there = {f.name.removesuffix(SUFFIX): f for f in sorted(folder.glob(f"*{SUFFIX}"))}
    if not there:
        raise InputError(f"{folder}: holds no file REGION{SUFFIX}; give BLEnD's annotations.")
    spoken = {**LANGUAGE_OF, **(languages or {})}
    topic_of = read_topics(folder, topics)
    if split is not None and not topic_of:
        raise InputError(
            f"split={split!r} needs the topics: give topics= BLEnD's US_questions.csv."
        )
    questions: list[ShortQuestion] = []
    for region in there if regions is None else regions:
        if region not in there:
            raise unknown("region", region, there, f"They are read from {folder}.")
        if region not in spoken:
            raise InputError(
                f"{there[region]}: the language of {region!r} is not known; give "
                f"languages={{{region!r}: 'Portuguese'}} or the like."
            )
        language = spoken[region] if asked == "local" else "English"
        found = region_questions(there[region], region, language, asked, topic_of, split)
        questions += [
            ShortQuestion(
                id=f"{item}/{region}/{asked}/{wording}",
                culture=region,
                text=text,
                language=language,
                answers=answers,
                group=item,
                category=topic_of.get(item, ""),
                wording=wording,
                prompt=PromptFormat(cloze_instruction=ANSWER_INSTRUCTIONS[wording]),
            )
            for wording in wordings
            for item, text, answers in found
        ]
    return questions


def read_topics(folder: Path, topics: Mapping[str, str] | str | Path | None) -> Mapping[str, str]:
    """Give the topic of each ID, from a mapping, from a file, or from BLEnD's own file."""
    if isinstance(topics, Mapping):
        return topics
    if topics is None:
        beside = [place / f"{TOPICS.file}.csv" for place in (folder, folder.parent)]
        topics = next((file for file in beside if file.is_file()), None)
    if topics is None:
        return {}
    table = read_rows(topics)
    need_columns(table, TOPICS.columns)
    return dict(zip(table["ID"], table["Topic"], strict=True))


def region_questions(
    file: Path,
    region: str,
    language: str,
    asked: str,
    topics: Mapping[str, str],
    split: str | None,
) -> list[tuple[str, str, tuple[HumanAnswer, ...]]]:
    """Read one region's file: ID, question and human answers; warn of what is left out."""
    entries = load_json(file)
    if not isinstance(entries, dict) or not entries:
        raise InputError(f"{file}: holds no object of questions by ID; take the published file.")
    if split is not None:
        without = [item for item in entries if topics.get(item) not in SPLITS]
        if without:
            raise InputError(
                f"{file}: {len(without)} questions have no topic of BLEnD's (first {without[0]!r})."
            )
        entries = {item: e for item, e in entries.items() if SPLITS[topics[item]] == split}
    kept, untranslated, unanswered, unsuitable, blank = [], 0, 0, 0, 0
    for item, entry in entries.items():
        try:
            text = str(entry["question" if asked == "local" else "en_question"]).strip()
            answers = human_answers(entry["annotations"], language, asked)
            idks = entry["idks"]
            inapplicable = int(idks["no-answer"]) + int(idks["not-applicable"])
            left_out = inapplicable >= 3 or int(idks["idk"]) >= 5
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{file}, question {item!r}: not of the published layout ({error!r}); it needs "
                "question, en_question, annotations with answers, en_answers and count, and idks."
            ) from None
        if not text:
            untranslated += 1
        elif left_out:
            unsuitable += 1
        elif not any(answer.texts or answer.english for answer in answers):
            unanswered += 1
        else:
            kept.append((item, text, answers))
            blank += sum(not (answer.texts or answer.english) for answer in answers)
    say_dropped(
        f"BLEnD short answers, {region}",
        len(entries),
        {
            "whose question is empty": untranslated,
            "that 3 or more people found not applicable or 5 or more did not know": unsuitable,
            "that have no human answer": unanswered,
        },
    )
    if blank:
        warn(
            f"BLEnD short answers, {region}: {blank} human answers have no text in the language "
            "asked for or in English; they match nothing and their votes are kept."
        )
    return kept


def human_answers(
    annotations: Sequence[Mapping[str, Any]], language: str, asked: str
) -> tuple[HumanAnswer, ...]:
    """Read a question's human answers; texts that normalise to nothing are left out."""
    found = []
    for given in annotations:
        votes = given["count"]
        if not isinstance(votes, int) or votes < 1:
            raise ValueError(f"count {votes!r}")
        both = (given["answers"], given["en_answers"])
        if not all(isinstance(texts, list) for texts in both):
            raise TypeError("answers that are no list")
        local, english = (tuple(str(text) for text in texts) for texts in both)
        if asked == "english":
            local, english = english, ()
        local = tuple(text for text in local if words_of(text, language))
        english = tuple(text for text in english if words_of(text, "English"))
        # An answer without a text keeps its votes: they may be the most, which scores divide by.
        found.append(HumanAnswer(local, votes, english))
    return tuple(found)
