"""From a run folder to one self-contained HTML page.

``page`` builds it from ``results``. ``first_screen`` has the verdict and the picture; ``findings``,
``standings`` and ``tests_in_words`` write what the results show, with ``sentences``; ``figures``
and ``alt`` draw and describe them, in the ``colours`` of a light or dark page; ``tables`` holds the
matrices as text, ``neuron_list`` and ``card_files`` the neurons, ``repeat`` commands and Python.
"""
