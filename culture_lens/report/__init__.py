"""From a run folder to one self-contained HTML page.

``page`` builds it from ``results`` and ``figures``; ``findings`` and ``tests_in_words`` write what
the results show, with ``sentences``.
"""
