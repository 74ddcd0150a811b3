"""``plan`` checks a selector and its options before a model runs; ``select`` chooses neurons."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from culture_lens.activations.summary import ActivationSummary
from culture_lens.attribution.culnig import CulnigScores
from culture_lens.attribution.knowledge import KnowledgeScores
from culture_lens.checks import check_arguments, instance, optional, real, text, whole
from culture_lens.errors import InputError
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import check_sites
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.scores import check_share, number_chosen
from culture_lens.selectors.false_discovery import check_fdr, check_tested, infer_with
from culture_lens.selectors.registry import (
    DEFAULT_SHARE,
    DEFAULT_SHARES,
    GRADIENT_SELECTORS,
    KNOWLEDGE_SELECTORS,
    NEED_MAGNITUDES,
    OPTION_CHECKS,
    SELECTORS,
    SHARE_CHECKS,
    Reads,
    get_selector,
    key_of,
    reads,
)

Source = ActivationSummary | CulnigScores | KnowledgeScores
"""What selectors choose from."""
SOURCE = instance(
    ActivationSummary,
    CulnigScores,
    KnowledgeScores,
    remedy="what summarise, culnig_scores or knowledge_scores gives",
)
CANDIDATE_SHARE = 0.05
"""Share of the neurons that ``confirm`` tests, where a false discovery rate decides the number."""
TESTED = ("groups", "candidate_share")
"""Options of ``knowledge`` at a rate that say what ``confirm`` tests."""
READ_FROM: Mapping[Reads, tuple[type, str]] = {
    "activations": (ActivationSummary, "an ActivationSummary; see summarise"),
    "culnig": (CulnigScores, "CulnigScores; see culnig_scores"),
    "knowledge": (KnowledgeScores, "KnowledgeScores; see knowledge_scores"),
}


@dataclass(frozen=True)
class Selection:
    """A selector with its number and options, checked; made by ``plan``.

    Attributes:
        name: The selector's name as the tables have it.
        share: Share of the neurons, where it is not among the selector's own options.
        k: Or how many neurons.
        options: The selector's own options.
        fdr: Or a false discovery rate, which decides the number.
        groups: Of ``knowledge`` at a rate, the groups of candidates that ``confirm`` tests; None
            for its own number, or as many as there are candidates where these are fewer.
        candidate_share: The share of the neurons that are candidates.
    """

    name: str
    share: float | None = None
    k: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    fdr: float | None = None
    groups: int | None = None
    candidate_share: float = CANDIDATE_SHARE

    @property
    def reads(self) -> Reads:
        """What it chooses from."""
        return reads(self.name)


@check_arguments(share=optional(real), k=optional(whole()), fdr=optional(real))
def plan(
    method: str,
    share: float | None = None,
    k: int | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    fdr: float | None = None,
    magnitudes: bool = True,
) -> Selection:
    """Check everything about a selection that can be checked without a model.

    Args:
        method: Name of the selector.
        share: Share of the neurons, or nothing.
        k: Number of neurons, or nothing.
        options: Options of the selector; of ``knowledge`` at a rate also ``groups`` and
            ``candidate_share``, see ``Selection``.
        fdr: A false discovery rate instead of a number, for activation selectors; for
            ``knowledge`` its candidates are chosen, which ``confirm`` then tests.
        magnitudes: Whether the summary will hold sums.

    Returns:
        The selection, with the selector's own share where no number is given.

    Raises:
        InputError: An unknown selector or option, a share outside (0, 1], or a rate outside (0, 1).

    Example:
        >>> plan("conact").share
        0.005
    """
    selector, own, name = get_selector(method), dict(options or {}), key_of(method)
    if sum(value is not None for value in (share, k, fdr)) > 1:
        raise InputError(f"give share, k or fdr, one of them (share={share}, k={k}, fdr={fdr}).")
    if fdr is not None:
        check_rate(name, fdr)
    if name in GRADIENT_SELECTORS:
        if k is not None:
            raise InputError(f"selector {name!r} chooses by shares, not by number: leave out k.")
        if share is not None:
            own["share"] = share
        check_own_options(name, selector, own)
        return Selection(name, options=own)
    tested = candidate_options(own) if fdr is not None and name in KNOWLEDGE_SELECTORS else {}
    check_own_options(name, selector, own)
    if share is None and k is None and fdr is None:
        share = DEFAULT_SHARES.get(name, DEFAULT_SHARE)
    if k is not None and k < 1:
        raise InputError(f"k={k}: at least one neuron must be chosen.")
    if name in NEED_MAGNITUDES and not magnitudes:
        raise InputError(f"selector {name!r} reads sums: record with magnitudes=True.")
    if name in OPTION_CHECKS:
        OPTION_CHECKS[name](**own)
    return Selection(name, check_share(share) if share is not None else None, k, own, fdr, **tested)


def candidate_options(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of ``confirm``'s candidates out of a selector's, and check them.

    Raises:
        InputError: Groups that are no whole number from 1 on, or a share outside (0, 1].
    """
    tested: dict[str, Any] = {}
    if options.get("groups") is not None:
        tested["groups"] = whole(1)("groups", options["groups"])
    if options.get("candidate_share") is not None:
        share = real("candidate_share", options["candidate_share"])
        tested["candidate_share"] = check_share(share)
    for name in TESTED:
        options.pop(name, None)
    return tested


