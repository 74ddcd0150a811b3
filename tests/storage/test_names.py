"""Names become names of files that stay in their folder, on every system, one name each."""

import itertools
import unicodedata
from pathlib import Path

import pytest

from culture_lens.errors import InputError
from culture_lens.storage.names import LONGEST, file_name, inside, name_of
from culture_lens.storage.runs import Run

ORDINARY = (
    "conact",
    "culnig-specific",
    "Spain, Basque Country (Euskara speaking)",
    "Côte d'Ivoire",
    "日本",
    "ประเทศไทย",
    "sets v1.2",
    "('en', 'US')",
)
HOSTILE = (
    "../../outside",
    "..",
    ".",
    "/etc/passwd",
    "\\\\host\\share",
    "C:\\x",
    "C:x",
    "a/b",
    "~",
    "CON",
    "nul.txt",
    "Aux ",
    "COM1",
    "lpt9.tar.gz",
    "ends with dot.",
    " leads",
    "line\nbreak",
    "null\0byte",
    "\u202egpj.exe",  # turns the reading direction
    "zero\u200bwidth",
    "\uff0e\uff0e\uff0foutside",  # dots and slash of full width
    "\ud800",  # half a character
    "e\u0301",  # another spelling of \u00e9
    "%2e%2e%2f",
    "a%2Fb",
    "<script>",
    'q"?*|',
)


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_names_are_kept(name):
    assert file_name(name) == name_of(name) == name


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leaves_its_folder(tmp_path, name):
    written = file_name(name)
    assert name_of(written) == name
    path = inside(tmp_path, "matrix", name, suffix=".parquet")
    assert path.parent == tmp_path / "matrix"
    assert (tmp_path / "matrix").resolve() == Path(path).resolve().parent
    assert not set('<>:"/\\|?*') & set(written) and written.isprintable()
    assert written[0] not in ". " and written[-1] not in ". "
    assert unicodedata.normalize("NFKC", written) == written
    assert written.partition(".")[0].rstrip().upper() not in ("CON", "NUL", "AUX", "COM1", "LPT9")
    path.parent.mkdir()
    path.write_bytes(b"")  # the file system takes it
    assert Run(tmp_path).names("matrix", ".parquet") == [name]


def test_two_names_are_never_one_file():
    names = {"".join(letters) for letters in itertools.product("a%2F/. ", repeat=4)}
    names = {name for name in names if name.strip()} | set(HOSTILE) | set(ORDINARY)
    assert len({file_name(name) for name in names}) == len(names)


@pytest.mark.parametrize("name", ["", " ", "\t\n"])
def test_a_blank_name_is_refused(name):
    with pytest.raises(InputError, match="not blank"):
        file_name(name)


def test_a_long_name_is_refused():
    assert file_name("x" * LONGEST) == "x" * LONGEST
    for name in ("x" * (LONGEST + 1), "日" * 61, "/" * 61):
        with pytest.raises(InputError, match="give it a shorter name"):
            file_name(name)


def test_half_written_files_are_no_results(tmp_path):
    run = Run.open(tmp_path)
    place = run.named("neurons", "a", ".safetensors")
    place.parent.mkdir()
    place.with_name(".b.safetensors").write_bytes(b"")
    assert run.names("neurons", ".safetensors") == []
