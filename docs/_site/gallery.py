"""Draw the gallery: run the blocks of docs/guide/gallery.md and write a picture for each figure.

A block that makes ``figure`` is followed by the picture that shows it, whose name says where it is
written. Needs the extra ``plots`` and an installed Chrome or Chromium; takes some minutes.

    python docs/_site/gallery.py
"""

import re
import warnings
from pathlib import Path

from PIL import Image

from culture_lens import plots

DOCS = Path(__file__).resolve().parents[1]
PAGE = DOCS / "guide" / "gallery.md"
BLOCK = re.compile(
    r"^```python\n(.*?)^```\n\n(?:!\[[^\]]*\]\(\.\./(gallery/\w+\.png)\))?",
    re.DOTALL | re.MULTILINE,
)
WIDEST, COLOURS = 1350, 256
"""Pixels and colours of a picture on the site."""


def main() -> None:
    """Write every picture of the page."""
    warnings.simplefilter("ignore")
    (DOCS / "gallery").mkdir(exist_ok=True)
    names: dict[str, object] = {}
    for code, picture in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        exec(compile(code, PAGE.name, "exec"), names)
        if picture:
            where = plots.save(names["figure"], DOCS / picture)
            make_small(where)
            print(where, flush=True)


def make_small(where: Path) -> None:
    """Make a picture as large as a page shows it, with few colours."""
    with Image.open(where) as picture:
        small = picture.convert("RGB")
    if small.width > WIDEST:
        height = round(small.height * WIDEST / small.width)
        small = small.resize((WIDEST, height), Image.Resampling.LANCZOS)
    # Maximum coverage keeps rare colours, such as the end of a scale that no cell has.
    small.quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(where, optimize=True)


if __name__ == "__main__":
    main()
