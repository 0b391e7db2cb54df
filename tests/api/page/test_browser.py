"""The page in a real browser: it fits, it breaks no rule of its own, runs nothing of others, and is live."""

import asyncio
import itertools
import shutil
import socket
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
import uvicorn
from playwright.async_api import Browser, Page, async_playwright, expect
from sqlalchemy import text

from api.app import create_with
from jobs.settings import Settings
from jobs.store import budgets
from jobs.store.accounts import Scope
from jobs.store.session import Database
from tests.api.conftest import make_key
from tests.api.page.test_view import HOSTILE
from tests.api.page.visitor import failed
from tests.jobs.store import given

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine's PATH: install one to run these")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WINDOWS: list[tuple[str, int, int, Literal["light", "dark"]]] = [
    ("desktop", 1440, 900, "light"),
    ("desktop", 1440, 900, "dark"),
    ("phone", 390, 844, "light"),
    ("small", 360, 740, "dark"),
]
SIDES: tuple[tuple[Literal["x", "y"], Literal["width", "height"]], ...] = (("x", "width"), ("y", "height"))
PATIENCE_MS = 20_000


class Served:
    """The app on a port of its own."""

    def __init__(self, settings: Settings) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.server = uvicorn.Server(uvicorn.Config(create_with(settings), log_config=None))
        self.task = asyncio.create_task(self.server.serve([self.socket]))

    async def stop(self) -> None:
        self.server.should_exit = True
        await self.task
        self.socket.close()


class Looker:
    """A signed-in page, and everything the browser complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda said: self._hear(said.type, said.text))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.on("requestfailed", lambda request: self.complaints.append(f"request: {request.url}"))
        page.on("request", self._note)
        self.hosts: set[str] = set()

    def _hear(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(f"{kind}: {text}")

    def _note(self, request: Any) -> None:
        if not request.url.startswith("data:"):
            self.hosts.add(request.url.split("/")[2])

    async def sign_in(self, url: str, key: str) -> None:
        await self.page.goto(url)
        await self.page.fill("#key", key)
        await self.page.click("text=Sign in")
        await self.page.wait_for_selector("#tiles")

    async def hears(self, text: str) -> None:
        """Wait until the page says so of its link to the yard. (The page's own policy forbids scripts that wait.)"""
        await expect(self.page.locator("#said")).to_contain_text(text, timeout=PATIENCE_MS)

    async def overflow(self) -> int:
        """How many pixels the page is wider than its window."""
        width: int = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return width

    async def overlaps(self) -> list[str]:
        """Pairs of panels that lie on each other, and panels without any size."""
        panels = await self.page.locator(".panel").all()
        boxes = {await panel.get_attribute("id"): await panel.bounding_box() for panel in panels}
        found = [f"{name} is not to be seen" for name, box in boxes.items() if not box or not box["height"]]
        for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
            if a and b and all(a[at] < b[at] + b[size] and b[at] < a[at] + a[size] for at, size in SIDES):
                found.append(f"{one} on {other}")
        return found


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[Served]:
    running = Served(settings)
    yield running
    await running.stop()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        await browser.close()


async def fill(database: Database) -> None:
    """One of everything, with the longest and nastiest names."""
    tenant_id = await given.tenant(database)
    async with database.transaction() as connection:
        await budgets.create(connection, tenant_id, Decimal("0.006"), "day", None, ())
    for _ in range(3):
        await given.succeeded(database, await given.job(database, tenant_id))
    await failed(database, tenant_id, HOSTILE, custom_id=HOSTILE[:200], task=HOSTILE, policy=HOSTILE)
    await failed(database, tenant_id, "unbreakable" * 60, custom_id="x" * 500, task="y" * 500, model="z" * 500)
    async with database.transaction() as connection:
        longest = {"hostile": HOSTILE, "long": "maker/" + "very-long-name-" * 12 + "@provider"}
        await connection.execute(text("update attempts set deployment = :long, model = :long where tier = 0"), longest)
        one = "update attempts set deployment = :hostile where id in (select id from attempts order by id limit 1)"
        await connection.execute(text(one), longest)


async def test_it_fits_every_window_and_breaks_no_rule(
    served: Served, browser: Browser, database: Database, tmp_path: Path
):
    await fill(database)
    key = await make_key(database, "default", Scope.ADMIN)
    for name, width, height, scheme in WINDOWS:
        context = await browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        looker = Looker(await context.new_page())
        await looker.sign_in(served.url, key)
        for details in await looker.page.query_selector_all("details"):
            await details.evaluate("each => each.open = true")
        await looker.hears("Live")
        await looker.page.screenshot(path=tmp_path / f"{name}-{scheme}.png", full_page=True)
        assert await looker.overflow() <= 0, name
        assert await looker.overlaps() == [], name
        assert looker.complaints == [], name
        assert looker.hosts == {served.url.removeprefix("http://")}
        assert await looker.page.locator("main img, main iframe, main script").count() == 0
        await context.close()


async def test_figures_change_while_somebody_looks_and_what_is_open_stays_open(
    served: Served, browser: Browser, database: Database
):
    tenant_id = await given.tenant(database)
    await failed(database, tenant_id)
    looker = Looker(await browser.new_page())
    await looker.sign_in(served.url, await make_key(database, "default", Scope.ADMIN))
    first = looker.page.locator(".failures details").first
    await first.locator("summary").click()
    assert await looker.page.inner_text("#tile-done b") == "0"
    await given.succeeded(database, await given.job(database, tenant_id))
    await failed(database, tenant_id, "a second one")
    await expect(looker.page.locator("#tile-done b")).to_have_text("1", timeout=PATIENCE_MS)
    await expect(looker.page.locator(".failures > li")).to_have_count(2, timeout=PATIENCE_MS)
    assert await looker.page.locator(".failures details[open]").count() == 1
    assert await looker.page.locator(".failures details").nth(1).get_attribute("open") is not None
    assert looker.complaints == []


async def test_it_says_when_the_yard_is_away_and_when_the_session_has_ended(
    served: Served, browser: Browser, database: Database
):
    looker = Looker(await browser.new_page())
    await looker.sign_in(served.url, await make_key(database, "default", Scope.ADMIN))
    await looker.page.route("**/page/live", lambda route: route.fulfill(status=503))
    await looker.hears("Postgres is away")
    await looker.page.unroute("**/page/live")
    await looker.hears("Live")
    await looker.page.context.clear_cookies()
    await looker.hears("has ended")


async def test_without_script_it_is_whole(served: Served, browser: Browser, database: Database):
    await fill(database)
    context = await browser.new_context(java_script_enabled=False)
    looker = Looker(await context.new_page())
    await looker.sign_in(served.url, await make_key(database, "default", Scope.ADMIN))
    assert await looker.page.inner_text("#tile-done b") == "3"
    assert await looker.page.locator(".failures > li").count() == 2
    assert await looker.page.locator("#per-minute-title").count() == 1
    await looker.page.click("text=Sign out")
    await looker.page.wait_for_selector("#key")
