"""Plan an experiment from a model's configuration alone; see ``plan``.

``shape`` reads a configuration, ``pictures`` counts what a picture becomes, ``operations`` has the
formulas, ``asking`` makes prompts, ``passes`` and ``stages`` say what is run, ``machines`` how
fast, ``memory`` with how much memory, ``result`` is the Plan.
"""
