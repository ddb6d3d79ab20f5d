"""The HTML report in a real browser: filters, pages, the copied command, light and dark."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.reports import html
from tests.unit import made_up

sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium: apt install chromium"
)
COMMAND = "handlerproof batch handlers --handler 'fraud'"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(
        html.render(
            made_up.batch(
                made_up.entry("churn", log="<b>printed</b>"),
                made_up.entry("fraud", "crashed", log="last words"),
                made_up.entry("price", "raised", message="no <column> 'age'"),
            )
        )
    )
    return file


class Visit:
    """A page, with what it said and asked for meanwhile."""

    def __init__(self, page: Any, said: list[str], asked: list[str]) -> None:
        self.page, self.said, self.asked = page, said, asked

    def shown(self) -> list[str]:
        links = self.page.locator("#handlers tbody tr:visible a")
        return list(links.all_text_contents())


@pytest.fixture
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def visit(browser: Any, report: Path, **options: Any) -> Visit:
    context = browser.new_context(**options)
    context.set_default_timeout(60_000)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    return Visit(page, said, asked)


def test_report_in_a_browser(browser: Any, report: Path, tmp_path: Path) -> None:
    """One test: a browser takes seconds to start."""
    seen = visit(browser, report)
    page = seen.page

    assert seen.shown() == ["fraud", "price", "churn"]
    page.fill("#search", "COLUMN")
    assert seen.shown() == ["price"]
    page.fill("#search", "")
    page.uncheck(".filters input[value=error]")
    assert seen.shown() == ["price", "churn"]
    assert page.inner_text("#shown") == "2 of 3 shown"
    page.check(".filters input[value=error]")

    page.click("text=fraud")
    assert page.locator(".page:visible h2").inner_text().startswith("fraud")
    assert not page.locator("#overview").is_visible()
    log = page.locator(".page:visible details", has_text="last words")
    assert not log.locator("pre").is_visible()
    log.locator("summary").click()
    assert log.locator("pre").inner_text() == "last words"
    page.click(".page:visible .copy")
    # Not by wait_for_function: its script may only be evaluated where it is true at once.
    sync_api.expect(page.locator(".page:target .copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == COMMAND
    page.click(".page:visible nav a")
    assert seen.shown() == ["fraud", "price", "churn"]

    assert seen.said == []
    assert [url for url in seen.asked if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in seen.asked if url.startswith("file:")]) == 1

    pictures = [picture(browser, report, scheme, tmp_path) for scheme in ("light", "dark")]
    assert pictures[0] > 200 > 60 > pictures[1], "light is light, and dark is dark"

    plain = visit(browser, report, java_script_enabled=False)
    assert plain.shown() == ["fraud", "price", "churn"]
    plain.page.click("text=price")
    assert "no <column> 'age'" in plain.page.locator(".page:visible").inner_text()


def picture(browser: Any, report: Path, scheme: str, folder: Path) -> int:
    """Take a screenshot; give how bright the page is behind it, 0 to 255."""
    seen = visit(browser, report, color_scheme=scheme)
    image = seen.page.screenshot(path=folder / f"{scheme}.png", full_page=True)
    assert image.startswith(b"\x89PNG")
    colour = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert seen.said == []
    return max(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
