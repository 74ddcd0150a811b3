"""The package as a user gets it: lazy, typed, with its data in the wheel."""

import ast
import re
import subprocess
import sys
import zipfile

import pytest

import culture_lens
from tests.helpers.places import ROOT
from tests.helpers.processes import imported_by, run_python


def test_import_loads_nothing_heavy():
    heavy = ("torch", "transformer_lens", "transformers", "pandas", "plotly", "datasets", "typer")
    assert imported_by("import culture_lens", *heavy) == []


def test_help_loads_nothing_heavy():
    code = """
sys.argv = ["culture-lens", "--help"]
from culture_lens.cli import main
try:
    main()
except SystemExit:
    pass
"""
    assert imported_by(code, "torch", "transformer_lens", "transformers", "pandas") == []


def test_every_public_name_can_be_had():
    for name in culture_lens.__all__:
        assert getattr(culture_lens, name) is not None
    stub = ast.parse((ROOT / "culture_lens" / "__init__.pyi").read_text(encoding="utf-8"))
    places = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    assert {alias.name for node in places for alias in node.names} == set(culture_lens.__all__)


def test_a_public_function_is_not_hidden_by_a_module_of_its_name():
    import culture_lens.activations.record  # noqa: F401
    import culture_lens.evaluation.evaluate
    import culture_lens.find

    for name in set(culture_lens.__all__) - {"plots"}:
        assert getattr(culture_lens, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = culture_lens.nonsense


def imports_of(path):
    """Give every name that a file imports, in full."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.slow
def test_tests_import_helpers_and_never_each_other():
    """What two test files need stands in tests/helpers/."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imports_of(path)
        if name.split(".")[0] == "tests" and not re.match(r"tests\.helpers\.(?!test_)", name)
    ]
    assert len(files) > 100 and wrong == []


def test_conftests_hold_fixtures_only():
    for path in (ROOT / "tests").rglob("conftest.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("pytest_"):
                assert "pytest.fixture" in map(ast.unparse, node.decorator_list) or any(
                    ast.unparse(mark).startswith("pytest.fixture(") for mark in node.decorator_list
                ), f"{path.relative_to(ROOT)} defines {node.name}"


@pytest.mark.slow
def test_the_wheel_holds_types_template_and_data_and_reads_them(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    assert "culture_lens/py.typed" in names
    assert "culture_lens/data/everyday/questions.csv" in names
    assert "culture_lens/data/everyday/LICENSE" in names
    assert "culture_lens/data/countryrc/data.json" in names
    assert "culture_lens/data/countryrc/LICENSE" in names
    assert "culture_lens/report/page.html" in names
    code = """
import culture_lens
print(len(culture_lens.load_benchmark("everyday")), culture_lens.__file__)
"""
    count, file = run_python(code, PYTHONPATH=str(tmp_path / "installed")).split()
    assert file.startswith(str(tmp_path))
    assert int(count) == 480


def test_shapes_are_checked_wherever_they_are_written():
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    checked = set(re.findall(r"culture_lens\.(\w+),", settings.partition("addopts")[2]))
    package = ROOT / "culture_lens"
    written = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if re.search(r"^\s*(from|import) jaxtyping", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert written <= checked, sorted(written - checked)
