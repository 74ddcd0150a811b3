"""Pages of the site that stand elsewhere in the repository: notebooks, contributing, changes.

A notebook becomes a page with the outputs that are stored in it; nothing is run. Its figures are
drawn by the plotly.js of the installed package, so that the site needs no network.
"""

import html
import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
PLOTLY = "assets/plotly.min.js"
SCRIPT = f'<script src="../{PLOTLY}" defer></script>'
BESIDE = ("CONTRIBUTING.md", "CHANGELOG.md")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages."""
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        content = notebook_page(nbformat.read(notebook, as_version=4), notebook.name)
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=content))
    for name in BESIDE:
        files.append(File.generated(config, name.lower(), content=page_beside(name)))
    return files


def on_post_build(config: Any) -> None:
    """Put plotly.js of the installed package beside the pages."""
    package = importlib.util.find_spec("plotly")
    script = Path(package.submodule_search_locations[0]) / "package_data" / "plotly.min.js"
    shutil.copy(script, Path(config["site_dir"]) / PLOTLY)


def page_beside(name: str) -> str:
    """Read a page that stands beside docs/, its links as they are on the site."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
    for other in BESIDE:
        text = text.replace(f"]({other})", f"]({other.lower()})")
    return text


def notebook_page(notebook: Any, name: str) -> str:
    """Write a notebook as Markdown."""
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source.replace(".ipynb)", ".md)"))
            continue
        parts.append(f"```python\n{cell.source}\n```")
        parts += [output_block(output) for output in cell.outputs]
    text = "\n\n".join(parts)
    title, _, rest = text.partition("\n")
    said = f"This page is the notebook `notebooks/{name}` with its stored outputs."
    return f"{title}\n\n*{said}*\n{rest}\n\n{SCRIPT}\n"


def output_block(output: Any) -> str:
    """Write one output: a figure, a picture, a table, or text."""
    if output.output_type == "stream":
        return text_block(output.text)
    data = output.data
    if "application/vnd.plotly.v1+json" in data:
        figure = json.dumps(data["application/vnd.plotly.v1+json"]).replace("</", "<\\/")
        script = f'<script type="application/json">{figure}</script>'
        return f'<div class="figure">{script}</div>'
    if "image/png" in data:
        return f'<img alt="" src="data:image/png;base64,{data["image/png"].strip()}">'
    if "text/html" in data:
        return table_block(data["text/html"])
    return text_block(data["text/plain"])


def table_block(text: str) -> str:
    """Keep what an object shows of itself: of pandas' table all but its style."""
    body = re.sub(r"<style scoped>.*?</style>", "", text, flags=re.DOTALL)
    body = re.sub(r"\n\s*", " ", body).replace(' border="1"', "")
    return f'<div class="output">{body}</div>'


def text_block(text: str) -> str:
    """Show text as it was printed."""
    return f'<div class="output"><pre>{html.escape(text.rstrip())}</pre></div>'
