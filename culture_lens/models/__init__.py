"""Loading a model and running it: LensModel, its sites, its vision tower.

``load`` is the entrance; ``checkpoints`` reads weights, ``bridge`` wraps them in TransformerLens,
``architectures`` lists what works; ``sites`` names the hook points, ``lens_model`` runs a batch,
``vision`` and ``encoder_decoder`` hold what differs there.
"""
