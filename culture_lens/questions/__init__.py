"""Question and what belongs to it: pictures, names of cultures, strata, splits.

``question`` has Question and PromptFormat; ``images`` and ``downloads`` its pictures, ``readable``
leaves out those that cannot be read; ``culture_names`` says which names mean one culture,
``strata`` makes groups within which cultures are compared, ``splits`` divides questions.
"""
