"""What neurons do to the answer, by gradients.

``gradients`` scores neurons, ``culnig`` has CULNIG's three scorings, ``instances`` the share of
items on which a set of neurons matters.
"""
