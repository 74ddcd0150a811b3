"""Loading a model and running it: LensModel, its sites, its vision tower.

``load`` has ``load_model``, ``loading`` its options, ``given`` takes models that the user made;
``checkpoints`` and ``processors`` read files, ``bridge`` wraps weights in TransformerLens,
``architectures`` lists the supported classes. ``sites`` names the hook points, ``lens_model`` runs
a batch, ``transformer_lens`` hands calls on to the bridge, ``rows`` tells hooks which rows of a
batch run, ``hookable`` what edits need to know of a bridge, ``checks`` looks at results;
``encoder_decoder``, ``vision`` and ``picture_features`` hold what differs for those models.
"""
