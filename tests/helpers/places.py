"""Where the tests find the repository, and published rows that are not part of it."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CULTURE_LENS_DATA", ROOT.parent / "shared" / "data"))
"""A folder with rows of the published benchmarks; tests that need it are skipped without it."""
