"""The built book: whole, offline, legible on a phone."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import loupe_lib
from tests.conftest import ROOT, Book

pytest.importorskip("jupyter_book", reason="the book's tools are not installed")
yaml = pytest.importorskip("yaml")

from loupe_companion.book.build import FROM_KEPT, BuildError, render  # noqa: E402
from loupe_companion.book.preamble import repository_url  # noqa: E402

pytestmark = pytest.mark.slow

PROSE = (
    "intro",
    "method",
    "reproduce",
    "differences",
    "survival",
    "versions",
    "api",
    "bibliography",
)
NOTEBOOKS = ("beyond", "claims", "data", "fastmri", "fig1", "fig2", "fig3", "fig4")
PAGES = [*(f"book/{name}" for name in PROSE), *(f"notebooks/{name}" for name in NOTEBOOKS)]
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


def _read(book: Book, page: str) -> str:
    return (book.html / f"{page}.html").read_text("utf-8")


def test_pages_are_those_of_the_table_of_contents(book: Book) -> None:
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text("utf-8"))
    named = [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]
    assert sorted(named) == sorted(PAGES)
    built = [path.relative_to(book.html).with_suffix("").as_posix() for path in book.pages]
    assert sorted(built) == sorted(PAGES)
    assert "book/intro.html" in (book.html / "index.html").read_text("utf-8")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_page_holds_its_figures_with_alternative_text(book: Book, name: str) -> None:
    article = _read(book, f"notebooks/{name}").partition("<article")[2].partition("</article")[0]
    pictures = re.findall(r"<img\b[^>]*>", article)
    assert pictures
    for picture in pictures:
        alt = re.search(r'\balt="([^"]*)"', picture)
        # Where a figure has none of its own, Sphinx gives the path of the picture.
        assert alt and len(alt[1]) > 20 and not alt[1].endswith(".png"), picture[:200]
        source = re.search(r'\bsrc="([^"]+)"', picture)
        assert source and (book.html / "notebooks" / source[1]).is_file()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_colab_button_opens_the_notebook_of_the_repository(book: Book, name: str) -> None:
    owner_and_name = repository_url().removeprefix("https://github.com/")
    opened = f"https://colab.research.google.com/github/{owner_and_name}/blob/main/notebooks"
    assert f'href="{opened}/{name}.ipynb"' in _read(book, f"notebooks/{name}")
    assert (ROOT / "notebooks" / f"{name}.ipynb").is_file()


def test_every_module_is_in_the_reference() -> None:
    reference = (ROOT / "book" / "api.md").read_text("utf-8")
    named = set(re.findall(r"loupe_lib\.(\w+)", reference))
    offered = {getattr(loupe_lib, name).__module__ for name in loupe_lib.__all__}
    named |= {module.removeprefix("loupe_lib.") for module in offered}
    modules = {path.stem for path in (ROOT / "loupe_lib").glob("*.py")}
    assert {name for name in modules if not name.startswith("_")} <= named


def test_every_equation_of_the_paper_leads_to_its_function(book: Book) -> None:
    parts = re.split(r"\\tag\{(\d)\}", _read(book, "book/method"))
    assert parts[1::2] == list("1234567")
    # Equation 4 is what equation 6 replaces; nothing computes it.
    for number, text in zip(parts[1::2], parts[2::2], strict=True):
        first = re.search(r'href="api\.html#(loupe_lib[\w.]+)"', text)
        assert number == "4" or first, number


def test_versions_page_has_versions_device_and_times(book: Book) -> None:
    import torch

    text = re.sub(r"<[^>]+>", " ", _read(book, "book/versions"))
    assert torch.__version__ in text
    for name in NOTEBOOKS:
        label = "kept" if name in FROM_KEPT else "own smoke"
        assert re.search(rf"{name}, {label}\s+\d+\.\d s", text), name


def test_a_fault_in_a_page_fails_the_build(book: Book, tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    shutil.copytree(book.output / "stage", stage)
    (stage / "book" / "_toc.yml").write_text("format: jb-book\nroot: book/bibliography\n")
    page = stage / "book" / "bibliography.md"
    page.write_text(page.read_text() + "\nBy {py:func}`loupe_lib.nothing`.\n")
    with pytest.raises(BuildError, match=r"loupe_lib\.nothing"):
        render(stage, tmp_path)
    assert not (tmp_path / "html").exists()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("no Chromium or Chrome on this machine")
    quiet = [
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    if os.geteuid() == 0:
        quiet.append("--no-sandbox")  # which Chromium cannot have as root
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=executable, args=quiet)
        yield opened
        opened.close()


@pytest.mark.parametrize("page", PAGES)
def test_page_reads_offline(book: Book, browser: Any, page: str) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    tab = browser.new_page(viewport=DESKTOP)
    # Opened from disk, as a reader does who follows the path that `make book` printed.
    tab.route("**/*", lambda route: route.continue_() if _local(route.request) else route.abort())
    tab.on("request", lambda request: asked.append(request.url) if not _local(request) else None)
    tab.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    tab.goto((book.html / f"{page}.html").as_uri())
    tab.wait_for_function("!window.MathJax || window.MathJax.startup?.promise !== undefined")
    tab.evaluate("window.MathJax?.startup.promise.then(() => null)")

    assert not asked, "fetched from outside"
    assert not complaints
    broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
    # Those far down the page load when they come into view.
    tab.evaluate("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
    tab.wait_for_function("[...document.images].every(i => i.complete)")
    assert tab.evaluate(broken) == []
    assert tab.locator("mjx-merror").count() == 0
    formulas = tab.locator("article .math").count()
    assert tab.locator("article mjx-container").count() >= formulas
    assert formulas or page not in ("book/intro", "book/method", "book/differences")

    tab.set_viewport_size(PHONE)
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    tab.close()


def _local(request: Any) -> bool:
    return bool(request.url.startswith(("file:", "data:", "blob:")))
