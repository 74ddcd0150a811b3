"""Asking a model questions and reading its answers.

``scoring`` says how an answer is read, ``evaluate`` keeps one record per item, ``generation`` has
the model write; ``short_answers`` and ``values`` evaluate BLEnD's short answers and
WorldValuesBench.
"""
