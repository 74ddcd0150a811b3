"""Results: read back as they were, refused where they are of another kind, shown in a few lines."""

from typing import ClassVar

import pandas as pd
import pytest

from culture_lens.errors import InputError
from culture_lens.storage.files import save_table
from culture_lens.storage.records import MOST_FACTS, ResultRecord

FRAME = pd.DataFrame({"id": ["a", "b"], "correct": [True, False], "p_gold": [0.25, 0.5]})
METADATA = {"model": "m", "items": 2, "cultures": ["Japan", "Côte d'Ivoire"], "share": 0.5}


class Answers(ResultRecord):
    what: ClassVar[str] = "a table of answers"
    needs: ClassVar[tuple[str, ...]] = ("id", "correct")


class Table(ResultRecord):
    what: ClassVar[str] = "an ablation matrix"


def test_records_and_metadata_come_back_the_same(tmp_path):
    saved = Answers(FRAME, METADATA).to_parquet(tmp_path / "deep" / "answers.parquet")
    again = Answers.from_parquet(saved)
    pd.testing.assert_frame_equal(again.frame, FRAME)
    assert again.metadata == METADATA and type(again) is Answers


def test_a_result_of_another_kind_is_refused(tmp_path):
    saved = Answers(FRAME, METADATA).to_parquet(tmp_path / "answers.parquet")
    with pytest.raises(InputError, match="answers.parquet is not an ablation matrix.*a Answers"):
        Table.from_parquet(saved)
    # the base is a kind of its own, too
    with pytest.raises(InputError, match="is not a result"):
        ResultRecord.from_parquet(saved)


def test_a_file_that_holds_no_result_is_refused(tmp_path):
    FRAME.to_parquet(tmp_path / "plain.parquet")
    with pytest.raises(InputError, match="plain.parquet is not a table of answers.*metadata"):
        Answers.from_parquet(tmp_path / "plain.parquet")
    with pytest.raises(InputError, match="no such file"):
        Answers.from_parquet(tmp_path / "none.parquet")


@pytest.mark.parametrize("column", Answers.needs)
def test_a_missing_column_is_named(tmp_path, column):
    path = tmp_path / "less.parquet"
    save_table(path, FRAME.drop(columns=column), METADATA, kind="Answers")
    with pytest.raises(InputError, match=f"is not a table of answers: it has no column '{column}'"):
        Answers.from_parquet(path)
    save_table(path, FRAME.drop(columns="p_gold"), METADATA, kind="Answers")
    assert list(Answers.from_parquet(path).frame) == ["id", "correct"]


def test_to_pandas_is_a_copy():
    result = Answers(FRAME.copy())
    result.to_pandas().loc[0, "id"] = "changed"
    assert result.frame.loc[0, "id"] == "a"


def test_the_repr_counts_the_records_and_lists_single_values():
    text = repr(Answers(pd.concat([FRAME] * 1000), METADATA))
    assert text.splitlines() == [
        "Answers: 2,000 records",
        "  model: m",
        "  items: 2",
        "  share: 0.5",
    ]


def test_the_repr_is_short_however_much_metadata_there_is():
    facts = {f"fact{i}": i for i in range(100)} | {"empty": ""}
    lines = repr(Answers(FRAME, facts)).splitlines()
    assert len(lines) == 1 + MOST_FACTS <= 8
    assert lines[1] == "  fact0: 0"


class Nothing(Answers):
    """A result whose main table cannot be made."""

    def _main_table(self):
        return self.frame.set_index("no such column")


def test_what_has_no_main_table_shows_its_records():
    assert "p_gold" in Nothing(FRAME)._repr_html_()


def test_html_is_escaped():
    html = Answers(FRAME, {"model": "<script>x</script>", "a<b": "c&d"})._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;x&lt;/script&gt;" in html
    assert "a&lt;b" in html and "c&amp;d" in html and "Answers: 2 records" in html


def test_a_result_can_be_read_without_this_package(tmp_path):
    saved = Answers(FRAME, METADATA).to_parquet(tmp_path / "answers.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(saved), FRAME)
