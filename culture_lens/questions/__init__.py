"""Question and what belongs to it: pictures, names of cultures, strata, splits.

``question`` has Question and PromptFormat; ``images``, ``decoding`` and ``downloads`` handle its
pictures, ``readable`` leaves out questions whose picture cannot be read; ``culture_names`` tells
which names mean one culture, ``strata`` makes groups within which cultures are compared,
``splits`` divides questions and ``unseen`` leaves out those that found neurons.
"""
