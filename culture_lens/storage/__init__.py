"""Files written whole, run folders, bundled data.

``files`` reads and writes safetensors, JSON and parquet; ``runs`` keeps finished work and named
results in a folder; ``bundled`` finds the data that the package brings along.
"""
