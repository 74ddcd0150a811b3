"""The token of each question's right letter."""

from culture_lens.prompts.answers import label_ids


def gold_tokens(prompts, processor):
    """By question id."""
    return {p.question.id: label_ids(p, processor)[p.question.answer] for p in prompts}
