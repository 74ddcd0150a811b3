"""Objectives on a raw model whose neurons are multiplied: attribution without this package."""

from contextlib import ExitStack, contextmanager

import torch

from tests.helpers import reference


@contextmanager
def multiplied(hf, factors):
    """Multiply neurons at every token: ``(site, layer)`` -> a factor for each of its neurons."""
    layers = reference.decoder_layers(hf)
    with ExitStack() as stack:
        for (site, layer), factor in factors.items():
            module, columns = reference.site_module(hf, layers[layer], site)

            def multiply(module, args, output, factor=factor, columns=columns):
                changed = output.clone()
                changed[..., columns] = output[..., columns] * factor
                return changed

            stack.callback(module.register_forward_hook(multiply).remove)
        yield


def plain_scores(hf, prompt, scoring, labels):
    """Scores of the options and their normaliser, one sequence for each option, no cache."""
    if scoring == "letter":
        logits = hf(input_ids=torch.tensor([list(prompt.ids)])).logits[0, -1]
        return logits[labels], logits.exp().sum().log()
    scores = []
    for option in prompt.continuations:
        ids = [*prompt.ids, *option]
        rows = hf(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        at = range(len(prompt.ids) - 1, len(ids) - 1)
        scores.append(sum(rows[i, ids[i + 1]] for i in at) / len(option))
    scores = torch.stack(scores)
    return scores, scores.exp().sum().log()


def plain_objective(hf, prompt, scoring, objective, labels=None):
    """An objective, in words of its own."""
    scores, normaliser = plain_scores(hf, prompt, scoring, labels)
    gold = prompt.question.answer
    p = scores[gold].exp() / normaliser.exp()
    if objective == "probability":
        return p
    if objective == "log_probability":
        return p.log()
    others = torch.cat([scores[:gold], scores[gold + 1 :]])
    return scores[gold] - others.exp().sum().log()


def contribution(hf, measure, members, places, shares):
    """The mean over a path of the derivative by a factor that neurons share.

    Args:
        hf: The raw model.
        measure: Computes the objective.
        members: ``(site, layer, index)`` of the neurons.
        places: ``(site, layer) -> width``: places whose neurons are all scaled.
        shares: The points of the path.
    """
    total = 0.0
    for share in shares:
        factor = torch.zeros((), dtype=torch.float64, requires_grad=True)
        factors = {}
        for place, width in places.items():
            own = torch.zeros(width, dtype=torch.float64)
            own[[index for site, layer, index in members if (site, layer) == place]] = 1.0
            factors[place] = share + factor * own
        with torch.enable_grad(), multiplied(hf, factors):
            total += torch.autograd.grad(measure(), factor)[0].item() / len(shares)
    return total
