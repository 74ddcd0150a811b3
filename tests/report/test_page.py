"""The page says what the results say, is safe to open, and needs nothing from outside."""

import base64
import html
import re
from dataclasses import replace
from hashlib import sha256

import pytest
from plotly.offline import get_plotlyjs

from culture_lens.errors import InputError
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.plots.style import points
from culture_lens.report.page import build_report, report_context
from culture_lens.statistics.tables import as_estimates
from culture_lens.storage.runs import Run
from tests.helpers.results import CULTURES, make_found, make_matrix, make_run


def page_of(run):
    """Give the page without plotly.js."""
    page = build_report(run).read_text(encoding="utf-8")
    assert page.count(get_plotlyjs()) == 1
    return page.replace(get_plotlyjs(), "")


@pytest.fixture(scope="module")
def matrix():
    return make_matrix()


@pytest.fixture(scope="module")
def run(tmp_path_factory, matrix):
    folder = tmp_path_factory.mktemp("run")
    run = make_run(folder, conact=(make_found(), matrix), lape=(None, make_matrix(items=6)))
    run.log("find", {"method": "conact", "share": 0.005})
    return run


@pytest.fixture(scope="module")
def whole(run):
    return build_report(run).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(whole):
    return whole.replace(get_plotlyjs(), "")


def test_context_has_the_values(run, matrix):
    context = report_context(run)
    conact, lape = context["selectors"]
    assert (conact["name"], lape["name"]) == ("conact", "lape")
    for metric in ("self", "cross", "gap"):
        assert conact["values"][metric] == matrix.overall(metric)
    assert conact["values"]["beyond_random"] == matrix.beyond_random()
    assert conact["values"]["chance"] == 0.25
    summary = as_estimates(matrix.summary())
    columns = [column["name"] for column in conact["metrics"]["columns"]]
    for row in conact["metrics"]["rows"]:
        own = row["cells"][columns.index("self")]
        estimate = summary.loc[row["culture"], "self"]
        assert own["value"] == points(estimate.value)
        assert own["interval"] == f"{points(estimate.low)} to {points(estimate.high)}"
        assert own["excludes_0"] == estimate.excludes(0.0)
        assert row["items"] == 12
    assert [row["number"] for row in conact["neurons"]] == ["2", "3", "4"]
    assert context["steps"][0]["options"] == [("method", "conact"), ("share", "0.005")]
    assert "torch" in dict(context["versions"])


@pytest.mark.slow
def test_page_has_the_values(page, matrix):
    assert "Culture neurons of org/tiny" in page
    for culture in CULTURES:
        assert culture in page
        assert points(as_estimates(matrix.summary()).loc[culture, "self"].value) in page
    low, high = matrix.overall("gap").low, matrix.overall("gap").high
    assert f"({points(low)} to {points(high)})" in page
    assert page.count('class="canvas"') == 6 + 4 + 1
    assert "method = conact" in page and "neurons/lape.safetensors is missing" in page


@pytest.mark.slow
def test_page_needs_nothing_from_outside(page):
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", page)
    assert "@import" not in page and "url(" not in page
    assert "default-src 'none'" in html.unescape(page)


@pytest.mark.slow
def test_the_policy_names_the_scripts_of_the_page_and_no_others(whole, page):
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', whole)[1])
    scripts = re.findall(r"<script>(.*?)</script>", whole, re.DOTALL)
    hashes = [base64.b64encode(sha256(text.encode()).digest()).decode() for text in scripts]
    assert f"script-src 'sha256-{hashes[0]}' 'sha256-{hashes[1]}';" in policy
    assert len(scripts) == 2 and "unsafe-inline" not in policy.partition("style-src")[0]
    assert not re.search(r"\son[a-z]+=", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))


@pytest.mark.slow
def test_page_is_accessible(page):
    assert page.count("<h1>") == 1 and '<html lang="en">' in page
    assert (
        page.count('<div class="canvas"') == page.count('data-alt="') == page.count("<figcaption>")
    )
    assert page.index('<a class="skip" href="#main">') < page.index('<main id="main"')
    assert page.count("<table>") == page.count("<caption")
    assert '<th scope="row">' in page and '<th scope="col">' in page


@pytest.mark.slow
def test_malicious_names_are_text(tmp_path):
    names = ["<script>alert(1)</script>", "</script><img src=x onerror=alert(1)>"]
    matrix = make_matrix(names, items=6, model="<b>model</b>", benchmark='"><i>')
    found = replace(make_found(names), metadata=matrix.metadata)
    run = make_run(tmp_path, **{"<u>x": (found, matrix)})
    run.log("find", {"method": "<script>alert(2)</script>"})
    page = page_of(run)
    assert "<script>alert" not in page and "<img" not in page and "<b>model" not in page
    assert "<u>" not in page and "<i>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count("<script") == page.count("</script>")


def test_without_a_matrix_it_says_so(tmp_path):
    page = page_of(make_run(tmp_path, conact=(make_found(), None)))
    assert "have not been ablated yet" in page and "no evidence of what they do" in page
    assert page.count('class="canvas"') == 2


