"""Addresses are fetched once, when they are looked at, and what cannot be fetched is named."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from culture_lens.errors import InputError
from culture_lens.questions import downloads
from tests.helpers.images import corners, lazy, pixels, saved


def test_other_schemes_are_refused_even_where_addresses_are_allowed():
    for address in ("ftp://example.org/a.jpg", "file:///etc/passwd"):
        with pytest.raises(InputError, match="neither http nor https"):
            lazy(address, allow_urls=True)


@pytest.fixture
def web():
    """A server on this machine; ``asked`` lists the paths that were fetched."""
    picture = saved(corners())

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            if self.path == "/away":
                self.send_response(302)
                self.send_header("Location", "ftp://127.0.0.1/a.png")
                self.end_headers()
                return
            self.send_response(404 if self.path == "/gone" else 200)
            self.end_headers()
            self.wfile.write(picture)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    server.asked = []
    server.at = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # seconds between looks
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_an_address_is_fetched_once_and_only_when_looked_at(web, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    one, same = (lazy(f"{web.at}/a.png", allow_urls=True) for _ in range(2))
    assert not web.asked
    assert pixels(one.open()) == pixels(corners())
    assert one.size == (40, 20) and same.key == lazy(saved(corners())).key
    assert web.asked == ["/a.png"]


@pytest.mark.slow
def test_what_cannot_be_fetched_is_named(web, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(InputError, match="/gone: HTTP Error 404.*local copy"):
        lazy(f"{web.at}/gone", allow_urls=True).open()
    with pytest.raises(InputError, match="cannot fetch.*ftp"):
        lazy(f"{web.at}/away", allow_urls=True).open()
    monkeypatch.setattr(downloads, "MAX_DOWNLOAD", 100)
    with pytest.raises(InputError, match="/large is larger than 100 bytes"):
        lazy(f"{web.at}/large", allow_urls=True).open()
