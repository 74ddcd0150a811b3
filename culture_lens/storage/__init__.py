"""Files written whole, run folders, bundled data.

``files`` reads and writes safetensors, JSON and parquet, with the hashes of ``hashing`` and the
half-written files of ``parts``; ``runs`` keeps finished work and named results in a folder, under
the names of ``names``; ``bundled`` finds the data that the package brings along.
"""
