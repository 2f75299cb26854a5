"""The page of a run in a real browser: a hostile one runs nothing and asks nobody, an honest one is shown."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers import Place

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context()
    yield made
    made.close()


def _page_of(place: Place, name: str) -> Path:
    run, _ = place.run(name)
    target = place.root / f"{name}.html"
    place.cli("open", run.run_id, "--html", str(target))
    return target


class _Listener(ThreadingHTTPServer):
    """Hears whatever the browser really asks for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(BaseHTTPRequestHandler):
    server: _Listener

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name it has there
        """Say nothing."""


@pytest.fixture
def listener() -> Iterator[_Listener]:
    with _Listener() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def hostile_page(shared_place: Place) -> str:
    return _page_of(shared_place, "hostile").read_text()


@pytest.fixture
def hostile(hostile_page: str, listener: _Listener, tmp_path: Path) -> Path:
    """The page of a hostile notebook, all of whose remote addresses are those of the listener."""
    file = tmp_path / "hostile.html"
    assert "http://127.0.0.1:9/" in hostile_page
    file.write_text(hostile_page.replace("127.0.0.1:9/", f"127.0.0.1:{listener.server_port}/"))
    return file


def _open(context: BrowserContext, file: Path) -> Page:
    page = context.new_page()
    page.goto(file.as_uri(), wait_until="load")
    page.wait_for_load_state("networkidle")
    return page


def test_nothing_of_a_hostile_notebook_runs(context: BrowserContext, hostile: Path) -> None:
    """No script, no handler, no javascript: link, whether it is left alone or clicked."""
    page = _open(context, hostile)
    # Playwright's own evaluation is not subject to the page's policy.
    assert page.evaluate("window.ran") is None
    for text in ("click here", "hover here", "a link", "here"):
        for element in page.get_by_text(text, exact=False).all():
            element.dispatch_event("mouseover")
            element.dispatch_event("click")
    for selector in ("button", "rect", "a", "img"):
        for element in page.locator(selector).all():
            element.dispatch_event("click")
            element.dispatch_event("error")
    assert page.evaluate("window.ran") is None
    assert page.url.partition("#")[0] == hostile.as_uri()
    assert page.locator("script, iframe, object, embed, form[action], base, link[href^=http]").count() == 0


def test_a_hostile_notebook_asks_nobody_for_anything(
    context: BrowserContext, hostile: Path, listener: _Listener
) -> None:
    """It names pictures, sheets and frames elsewhere, and nobody hears of it."""
    _open(context, hostile)
    assert listener.asked == []


_MISSED = """
<script>window.ran = "script"</script><img src="x" onerror="window.ran = 'handler'">
<img src="REMOTE/picture.png"><iframe src="REMOTE/frame"></iframe>
<iframe srcdoc="<script>parent.ran = 'frame'</script>"></iframe></body>
"""


@pytest.mark.parametrize("with_policy", [True, False])
def test_the_policy_alone_would_hold(
    context: BrowserContext, hostile: Path, listener: _Listener, with_policy: bool
) -> None:
    """What a sanitiser might miss neither runs nor loads under the policy; without it, it does both."""
    text = hostile.read_text()
    missed = _MISSED.replace("REMOTE", f"http://127.0.0.1:{listener.server_port}")
    if not with_policy:
        text = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", text)
    hostile.write_text(text.replace("</body>", missed))
    page = _open(context, hostile)
    assert (page.evaluate("window.ran") is None) == with_policy
    assert (listener.asked == []) == with_policy


def test_a_normal_notebook_shows_its_table_and_its_picture(
    context: BrowserContext, shared_place: Place
) -> None:
    page = _open(context, _page_of(shared_place, "rich"))
    assert page.title().endswith("-rich-" + page.title()[-4:])
    assert page.get_by_role("heading", name="A report").is_visible()
    assert page.get_by_role("cell", name="Ulm").is_visible()
    assert page.locator("strong", has_text="strong").is_visible()
    picture = page.locator("img")
    assert picture.count() == 1
    assert picture.evaluate("image => image.complete && image.naturalWidth") == 8


def test_a_failed_notebook_shows_its_traceback_as_text(context: BrowserContext, hostile: Path) -> None:
    page = _open(context, hostile)
    assert page.get_by_text("<img src=x onerror").first.is_visible()
    assert page.get_by_text("window.ran = 'stream'").first.is_visible()
