"""Equations as MathML when the site is built: nothing is loaded, and no script runs, to show them.

``pymdownx.arithmatex`` marks equations; each is written anew by latex2mathml.
"""

import html
import re

from latex2mathml.converter import convert

MARKED = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\(?:\(|\[)(?P<tex>.*?)\\(?:\)|\])</(?P=tag)>',
    re.DOTALL,
)


def as_mathml(match: re.Match) -> str:
    """Write one marked equation as MathML."""
    block = match["tag"] == "div"
    tex = html.unescape(match["tex"]).strip()
    return convert(tex, display="block" if block else "inline")


def on_page_content(content: str, **_) -> str:
    """Replace the marked equations of a page."""
    return MARKED.sub(as_mathml, content)