def check_rate(name: str, fdr: float) -> None:
    """Refuse a false discovery rate outside (0, 1), or for a selector that has none."""
    check_fdr(fdr)
    if name not in KNOWLEDGE_SELECTORS:
        check_tested(name)


def check_own_options(name: str, selector: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse options that a selector does not have."""
    _, *known = inspect.signature(selector).parameters
    for option in options:
        if option not in known:
            raise InputError(
                f"selector {name!r} has no option {option!r}; its options are: "
                f"{', '.join(known) or 'none'}."
            )


def check_fits(selection: Selection, shapes: Mapping[str, tuple[int, int]]) -> None:
    """Refuse shares or numbers that choose no neuron of a model, or too many, before it runs.

    Args:
        selection: The selection.
        shapes: Layers and neurons per layer at each site.

    Raises:
        InputError: Names the site and the numbers.

    Example:
        ``check_fits(plan("conact"), {"act": (30, 1536)})``
    """
    if selection.fdr is not None:
        return
    if selection.reads != "culnig":
        for site, (layers, width) in shapes.items():
            number_chosen(layers * width, selection.share, selection.k, site)
        return
    SHARE_CHECKS[selection.name](shapes, **selection.options)


def choose(source: Source, selection: Selection) -> NeuronSet:
    """Choose neurons as planned.

    Raises:
        InputError: The selector chooses from the other kind of source, or the summary holds fewer
            than two cultures.

    Example:
        ``choose(summary, plan("lape"))``
    """
    made = {
        "selector": selection.name,
        "share": selection.options.get("share", selection.share),
        "k": selection.k,
        "options": dict(selection.options),
    }
    kind, told = READ_FROM[selection.reads]
    if not isinstance(source, kind):
        raise InputError(f"selector {selection.name!r} chooses from {told}.")
    if isinstance(source, KnowledgeScores):
        scores = KNOWLEDGE_SELECTORS[selection.name](source, **selection.options)
        share = selection.share if selection.fdr is None else selection.candidate_share
        found = scores.top(share=share, k=selection.k)
        return replace(found, metadata={**scores.metadata, **made})
    if isinstance(source, CulnigScores):
        found = GRADIENT_SELECTORS[selection.name](source, **selection.options)
        return replace(found, metadata={**source.metadata, **found.metadata, **made})
    if len(source.cultures) < 2:
        raise InputError(
            f"the summary holds only {', '.join(source.cultures)}: a culture's neurons are found "
            "by comparison, so at least two cultures are needed."
        )
    if selection.fdr is not None:
        tests = infer_with(source, selection.name, selection.options)
        rates = {site: tests.global_p(site, selection.fdr) for site in source.sites}
        made |= {"fdr": selection.fdr, "global_p": rates}
        found = with_means(tests.select(selection.fdr), source)
        return replace(found, metadata={**source.metadata, **made})
    scores = SELECTORS[selection.name](source, **selection.options)
    found = with_means(scores.top(share=selection.share, k=selection.k), source)
    return replace(found, metadata={**source.metadata, **made})


@check_arguments(source=SOURCE, method=text)
def select(
    source: Source,
    method: str = "conact",
    *,
    share: float | None = None,
    k: int | None = None,
    fdr: float | None = None,
    **options: Any,
) -> NeuronSet:
    """Choose each culture's neurons by one selector.

    Args:
        source: The summary of a recording pass; for CULNIG, its three scorings; for ``knowledge``
            its scores.
        method: Name of the selector.
        share: Share of the neurons at each site; 0.5% by default, 1% for LAPE, 0.3% of all sites
            together for ``culnig_specific``.
        k: Or how many neurons at each site; not for CULNIG.
        fdr: Or a false discovery rate, which decides the number; it may be none. See ``infer``.
            The summary must hold replicates.
        **options: Options of the selector, such as ``percentile_filter`` of LAPE.

    Raises:
        InputError: An unknown selector or option, a share outside (0, 1], or fewer than two
            cultures; with ``fdr`` a summary without replicates.

    Example:
        ``found = select(summary, "conact", share=0.005)``
    """
    return choose(source, plan(method, share, k, options, fdr=fdr))


def with_means(found: NeuronSet, summary: ActivationSummary) -> NeuronSet:
    """Add each chosen neuron's mean activation over all tokens, for mean ablation."""
    total = summary.tokens.sum().double()
    means = {site: sums.sum(0) / total for site, sums in summary.sums.items()}
    neurons = {
        culture: replace(
            chosen,
            means={
                site: means[site][places[:, 0], places[:, 1]]
                for site, places in chosen.places.items()
                if site in means
            },
        )
        for culture, chosen in found.neurons.items()
    }
    return replace(found, neurons=neurons)


def shapes_of(model: LensModel, sites: str | Sequence[str]) -> dict[str, tuple[int, int]]:
    """Give layers that have neurons, and neurons per layer, at some sites of a model."""
    chosen = check_sites(sites, model.sites)
    return {site: (len(model.layers_of(site)), model.widths[site]) for site in chosen}


def default_sites(model: LensModel, selection: Selection) -> tuple[str, ...]:
    """Give the sites that a selector chooses from on a model, where none are given."""
    return model.projections if selection.reads == "culnig" else (model.default_site,)
