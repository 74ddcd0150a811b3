"""From a run folder to one self-contained HTML page.

``page`` builds it, ``findings`` and ``tests_in_words`` say what the results show, ``sentences``
has what they share.
"""
