"""Names of methods, cultures and benchmarks as names of files, each of which lies in its folder.

A name may come from a user's table. What a file's name cannot hold on every system, or could be
taken for a path, is written as ``%`` and two hexadecimal digits for each of its bytes, as in web
addresses: separators, control and invisible characters, characters that look like others, a leading
or final dot, and names that Windows reserves.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from urllib.parse import unquote

from culture_lens.errors import InputError

RESERVED = frozenset('<>:"/\\|?*%')
DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{port}{number}" for port in ("COM", "LPT") for number in range(10)}
)
"""Names that Windows takes for devices, with any ending."""
LONGEST = 180
"""Bytes of the longest name; file systems take 255, of which endings and half-written files need
some."""


def file_name(name: str) -> str:
    """Write a name so that it is the name of a file on every system, and of no other name.

    Raises:
        InputError: The name is blank or too long.

    Example:
        >>> file_name("Spain, Basque Country"), file_name("../up"), file_name("a/b")
        ('Spain, Basque Country', '%2E.%2Fup', 'a%2Fb')
    """
    if not name.strip():
        raise InputError(f"a file cannot be named {name!r}: give a name that is not blank.")
    ordinary = unicodedata.normalize("NFKC", name) == name
    last = len(name) - 1
    device = name.partition(".")[0].rstrip(" ").upper() in DEVICES
    written = "".join(
        escaped(letter)
        if letter in RESERVED
        or not letter.isprintable()
        or not (ordinary or letter.isascii())
        or (letter == "." and at in (0, last))
        or (letter == " " and at in (0, last))
        or (device and at == 0)
        else letter
        for at, letter in enumerate(name)
    )
    if (size := len(written.encode())) > LONGEST:
        raise InputError(
            f"{name[:40]!r}... takes {size} bytes as the name of a file, of at most {LONGEST}: "
            "give it a shorter name."
        )
    return written


def escaped(letter: str) -> str:
    """Write a character as ``%`` and two digits for each of its bytes.

    Example:
        >>> escaped("/")
        '%2F'
    """
    return "".join(f"%{byte:02X}" for byte in letter.encode(errors="surrogatepass"))


def name_of(written: str) -> str:
    """Give the name that ``file_name`` wrote.

    Example:
        >>> name_of("a%2Fb")
        'a/b'
    """
    return unquote(written, errors="surrogatepass")


def inside(root: Path, *names: str, suffix: str = "") -> Path:
    """Give the path of a file under a folder, one name for each level; it never leaves the folder.

    Raises:
        InputError: A name is blank or too long.

    Example:
        >>> inside(Path("runs/first"), "matrix", "../../outside", suffix=".parquet").as_posix()
        'runs/first/matrix/%2E.%2F..%2Foutside.parquet'
    """
    *folders, file = names
    return root.joinpath(*map(file_name, folders), file_name(file) + suffix)
