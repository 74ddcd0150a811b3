"""The package as a user gets it: lazy, typed, with its data in the wheel."""

import os
import subprocess
import sys
import zipfile

import pytest

import culture_lens
from tests.helpers.places import ROOT


def run_python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_nothing_heavy():
    heavy = ("torch", "transformer_lens", "transformers", "pandas", "plotly", "datasets", "typer")
    code = f"""
import sys
import culture_lens
print([name for name in {heavy!r} if name in sys.modules])
"""
    assert run_python(code, PYTHONPATH=str(ROOT)).strip() == "[]"


def test_help_loads_nothing_heavy():
    code = """
import sys
sys.argv = ["culture-lens", "--help"]
from culture_lens.cli import main
try:
    main()
finally:
    print([n for n in ("torch", "transformer_lens", "transformers", "pandas") if n in sys.modules])
"""
    assert run_python(code, PYTHONPATH=str(ROOT)).strip().endswith("[]")


def test_every_public_name_can_be_had():
    for name in culture_lens.__all__:
        assert getattr(culture_lens, name) is not None
    assert set(culture_lens._PLACES) | {"plots"} == set(culture_lens.__all__)


def test_a_public_function_is_not_hidden_by_a_module_of_its_name():
    import culture_lens.activations.record  # noqa: F401
    import culture_lens.evaluation.evaluate
    import culture_lens.find

    for name in culture_lens._PLACES:
        assert getattr(culture_lens, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = culture_lens.nonsense


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