def test_one_culture_is_no_comparison(tmp_path):
    run = make_run(tmp_path, conact=(make_found(["Japan"]), make_matrix(["Japan"])))
    assert "at least two cultures" in page_of(run)


def text_of(tmp_path, matrix):
    (selector,) = report_context(make_run(tmp_path, conact=(None, matrix)))["selectors"]
    return " ".join(selector["outcome"]), " ".join(selector["cautions"])


def test_evidence_is_called_so(tmp_path):
    outcome, cautions = text_of(tmp_path, make_matrix(items=60, seeds=5))
    assert "Evidence" in outcome and "more than random neurons" in outcome
    assert cautions == ""


def test_one_random_set_is_no_comparison(tmp_path):
    outcome, cautions = text_of(tmp_path, make_matrix(items=60, seeds=1))
    assert "too few random sets or questions to compare with" in outcome
    assert "A single set of random neurons was ablated" in cautions


def test_few_question_groups_are_a_caution(tmp_path):
    outcome, cautions = text_of(tmp_path, make_matrix(items=3))
    assert "self −66.7 points (no interval)" in outcome
    assert (
        "Too few question groups for intervals, which take 4: Ethiopia (3), Japan (3)" in cautions
    )


def test_few_items_and_no_random_are_cautions(tmp_path):
    outcome, cautions = text_of(tmp_path, make_matrix(items=12, seeds=0))
    assert "random neurons were not ablated" in outcome
    assert "3 of 3 cultures have fewer than 50 questions" in cautions
    assert "No random neurons" in cautions


def test_seen_items_allow_no_conclusion(tmp_path):
    outcome, cautions = text_of(tmp_path, make_matrix(items=60, seen=True))
    assert "No conclusion" in outcome and "the effects are too large" in cautions


def test_a_model_at_chance_allows_no_conclusion(tmp_path):
    matrix = make_matrix(items=60)
    matrix.frame["scores"] = [[0.0]] * len(matrix.frame)
    outcome, cautions = text_of(tmp_path, matrix)
    assert "No conclusion" in outcome and "not clearly above chance (100.0%)" in cautions
    assert "In 3 of 3 cultures" in cautions


def test_no_effect_is_not_evidence(tmp_path):
    matrix = make_matrix(items=60)
    after_ablation = matrix.frame["condition"] == "found"
    matrix.frame.loc[after_ablation, "correct"] = True
    matrix.frame.loc[after_ablation, "prediction"] = 0
    outcome, cautions = text_of(tmp_path, matrix)
    assert "does not show" in outcome and "includes 0" in cautions


def test_a_matrix_without_base_or_records_is_said_or_refused(tmp_path, matrix):
    frame = matrix.frame
    based = type(matrix)(frame[frame["condition"] != "unmodified"], matrix.metadata)
    assert "no records of the unmodified model" in page_of(make_run(tmp_path, conact=(None, based)))
    with pytest.raises(InputError, match="no records"):
        build_report(make_run(tmp_path, conact=(None, type(matrix)(frame[:0], {}))))


def test_nothing_to_report_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to report"):
        build_report(Run.open(tmp_path))
    with pytest.raises(InputError, match="no run folder"):
        build_report(tmp_path / "missing")


def general_matrix(harm):
    """One mask that belongs to no culture; it breaks every answer, or none."""
    matrix = make_matrix(seeds=5)
    frame = matrix.frame[matrix.frame["mask"].isin(["", "Japan"])]
    frame = frame.assign(mask=frame["mask"].replace("Japan", "general"))
    found = frame["condition"] == "found"
    base = frame[frame["condition"] == "unmodified"].set_index("id")["correct"]
    frame.loc[found, "correct"] = False if harm else frame.loc[found, "id"].map(base)
    return AblationMatrix(frame, matrix.metadata)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (True, "matter for these questions, more than random ones"),
        (False, "does not show that these neurons matter"),
    ],
)
def test_a_mask_of_no_culture_is_judged_by_its_mean(tmp_path, harm, words):
    matrix = general_matrix(harm)
    assert not matrix.has_metrics
    found = NeuronSet({"general": Neurons.of({"gate": [(0, 1)]})}, {"gate": (4, 8)})
    run = make_run(tmp_path, culnig_general=(found, matrix))
    (told,) = report_context(run)["selectors"]
    effects = as_estimates(matrix.effects("general"))
    assert words in told["outcome"][0]
    assert told["metrics"]["mean"]["cells"][1]["value"] == points(
        effects.loc["mean", "change"].value
    )
    assert [row["culture"] for row in told["metrics"]["rows"]] == list(matrix.cultures)
    mean = matrix.table("change").loc["general"].mean()
    assert effects.loc["mean", "change"].value == pytest.approx(mean)
    beyond = mean - matrix.table("change", "random").loc["general"].mean()
    assert matrix.effect_beyond_random("general").value == pytest.approx(beyond)
    assert "culnig_general" in page_of(run)
