"""No damage is silent: results are refused, pieces are made again, and either is said."""

import pytest

from tests.helpers.damage import KINDS, answers, flip_bits, frame_of, outcome


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_flipped_bit_is_silent(tmp_path, kind):
    """A few of the 600 in each kind of file that ``speed/damaged_files.py`` flips."""
    found = flip_bits(kind, tmp_path, 25, seed=1)
    kept = (
        {"said, same content"} if kind.again else {"refused", "same content", "said, same content"}
    )
    assert set(found) <= kept and found.total() == 25


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_empty_or_truncated_file_is_not_silent(tmp_path, kind):
    path = kind.write(tmp_path / kind.name)
    whole, expected = path.read_bytes(), kind.read(path)
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        said = "said, same content" if kind.again else "refused"
        if kind.name.endswith("json") and length == len(whole) - 1:  # without its last line end
            said = "same content"
        assert outcome(kind, path, expected) == said, length


def test_the_count_of_flips_can_tell_silence(tmp_path):
    """A kind of file without a hash is found out by the same count."""
    import pandas as pd

    from tests.helpers.damage import Kind

    def write(path):
        answers().to_parquet(path)
        return path

    bare = Kind("bare.parquet", write, lambda path: frame_of(pd.read_parquet(path)))
    assert flip_bits(bare, tmp_path, 150, seed=1)["SILENT"] > 10
    assert outcome(bare, write(tmp_path / "bare.parquet"), None) == "SILENT"


def test_a_table_of_version_0_1_0_is_read_with_a_warning(tmp_path):
    """Its file has metadata and kind, and no hash."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from culture_lens.errors import CultureLensWarning
    from culture_lens.experiments.matrix import AblationMatrix
    from tests.helpers.results import make_matrix

    old = make_matrix(items=2)
    table = pa.Table.from_pandas(old.frame, preserve_index=False)
    notes = {b"culture_lens": b'{"model": "m"}', b"culture_lens.kind": b"AblationMatrix"}
    pq.write_table(table.replace_schema_metadata(notes), tmp_path / "old.parquet")
    with pytest.warns(CultureLensWarning, match=r"old.parquet holds no hash"):
        matrix = AblationMatrix.from_parquet(tmp_path / "old.parquet")
    assert matrix.metadata == {"model": "m"} and matrix.cultures == old.cultures
