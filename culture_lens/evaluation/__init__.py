"""Ask a model questions and read its answers.

``scoring`` reads which option is chosen, ``evaluate`` keeps one record per item, ``generation`` has
the model write; ``short_answers`` and ``values`` evaluate BLEnD's short answers and
WorldValuesBench.
"""
