"""Pictures from the web: fetched once, over http or https, and only with allow_urls=True."""

from __future__ import annotations

import hashlib
import re
import tempfile
from functools import cache
from pathlib import Path

from culture_lens.errors import InputError

MAX_DOWNLOAD = 50 * 2**20
TIMEOUT = 30.0
SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


def allowed(address: str, where: str, allow_urls: bool) -> str:
    """Check that an address is http or https and that fetching is allowed."""
    scheme = SCHEME.match(address)
    if scheme is None or scheme[1].lower() not in ("http", "https"):
        raise InputError(
            f"{where}: the image address {address[:300]} is neither http nor https; save the "
            "picture to a file and give its path."
        )
    if not allow_urls:
        raise InputError(
            f"{where}: the image is the address {address[:300]}, and images are not fetched by "
            "default; give allow_urls=True to fetch it, or a path to a local copy."
        )
    return address


@cache
def downloads() -> tempfile.TemporaryDirectory[str]:
    """The folder of fetched pictures, deleted when the program ends."""
    return tempfile.TemporaryDirectory(prefix="culture_lens-")


@cache
def fetch(address: str) -> Path:
    """Fetch a picture from the web, once while the program runs.

    Raises:
        InputError: It cannot be fetched within ``TIMEOUT``, or is larger than ``MAX_DOWNLOAD``.

    Example:
        ``fetch("https://example.org/photo.jpg").read_bytes()``
    """
    from urllib import request

    # Without the handlers of ftp, data and file, a redirection cannot lead there.
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPRedirectHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPErrorProcessor,
        request.UnknownHandler,
    ):
        opener.add_handler(handler())
    wanted = request.Request(address, headers={"User-Agent": "culture_lens"})
    try:
        with opener.open(wanted, timeout=TIMEOUT) as answer:
            data = answer.read(MAX_DOWNLOAD + 1)
    # urllib raises OSError, ValueError and the errors of http.client, which have no common base.
    except Exception as error:
        raise InputError(
            f"cannot fetch the image {address}: {error}; check the address and the connection, or "
            "give a path to a local copy."
        ) from error
    if len(data) > MAX_DOWNLOAD:
        raise InputError(
            f"the image {address} is larger than {MAX_DOWNLOAD} bytes: give a path to a smaller "
            "copy."
        )
    path = Path(downloads().name, hashlib.sha256(address.encode()).hexdigest())
    path.write_bytes(data)
    return path
