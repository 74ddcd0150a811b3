"""From a Question to token ids with roles (Prompt), and to left-padded batches.

``reader`` defines what a model reads with; ``text_reader``, ``vision_reader`` and
``encoder_decoder`` are the three kinds. ``build`` makes a ``prompt`` with ``layout`` and
``tokens``; ``answers`` tokenises labels and options after it, ``options`` pads them. ``batches``
pads prompts, with their ``shared_prefix``; ``run_batches`` runs them, ``running`` says how.
"""
