"""A small vision-language model whose culture neurons are known.

What it sees and knows is drawn in ``benchmarks/organism``.

model, plan                     its architecture, and which neurons are to carry what
lessons, routing                batches of questions; gradients that reach chosen neurons only
stages, planting                the losses of the four stages of training
training, state                 the training, stage by stage, and its files
truth, checks                   which neurons carry what, proven by ablation
examination, scorecard          selectors scored against that truth
scores_against_truth, variants  precision, recall and decoys; further selectors that are scored
"""
