"""`culture-lens card`: single neurons of a run folder in person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import check_names, open_model, open_questions, remembered
from culture_lens.cli.neurons import chosen_masks, the_method, the_neurons
from culture_lens.cli.options import (
    DEFAULT_RUN,
    AskingFlags,
    LoadingFlags,
    NeuronSetName,
    RunFolder,
    RunningFlags,
    ScoringFlag,
    Seen,
    WhoseCultures,
)
from culture_lens.errors import InputError

if TYPE_CHECKING:
    from culture_lens.neurons.neuron_set import NeuronSet
    from culture_lens.neurons.neurons import Neurons
    from culture_lens.storage.runs import Run


@dataclass(frozen=True)
class WhichFlags:
    """Whose cards are made."""

    method: NeuronSetName = None
    whose: WhoseCultures = None
    neuron: Annotated[
        list[str] | None,
        typer.Option(help="A neuron, such as act.3.7; may be given several times."),
    ] = None
    top: Annotated[
        int | None,
        typer.Option(help="Or so many of each culture, the highest scores first; 5 by default."),
    ] = None


@dataclass(frozen=True)
class ShowingFlags:
    """What cards show; see ``CardSettings``."""

    shown: Annotated[
        int | None,
        typer.Option(help="Items of highest, of lowest and of middle activation."),
    ] = None
    measured: Annotated[
        int | None,
        typer.Option(help="Items that are asked with a neuron ablated; 0 for all."),
    ] = None


@flags
def card(
    *,
    run: RunFolder = DEFAULT_RUN,
    which: WhichFlags,
    showing: ShowingFlags,
    seen: Seen = None,
    scoring: ScoringFlag = None,
    loading: LoadingFlags,
    asking: AskingFlags,
    running: RunningFlags,
) -> None:
    """Write cards of single neurons: what each fires on, and what the model loses with it.

    Model, questions, neurons, and the summary and matrix where they are kept, are those of the run
    folder. The cards are `cards/METHOD.html`.

    Example: `culture-lens card --run runs/first --whose Japan --top 3`
    """
    from culture_lens.cards.neuron_card import neuron_cards
    from culture_lens.storage.runs import Run, now

    began = now()
    folder = Run.open(run, create=False)
    check_names(scoring=scoring)
    name = the_method(folder, which.method)
    found = the_neurons(folder, name)
    places = wanted_neurons(found, which)
    options = given(running, seen=seen, scoring=scoring, shown=showing.shown)
    if showing.measured is not None:
        options["measured"] = showing.measured or None
    kept = kept_results(folder, name, found)
    opened = remembered(folder, loading, asking)
    questions, lens = open_questions(opened), open_model(opened)
    cards = neuron_cards(lens, places, questions, found={name: found}, **kept, **options)
    where = cards.save(folder.named("cards", name, ".html"))
    folder.log("card", {**opened, **options, "method": name, **given(which)}, began=began)
    folder.finish("card", lens.device)
    typer.echo(str(where))
    for one in cards:
        typer.echo(repr(one))


def wanted_neurons(found: NeuronSet, which: WhichFlags) -> Any:
    """Give the neurons whose cards are made.

    Raises:
        InputError: Neurons by name and by number, a name that is none, an unknown culture, or a set
            without scores.
    """
    if which.neuron and (which.top is not None or which.whose):
        raise InputError("--neuron names the neurons itself: leave out --top and --whose.")
    if which.neuron:
        return [neuron_of(word) for word in which.neuron]
    number = 5 if which.top is None else which.top
    if number < 1:
        raise InputError(f"--top {number}: give 1 or more.")
    chosen = chosen_masks(found, which.whose, False)
    return [place for name in chosen for place in sorted(best(chosen[name], number).members())]


def best(neurons: Neurons, number: int) -> Neurons:
    """Keep the neurons with the highest scores; the first ones where there are no more."""
    return neurons if len(neurons) <= number else neurons.top(number)


def neuron_of(word: str) -> tuple[str, int, int]:
    """Read a neuron written as site.layer.index.

    Raises:
        InputError: It is not written so.

    Example:
        >>> neuron_of("encoder.act.3.7")
        ('encoder.act', 3, 7)
    """
    parts = word.rsplit(".", 2)
    if len(parts) != 3 or not parts[1].isdecimal() or not parts[2].isdecimal():
        raise InputError(f"--neuron {word!r}: write site.layer.index, such as act.3.7.")
    return parts[0], int(parts[1]), int(parts[2])


def kept_results(folder: Run, name: str, found: NeuronSet) -> dict[str, Any]:
    """Read the summary and the matrix of the run folder, those that are there and fit the set."""
    from culture_lens.activations.summary import ActivationSummary
    from culture_lens.experiments.matrix import AblationMatrix

    kept: dict[str, Any] = {}
    summary = folder.named("statistics", "summary", ".safetensors")
    if summary.exists():
        kept["scores"] = ActivationSummary.load(summary)
    place = folder.named("matrix", name, ".parquet")
    if place.exists():
        matrix = AblationMatrix.from_parquet(place)
        if matrix.metadata.get("neuron_set") == found.content:
            kept["matrix"] = matrix
    return kept
