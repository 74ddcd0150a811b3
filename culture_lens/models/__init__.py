"""Loading a model and running it: LensModel, its sites, its vision tower.

``load`` has ``load_model``, ``loading`` its options; ``checkpoints`` and ``processors`` read files,
``bridge`` wraps weights in TransformerLens, ``architectures`` lists the supported classes.
``sites`` names the hook points, ``lens_model`` runs a batch, ``rows`` tells hooks which rows of it
run, ``checks`` looks at results; ``encoder_decoder``, ``vision`` and ``picture_features`` hold what
differs for those models.
"""
