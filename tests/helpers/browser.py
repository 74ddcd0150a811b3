"""A headless Chromium, spoken to in its DevTools protocol through a pipe.

It opens files as a reader does: with the sandbox of the page, its content policy, and no network.
"""

import base64
import json
import os
import select
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 60
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run "
    "--disable-background-networking --disable-component-update --disable-extensions "
    "--disable-sync --hide-scrollbars --remote-debugging-pipe about:blank"
).split()
# The protocol is read from 3 and written to 4; a shell of any kind can join these to 0 and 1.
JOINED = 'exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>/dev/null'


def chromium() -> str:
    """Give the installed browser; skip the test without one, or fail where one must be there."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        end = pytest.fail if os.environ.get("CULTURE_LENS_BROWSER") == "required" else pytest.skip
        end(f"no browser is installed: {', '.join(NAMES)}")
    return found


class Browser:
    """A running browser; ``page`` opens a file in a tab of it."""

    def __init__(self) -> None:
        self.folder = TemporaryDirectory(prefix="browser")
        command = [chromium(), f"--user-data-dir={self.folder.name}", *FLAGS]
        self.process = subprocess.Popen(
            ["sh", "-c", JOINED, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self.sent, self.unread, self.events = 0, b"", []

    def send(self, method, session=None, **params):
        """Send a command and give its result; events that come first are kept."""
        self.sent += 1
        message = {"id": self.sent, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        self.process.stdin.write(json.dumps(message).encode() + b"\0")
        while (answer := self.read()).get("id") != self.sent:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def wait_for(self, method, session):
        """Read until an event of a tab has come."""
        while not any(e["method"] == method for e in self.events_of(session)):
            self.events.append(self.read())

    def events_of(self, session):
        return [event for event in self.events if event.get("sessionId") == session]

    def read(self):
        """Read one message."""
        end, out = monotonic() + PATIENCE, self.process.stdout.fileno()
        while b"\0" not in self.unread:
            ready, _, _ = select.select([out], [], [], max(0.0, end - monotonic()))
            part = os.read(out, 1 << 20) if ready else b""
            if not part:
                raise TimeoutError("the browser does not answer")
            self.unread += part
        line, _, self.unread = self.unread.partition(b"\0")
        return json.loads(line)

    def page(self, file, width=1400, height=900, dark=False):
        """Open a file in a new tab."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, target, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.send(f"{domain}.enable")
        tab.resize(width, height)
        tab.darken(dark)
        tab.send("Page.navigate", url=Path(file).resolve().as_uri())
        self.wait_for("Page.loadEventFired", session)
        return tab

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.stdout.close()
        self.folder.cleanup()


@dataclass
class Tab:
    """A tab with a file in it, and what it has said and asked for."""

    browser: Browser
    target: str
    session: str

    def send(self, method, **params):
        return self.browser.send(method, self.session, **params)

    def resize(self, width, height=900):
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def darken(self, dark=True):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def run(self, script):
        """Evaluate JavaScript, wait for what it promises, and give its value."""
        result = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    def hover(self, element):
        """Move the mouse over the upper left corner of an element."""
        x, y = self.run(f"(({{ left, top }}) => [left, top])({element}.getBoundingClientRect())")
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x + 6, y=y + 6)

    def until(self, condition):
        """Wait until a JavaScript condition holds."""
        script = f"""new Promise((done, fail) => {{
            const end = Date.now() + {1000 * PATIENCE};
            const look = () => ({condition}) ? done(true)
                : Date.now() > end ? fail(new Error("never: " + {json.dumps(condition)}))
                : setTimeout(look, 10);
            look();
        }})"""
        return self.run(script)

    def errors(self):
        """List what the console has said, warnings too, and exceptions."""
        self.run("0")  # events before this answer have been read
        told = []
        for event in self.browser.events_of(self.session):
            method, params = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                told.append(params["exceptionDetails"]["exception"].get("description"))
            elif method == "Log.entryAdded":
                told.append(params["entry"]["text"])
            elif method == "Runtime.consoleAPICalled":
                told.append(" ".join(str(one.get("value")) for one in params["args"]))
        return told

    def requests(self):
        """List the addresses that were asked for; what is inside the page does not count."""
        self.run("0")
        asked = [
            event["params"]["request"]["url"]
            for event in self.browser.events_of(self.session)
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in asked if not url.startswith(("data:", "blob:"))]

    def picture(self, file, whole=False):
        """Write a screenshot."""
        image = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        Path(file).write_bytes(base64.b64decode(image["data"]))

    def pdf(self, file):
        """Print on the paper that the page asks for."""
        made = self.send("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        Path(file).write_bytes(base64.b64decode(made["data"]))

    def close(self):
        self.browser.send("Target.closeTarget", targetId=self.target)
