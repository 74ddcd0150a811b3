"""Edits of a raw model at one site, and batches to hold against it."""

from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from tests.helpers import reference
from tests.helpers.questions import toy_questions


def batch_of(model, n=5, style="choices"):
    return collate(build_prompts(toy_questions()[:n], model.tokenizer, style=style), model.pad_id)


def reference_logits(hf, batch, chosen, scale=0.0):
    return reference.ablated_logits(hf, batch.input_ids, batch.attention_mask, chosen, scale)[:, -1]


def edited_raw(hf, batch, site, layer, columns, edit):
    """Last logits of the raw model with an edit of some columns of a raw module's output."""
    module, places = reference.site_module(hf, reference.decoder_layers(hf)[layer], site)

    def hook(module, args, output):
        output = output.clone()
        view = output[..., places]
        view[..., columns] = edit(view[..., columns])
        return output

    handle = module.register_forward_hook(hook)
    try:
        return reference_logits(hf, batch, {})
    finally:
        handle.remove()
