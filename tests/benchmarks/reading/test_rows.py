"""Reading rows: what is in the file comes out, and bad files are named with a remedy."""

import csv
import json

import datasets
import pandas as pd
import pytest

from culture_lens.benchmarks.reading.rows import (
    as_frame,
    cell_text,
    need_columns,
    read_rows,
    say_dropped,
)
from culture_lens.errors import CultureLensWarning, InputError

ROWS = [
    {"country": "NA", "answer": "None", "text": 'two\nlines, "quoted"'},
    {"country": "null", "answer": "", "text": "Ünïcödé 日本"},
    {"country": "1.0", "answer": "nan", "text": " spaces kept "},
]


def written(path, rows=ROWS, sep=","):
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, rows[0], delimiter=sep)
        out.writeheader()
        out.writerows(rows)
    return path


@pytest.mark.parametrize(("name", "sep"), [("a.csv", ","), ("a.tsv", "\t")])
def test_separated_cells_come_back_as_the_strings_they_are(tmp_path, name, sep):
    frame = read_rows(written(tmp_path / name, sep=sep))
    assert frame.to_dict("records") == ROWS
    assert frame.attrs["place"].endswith(name)


def test_byte_order_mark_does_not_stick_to_the_first_column(tmp_path):
    path = tmp_path / "excel.csv"
    path.write_text("country,answer\nJapan,yen\n", encoding="utf-8-sig")
    assert read_rows(path).columns.tolist() == ["country", "answer"]


QUOTED = '"Ann\' came" ""first"", \'then'


def test_quotation_marks_of_a_tsv_file_may_be_ordinary_characters(tmp_path):
    path = tmp_path / "a.tsv"
    lines = [f"1\t{QUOTED}\tx", '2\t"open\ty', '3\t"whole"\t"']
    path.write_text("\n".join(["n\ttext\tlast", *lines]) + "\n", encoding="utf-8")
    rows = read_rows(path, quotes=False).to_dict("records")
    assert [list(row.values()) for row in rows] == [line.split("\t") for line in lines]
    assert rows[0]["text"] == QUOTED
    with pytest.raises(InputError, match="quotation marks"):
        read_rows(path)


def test_quotation_marks_of_a_csv_file_always_quote(tmp_path):
    path = written(tmp_path / "a.csv")
    assert read_rows(path, quotes=False).to_dict("records") == ROWS


