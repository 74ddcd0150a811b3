"""Questions of the organism's world: their categories, right answers and hash."""

import hashlib
import json

from culture_lens.benchmarks.organism.drawing import OBJECTS
from culture_lens.benchmarks.organism.world import KNOWLEDGE, NAMES

CATEGORY = dict(zip(NAMES, (category for category, _ in OBJECTS), strict=True))


def gold(question):
    return question.options[question.answer]


def asks(question):
    """The subset a question belongs to, told by what it is like."""
    if question.culture == "plain":
        return "plain"
    if question.image is None:
        return "options"
    return "culture" if question.metadata["kind"] in KNOWLEDGE else "controls"


def digest(found):
    """A hash of ids, options and the bytes of the pictures."""
    whole = hashlib.sha256()
    for q in found:
        whole.update(json.dumps([q.id, q.text, q.options, q.answer]).encode())
        whole.update(b"" if q.image is None else q.image.read())
    return whole.hexdigest()
