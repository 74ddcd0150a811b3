"""CAPE's sets: a culture's neurons, told apart from those of its language.

CAPE (Namazifard and Galke Poech, arXiv 2508.02241) finds the neurons C of a culture and L of its
language by the same entropy, from texts, and takes

    pure      C - L     of the culture and not of the language
    generic   C & L     of both
    compound  C | L     of either

The text of the paper could not be read; that compound is the union is how its names fit together.
Any selector may have found C and L, on one model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from culture_lens.checks import check_arguments, either, instance, mapping, optional, text
from culture_lens.errors import InputError, unknown
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.questions.unseen import looked_at_by

SET = instance(NeuronSet, remedy="a NeuronSet, such as find_culture_neurons gives")
OTHERS = either(
    SET, instance(Neurons, remedy=""), remedy="the neurons of languages, or of one for all"
)
Languages = NeuronSet | Neurons
LANGUAGE_OF = optional(mapping(text, "{culture: language}"))


@check_arguments(found=SET, languages=OTHERS, language_of=LANGUAGE_OF)
def pure(
    found: NeuronSet, languages: Languages, language_of: Mapping[str, str] | None = None
) -> NeuronSet:
    """Keep each culture's neurons that its language lacks: C - L.

    Args:
        found: The neurons of cultures.
        languages: Those of languages, or of one language for all cultures.
        language_of: Culture -> its language among ``languages``; the same name by default.

    Raises:
        InputError: Sets of different models, or a culture without a language.

    Example:
        ``pure(found, spoken, {"Japan": "Japanese", "Peru": "Spanish"})``
    """
    return combined(found, languages, language_of, "pure", lambda own, spoken: own - spoken)


@check_arguments(found=SET, languages=OTHERS, language_of=LANGUAGE_OF)
def generic(
    found: NeuronSet, languages: Languages, language_of: Mapping[str, str] | None = None
) -> NeuronSet:
    """Keep each culture's neurons that its language has too: C & L; see ``pure``.

    Example:
        ``generic(found, spoken, {"Japan": "Japanese", "Peru": "Spanish"})``
    """
    return combined(found, languages, language_of, "generic", lambda own, spoken: own & spoken)


@check_arguments(found=SET, languages=OTHERS, language_of=LANGUAGE_OF)
def compound(
    found: NeuronSet, languages: Languages, language_of: Mapping[str, str] | None = None
) -> NeuronSet:
    """Join each culture's neurons with those of its language: C | L, without scores; see ``pure``.

    Example:
        ``compound(found, spoken, {"Japan": "Japanese", "Peru": "Spanish"})``
    """
    return combined(found, languages, language_of, "compound", lambda own, spoken: own | spoken)


def combined(
    found: NeuronSet,
    languages: Languages,
    language_of: Mapping[str, str] | None,
    name: str,
    join: Callable[[Neurons, Neurons], Neurons],
) -> NeuronSet:
    """Join each culture's neurons with those of its language."""
    shapes, seen = dict(found.shapes), found.metadata
    if isinstance(languages, NeuronSet):
        check_alike(found, languages)
        shapes |= languages.shapes
        seen = {**found.metadata, **looked_at_by(found, languages)}
    named = dict(language_of or {})
    for culture in named:
        if culture not in found.neurons:
            raise unknown("culture", culture, found.neurons)
    sets = {
        culture: join(own, spoken_in(languages, named.get(culture, culture), culture))
        for culture, own in found.neurons.items()
    }
    return replace(found, neurons=sets, shapes=shapes, metadata={**seen, "set": name})


def spoken_in(languages: Languages, language: str, culture: str) -> Neurons:
    """Give the neurons of a culture's language.

    Raises:
        InputError: There are none of that name.
    """
    if isinstance(languages, Neurons):
        return languages
    if language not in languages.neurons:
        raise InputError(
            f"culture {culture!r} has no language among {', '.join(languages)}: say which, as "
            f"language_of={{{culture!r}: {next(iter(languages), 'English')!r}}}."
        )
    return languages[language]


def check_alike(found: NeuronSet, languages: NeuronSet) -> None:
    """Refuse sets of different models: their indices mean different neurons.

    Raises:
        InputError: Names what differs.
    """
    for fact in ("model", "weights"):
        mine, theirs = found.metadata.get(fact), languages.metadata.get(fact)
        if mine and theirs and mine != theirs:
            raise InputError(
                f"the neurons of cultures and of languages are of different models ({fact} {mine} "
                f"and {theirs}): find both on one."
            )
    for site, shape in languages.shapes.items():
        if found.shapes.get(site, shape) != shape:
            raise InputError(
                f"site {site!r} has the shape {found.shapes[site]} for cultures and {shape} for "
                "languages: find both on one model."
            )


__all__ = ["compound", "generic", "pure"]
