"""Work in shards of items x conditions, in this process or on the workers of Ray.

===========  ====================================================================
``shards``   a pass of the model, cut into shards; what is kept of it; their order
``claims``   which shards are left, and which of them another process has taken
``results``  the parts of all shards, in order, whoever computes them
``pool``     workers of Ray that hold the same model
``worker``   one of them
``cluster``  starting Ray, or joining it
===========  ====================================================================
"""
