"""Cards: one neuron in person, from the tokens that it fires on to what the model loses with it.

1. ``token_activations`` records every token of every item, for any number of neurons at once.
2. ``top_items`` chooses the items to look at, ``logit_lens`` reads the outgoing weights.
3. ``neuron_card`` puts these beside activity per culture, effects of ablation, ranks and warnings.
4. ``html`` writes a card as HTML.
"""

from __future__ import annotations
