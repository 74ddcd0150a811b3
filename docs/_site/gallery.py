"""Draw the gallery: run the blocks of docs/guide/gallery.md and write a picture for each figure.

A block that makes ``figure`` is followed by the picture that shows it, whose name says where it is
written. Needs the extra ``plots`` and an installed Chrome or Chromium; takes some minutes.

    python docs/_site/gallery.py
"""

import re
import warnings
from pathlib import Path

from culture_lens import plots

DOCS = Path(__file__).resolve().parents[1]
PAGE = DOCS / "guide" / "gallery.md"
BLOCK = re.compile(
    r"^```python\n(.*?)^```\n\n(?:!\[[^\]]*\]\(\.\./(gallery/\w+\.png)\))?",
    re.DOTALL | re.MULTILINE,
)


def main() -> None:
    """Write every picture of the page."""
    warnings.simplefilter("ignore")
    (DOCS / "gallery").mkdir(exist_ok=True)
    names: dict[str, object] = {}
    for code, picture in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        exec(compile(code, PAGE.name, "exec"), names)
        if picture:
            print(plots.save(names["figure"], DOCS / picture), flush=True)


if __name__ == "__main__":
    main()
