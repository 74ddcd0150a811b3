"""Sets of neurons and scores of neurons, the results of every selector.

``neuron_set`` has Neurons and NeuronSet, ``scores`` NeuronScores; ``overlap`` holds sets against
chance, ``weight_norms`` measures what a neuron writes, ``align`` matches names of cultures.
"""
