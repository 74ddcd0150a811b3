"""Where the package keeps the small data sets that it brings along."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from culture_lens.errors import InputError


def data_path(*parts: str) -> Path:
    """Find a bundled data file, in an installed package or in a source checkout.

    Args:
        parts: The path below the data folder.

    Raises:
        InputError: The file is in neither place.

    Example:
        >>> data_path("everyday", "questions.csv").name
        'questions.csv'
    """
    # A wheel holds data/ as culture_lens/data/; a checkout has it at the top.
    homes = (
        Path(str(files("culture_lens"))) / "data",
        Path(__file__).resolve().parents[2] / "data",
    )
    for home in homes:
        if home.joinpath(*parts).exists():
            return home.joinpath(*parts)
    raise InputError(
        f"the bundled file {'/'.join(parts)!r} is neither in {homes[0]} nor in {homes[1]}: "
        "reinstall culture_lens, or work in a full checkout of its repository."
    )
