"""Gradient attribution: the contribution of each neuron to the right answer.

===============  ===============================================================
``objectives``   what is explained: one number per item, each in its own file
``scoring``      how options are read: by letter or by likelihood
``paths``        at which activations gradients are taken: as they are, or along a path
``baselines``    where a path begins
``aggregation``  from one product per token to one score per item
``settings``     all of these as one record: ``Attribution``
``passes``       one forward and one backward
``item_scores``  scores of single items
``gradients``    scores summed per culture -> NeuronScores
``culnig``       CULNIG's three scorings: task, control, CountryRC
``countryrc``    CountryRC's questions for a task, scored wording by wording
``instances``    share of items on which the chosen neurons score positive
===============  ===============================================================
"""
