"""From a Question to token ids with roles (Prompt), and to left-padded batches.

``prompt`` has Prompt, Batch and the roles of tokens; ``build`` makes a prompt, ``batches`` pads
and runs them; ``vision_processor`` and ``encoder_decoder`` read pictures and for two stacks.
"""
