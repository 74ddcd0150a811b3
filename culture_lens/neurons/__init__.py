"""Sets of neurons and scores of neurons, the results of every selector.

================  ====================================================
``neurons``       Neurons: places and scores of one culture's neurons
``edits``         replacing and scaling neurons of an activation
``hooks``         ablating and steering neurons, as hooks
``neuron_set``    NeuronSet: culture -> Neurons
``scores``        NeuronScores: a score for every culture and neuron
``overlap``       neurons that sets share, compared with chance
``with_units``    the layers that have units, and how many
``weight_norms``  norm of each neuron's outgoing weights
``align``         culture names of another benchmark
================  ====================================================
"""
