"""The package as a user gets it: lazy, typed, with its data in the wheel."""

import os
import subprocess
import sys
import zipfile

import pytest

import culture_lens
from tests.helpers.places import ROOT

NAMES = """
    AblationMatrix ActivationStatistics ActivationSummary Comparison CulnigScores
    CultureLensWarning Estimate Evaluation Fidelity FineTuned Forgetting ForgettingStudy
    Inference InputError LazyImage LensModel ModuleChoice ModuleRanking NeuronScores NeuronSet
    Neurons PermutationResult PredictedMatrix Preset Prompt PromptFormat Question Relations
    Role Run Scorecard ShortAnswers Suite TransferMatrix Truth ValueAlignment VarianceShares
    ablated ablation_matrix against_random agreement_with_table align_cultures as_image
    attribute balance_table benchmark_names build_prompts build_report cell_tests
    choose_modules compare_selectors compare_strategies control_twin culnig_scores
    diagonal_test enhance evaluate evaluate_short_answers evaluate_suite evaluate_values
    fidelity find_culture_neurons forgetting fuse halves in_every_wording infer instance_share
    load_benchmark load_model load_short_answers load_truth load_values matched_random
    matrix_fidelity minimum_detectable_effect organism_study outgoing_norms
    overlap_with_chance plots predicted_ablation_matrix preset questions_from_table
    rank_modules readable record_activations relabelled related_cultures same_culture
    score_selectors select selection_frequency set_stability shared_with_chance
    split_questions steered strata_of summarise suppress transfer_matrix variance_shares
    with_format
"""
"""The public names of version 0.1.0."""


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


def test_the_public_names_of_the_first_version_stay():
    assert set(NAMES.split()) <= set(culture_lens.__all__)


def test_a_public_function_is_not_hidden_by_a_module_of_its_name():
    import culture_lens.activations.record  # noqa: F401
    import culture_lens.evaluation.evaluate
    import culture_lens.find

    for name in culture_lens.__all__:
        assert getattr(culture_lens, name).__name__.removeprefix("culture_lens.") == name


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
