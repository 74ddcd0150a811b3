"""Gradient attribution: the contribution of each neuron to the probability of the right answer.

===============  ===============================================================
``aggregation``  from one product per token to one score: maximum, sum or last
``item_scores``  scores of single items: a forward and a backward per batch
``gradients``    scores summed per culture -> NeuronScores
``culnig``       CULNIG's three scorings: task, control, CountryRC
``countryrc``    CountryRC's questions for a task, scored wording by wording
``instances``    share of items on which the chosen neurons score positive
===============  ===============================================================
"""
