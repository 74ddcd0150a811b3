"""The documentation: complete, true to the names in the code, its code runs, one word per thing."""

import ast
import re
from functools import wraps
from pathlib import Path

import jaxtyping
import pytest

import culture_lens
from culture_lens import plots
from tests.helpers.calls import made_once
from tests.helpers.places import ROOT
from tests.helpers.smollm2 import needs_smollm2

DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
SHARED = (
    "load_model",
    "load_benchmark",
    "split_questions",
    "summarise",
    "find_culture_neurons",
    "culnig_scores",
)
MATRICES = ("ablation_matrix", "compare_selectors", "evaluate_suite", "transfer_matrix")
WORDS = 1200
NOT_RUN = re.compile(r"<!-- not run: .+ -->\n$")
FENCED = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"`((?:culture_lens|tests|speed|data|notebooks|docs)/[\w/.{},*-]+\.\w+)`")
OLD_WORDS = re.compile(
    r"silenc|switch(ed|ing)? off|knock(ed|ing)? out|paper [ab]\b|papers'|beginnings|\breadings?\(|"
    r"reading=|kind=|\btokens=|--tokens",
    re.IGNORECASE,
)


def blocks(page: Path) -> list[tuple[str, bool]]:
    """Each Python block of a page, and whether it is run here."""
    text = page.read_text(encoding="utf-8")
    return [
        (match[1], not NOT_RUN.search(text[: match.start()])) for match in FENCED.finditer(text)
    ]


def runnable(page: Path) -> bool:
    return any(run for _, run in blocks(page))


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def test_every_public_name_is_on_an_api_page():
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    shown = set(re.findall(r"^::: culture_lens\.([\w.]+)$", pages, re.MULTILINE))
    wanted = set(culture_lens.__all__) - {"plots"} | {f"plots.{name}" for name in plots.__all__}
    assert wanted <= shown, sorted(wanted - shown)


def test_the_gallery_shows_every_figure_and_the_code_that_draws_it():
    page = (DOCS / "guide" / "gallery.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\]\(\.\./gallery/(\w+)\.png\)", page))
    # other pages show them
    elsewhere = {"scorecard_chart", "transfer_heatmap", "forgetting_chart"}
    elsewhere |= {"localization_gap", "generation_chart", "units_chart"}
    tools = {"data", "paper", "save"}
    for name in set(plots.__all__) - tools:
        assert name in page
        if name not in elsewhere:
            assert name in shown and f"cl.plots.{name}(" in page, name
    for name in shown:
        assert (DOCS / "gallery" / f"{name}.png").exists(), name


def test_what_the_api_pages_show_is_there():
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    for place in re.findall(r"^::: culture_lens\.(\w+)$", pages, re.MULTILINE):
        assert place in culture_lens.__all__


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_blocks_can_be_read(page):
    for code, _ in blocks(page):
        ast.parse(code)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_old_word(page):
    found = OLD_WORDS.search(page.read_text(encoding="utf-8"))
    assert found is None, found[0]


def test_the_readme_is_short_and_names_the_commands():
    text = README.read_text(encoding="utf-8")
    assert len(text.split()) < WORDS
    for command in ("make demo", "make test", "pip install"):
        assert command in text


def test_the_readme_links_to_files():
    for link in re.findall(r"\]\((?!http)([^)#]+)", README.read_text(encoding="utf-8")):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_are_named_are_there(page):
    for place in FILE.findall(page.read_text(encoding="utf-8")):
        if not any(mark in place for mark in "{*"):
            assert (ROOT / place).exists(), place


def in_one_folder(function, folder):
    """Let calls that name no run folder keep their work in this one."""
    return wraps(function)(lambda *given, **options: function(*given, **{"run": folder} | options))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What many pages begin with is computed for the first of them.

    Matrices share a run folder, in which each finds the masks that another has run. Blocks run as
    users run them, without the types that tests check at every call.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        for call in SHARED:
            patch.setattr(culture_lens, call, made_once(getattr(culture_lens, call)))
        run = tmp_path_factory.mktemp("matrices")
        for call in MATRICES:
            patch.setattr(culture_lens, call, in_one_folder(getattr(culture_lens, call), run))
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=name)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    needs_smollm2()
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": name(page)}
    for code, run in blocks(page):
        if run:
            exec(compile(code, name(page), "exec"), namespace)