def test_a_ragged_line_is_named_where_quotation_marks_are_characters(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('a\tb\n1\t"2\n3\t4\t5\n', encoding="utf-8")
    with pytest.raises(InputError, match="line 3: 3 cells where the header has 2"):
        read_rows(path, quotes=False)


def test_json_jsonl_and_parquet_hold_the_same_rows(tmp_path):
    rows = [{"n": 1, "options": ["a", "b"]}, {"n": 2, "options": ["c", "d"]}]
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    for name in ("a.json", "a.jsonl", "a.parquet"):
        read = read_rows(tmp_path / name).to_dict("records")
        assert [(row["n"], list(row["options"])) for row in read] == [
            (1, ["a", "b"]),
            (2, ["c", "d"]),
        ]


def test_a_gap_does_not_turn_whole_numbers_into_floats():
    frame = as_frame([{"a": 1}, {"b": "x"}])
    assert repr(frame["a"][0]) == "1"
    assert cell_text(frame["a"][1]) == ""


def test_dataset_keeps_lists_and_numbers():
    rows = [{"n": 1, "options": ["a", "b"]}, {"n": 2, "options": ["c", "d"]}]
    assert as_frame(datasets.Dataset.from_list(rows)).to_dict("records") == rows


def put(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


BAD = {
    "empty csv": ("a.csv", b"", ["a.csv", "no rows"]),
    "header only": ("a.csv", b"country,answer\n", ["a.csv", "no rows"]),
    "empty json": ("a.json", b"", ["a.json", "no rows"]),
    "empty list": ("a.json", b"[]", ["a.json", "no rows"]),
    "empty jsonl": ("a.jsonl", b"\n\n", ["a.jsonl", "no rows"]),
    "latin-1": ("a.csv", b"country\nJapan\nC\xf4te\n", ["line 3", "UTF-8", "save"]),
    "latin-1 json": ("a.jsonl", b'{"a": "\xff"}\n', ["line 1", "UTF-8"]),
    "short row": ("a.csv", b"a,b\n1,2\n3\n", ["line 3", "1 cells", "header has 2"]),
    "long row": ("a.csv", b"a,b\n1,2,3\n", ["line 2", "3 cells", "header has 2"]),
    "open quote": ("a.csv", b'a,b\n1,"2\n3,4\n', ["near line", "quotation"]),
    "double column": ("a.csv", b"a,a\n1,2\n", ["'a'", "twice in the header"]),
    "bad json": ("a.json", b'[{"a": 1},\n{"a": }]', ["line 2", "malformed JSON"]),
    "object json": ("a.json", b'{"a": 1}', ["dict", "list of objects"]),
    "bad json line": ("a.jsonl", b'{"a": 1}\n\n{"a": \n', ["line 3", "malformed JSON"]),
    "list line": ("a.jsonl", b'{"a": 1}\n[1]\n', ["item 2", "list", "object"]),
    "not parquet": ("a.parquet", b"nonsense that is long enough", ["a.parquet", "parquet"]),
    "other kind": ("a.xlsx", b"x", ["'.xlsx'", ".csv", ".parquet"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file_is_named_with_place_and_remedy(tmp_path, case):
    name, content, words = BAD[case]
    with pytest.raises(InputError) as caught:
        read_rows(put(tmp_path, name, content))
    assert str(tmp_path / name) in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match=r"no file .*nowhere\.csv.*working folder"):
        read_rows(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="is a folder: give the file"):
        read_rows(tmp_path)


def test_missing_column_names_what_is_missing_and_what_is_there(tmp_path):
    frame = read_rows(written(tmp_path / "a.csv"))
    with pytest.raises(InputError) as caught:
        need_columns(frame, ["country", "choices", "gold"])
    message = str(caught.value)
    assert "a.csv: column 'choices', 'gold' is missing" in message
    assert "it has 'country', 'answer', 'text'" in message


def test_things_that_are_not_rows():
    with pytest.raises(InputError, match="keys 'train', 'test'.*one split"):
        as_frame(datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS), test=None))
    with pytest.raises(InputError, match="rows is a int"):
        as_frame(3)
    with pytest.raises(InputError, match="item 2: is a str"):
        as_frame([{"a": 1}, "b"])
    with pytest.raises(InputError, match="empty"):
        as_frame([])


@pytest.mark.parametrize("blank", [None, float("nan"), pd.NA, pd.NaT, "", "  "])
def test_blank_cells(blank):
    assert cell_text(blank) == ""


def test_dropped_rows_are_said_in_one_line(recwarn):
    say_dropped("blend", 9, {"that are one thing": 0})
    assert not recwarn
    with pytest.warns(CultureLensWarning) as caught:
        say_dropped("blend", 9, {"of one sort": 2, "of another": 1, "of none": 0})
    assert [str(w.message) for w in caught] == [
        "blend: dropped 3 of 9 rows: 2 of one sort, 1 of another."
    ]


def test_parquet_without_bytes_is_read_as_before(tmp_path):
    import pandas as pd

    path = tmp_path / "a.parquet"
    pd.DataFrame({"a": [1, 2], "b": [["x"], ["y", "z"]]}).to_parquet(path)
    frame = read_rows(path)
    assert frame["a"].dtype.kind == "i" and [list(v) for v in frame["b"]] == [["x"], ["y", "z"]]
    assert frame.attrs == {"place": str(path), "root": str(tmp_path)}
