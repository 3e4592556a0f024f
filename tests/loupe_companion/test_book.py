"""The built book: complete, offline, readable on a phone."""

import os
import pkgutil
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import loupe_lib
from loupe_companion.claims.verdicts import TESTS
from tests.common import ROOT, run_workflow, small_stage

pytest.importorskip("jupyter_book", reason="the book's tools are not installed")
yaml = pytest.importorskip("yaml")
nbformat = pytest.importorskip("nbformat")

from loupe_companion.book.build import INTERNAL, render  # noqa: E402
from loupe_companion.book.preamble import (  # noqa: E402
    CONFIG,
    NOTEBOOKS,
    STAND_IN,
    repository_url,
)

pytestmark = pytest.mark.slow

TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text("utf-8"))
PAGES = [TOC["root"], *(page["file"] for part in TOC["parts"] for page in part["chapters"])]
SOURCES = {path.stem: path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
NAMES = list(SOURCES)
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
MAX_HEIGHT = 12_000  # pixels, of a page on a desktop


def read(book: Path, page: str) -> str:
    return (book / "html" / f"{page}.html").read_text("utf-8")


def test_table_of_contents_names_every_page(book: Path) -> None:
    html = book / "html"
    built = [*html.glob("book/*.html"), *html.glob("notebooks/*.html")]
    assert sorted(p.relative_to(html).with_suffix("").as_posix() for p in built) == sorted(PAGES)
    assert sorted(p.removeprefix("notebooks/") for p in PAGES if "notebooks" in p) == NAMES
    assert "book/intro.html" in read(book, "index")


@pytest.mark.parametrize("name", NAMES)
def test_page_has_figures_with_alternative_text_and_all_code_in_one_place(
    book: Path, name: str
) -> None:
    article = read(book, f"notebooks/{name}").partition("<article")[2].partition("</article")[0]
    pictures = re.findall(r"<img\b[^>]*>", article)
    assert pictures or "figure" not in SOURCES[name].read_text("utf-8")
    for picture in pictures:
        alt = re.search(r'\balt="([^"]*)"', picture)
        # Where a figure has no text, Sphinx gives the path of the picture.
        assert alt and len(alt[1]) > 20 and not alt[1].endswith(".png"), picture[:200]
    text, _, code = article.partition('id="code-')
    assert "Show code cell" not in article and code.count("<details") == 1
    source = nbformat.read(SOURCES[name], as_version=4)
    explained = [c for c in source.cells if "show-input" in c.metadata.get("tags", [])]
    assert text.count('class="cell_input') == len(explained)


def test_download_button_saves_the_notebook_of_the_repository(book: Path) -> None:
    for name in NAMES:
        saved = book / "html" / "_sources" / "notebooks" / f"{name}.ipynb"
        assert saved.read_bytes() == SOURCES[name].read_bytes()
        assert f'href="../_sources/notebooks/{name}.ipynb"' in read(book, f"notebooks/{name}")


def test_reference_has_every_public_module_of_the_library(book: Path) -> None:
    reference = "".join(read(book, page) for page in PAGES if page.startswith("book/api"))
    offered = {getattr(loupe_lib, name).__module__ for name in loupe_lib.__all__}
    for module in pkgutil.walk_packages(loupe_lib.__path__, "loupe_lib."):
        inner = module.name.startswith(("loupe_lib.cuda.", *INTERNAL))
        found = f'id="module-{module.name}"' in reference or f'id="{module.name}.' in reference
        left_out = inner or module.ispkg or module.name.endswith("__main__")
        assert found or left_out or module.name in offered, module.name


def test_every_equation_of_the_paper_leads_to_its_function(book: Path) -> None:
    parts = re.split(r"\\tag\{(\d)\}", read(book, "book/method"))
    assert parts[1::2] == list("1234567")
    # Equation 6 replaces equation 4, so nothing computes that one.
    for number, text in zip(parts[1::2], parts[2::2], strict=True):
        assert number == "4" or 'href="api.html#loupe_lib' in text, number


def test_versions_page_has_versions_and_times(book: Path) -> None:
    import torch

    text = re.sub(r"<[^>]+>", " ", read(book, "book/versions"))
    assert torch.__version__ in text
    for name in NAMES:
        labels = re.findall(rf"{name}, (kept|own smoke)\s+\d+\.\d s", text)
        files = [file.name.split(".")[1] for file in (book / "executed").glob(f"{name}.*")]
        assert sorted(label.split()[0] for label in labels) == sorted(files) != []


def test_a_second_call_has_nothing_to_do(book: Path) -> None:
    done = run_workflow(book.parents[1], "--dry-run")
    assert "Nothing to be done" in done.stdout, done.stdout + done.stderr


def test_a_report_has_trainings_though_their_packs_are_no_jobs_any_more(
    book: Path, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    done = run_workflow(book.parents[1], "--report", file)
    assert done.returncode == 0, done.stderr
    rules = re.findall(r'"rule": "(\w+)", "runtime": ', file.read_text("utf-8"))
    assert {"train", "own_notebook", "book"} <= set(rules)


def test_a_fault_in_a_page_fails_each_build_and_keeps_the_old_book(tmp_path: Path) -> None:
    output = tmp_path / "book/_build"
    small_stage(output, "book/page.md", "# Page\n\nBy {py:func}`loupe_lib.nothing`.\n")
    old = output / "html/index.html"
    old.parent.mkdir()
    old.write_text("the old book")
    for _ in range(2):
        done = run_workflow(tmp_path, "--allowed-rules", "book")
        assert done.returncode == 1 and "loupe_lib.nothing" in done.stdout + done.stderr
        assert old.read_text() == "the old book"


def test_only_a_book_with_an_address_links_to_its_repository(book: Path, tmp_path: Path) -> None:
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    config["repository"]["url"] = "https://github.com/somebody/loupe-4s"
    settings = tmp_path / "settings.yml"
    settings.write_text(yaml.safe_dump(config), "utf-8")
    stage = small_stage(tmp_path, "notebooks/fig2.ipynb", SOURCES["fig2"].read_text("utf-8"))
    render(stage, tmp_path, settings)
    page = (tmp_path / "html/notebooks/fig2.html").read_text("utf-8")
    colab = "https://colab.research.google.com/github"
    assert f'href="{colab}/somebody/loupe-4s/blob/main/notebooks/fig2.ipynb"' in page
    assert 'href="https://github.com/somebody/loupe-4s"' in page

    if not repository_url():
        for page in PAGES:
            for address in (STAND_IN, colab, "executablebooks"):
                assert not re.search(rf'href="[^"]*{address}', read(book, page)), page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("no Chromium or Chrome on this machine")
    arguments = ["--disable-gpu", "--disable-background-networking", "--disable-sync"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium has no sandbox for root
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=executable, args=arguments)
        yield opened
        opened.close()


@pytest.mark.parametrize("page", PAGES)
def test_page_reads_offline_is_short_enough_and_clips_no_table(
    book: Path, browser: Any, page: str
) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    tab = browser.new_page(viewport=DESKTOP)
    # Opened from disk, by the path that `make book` prints.
    tab.route("**/*", lambda route: route.continue_() if local(route.request) else route.abort())
    tab.on("request", lambda request: asked.append(request.url) if not local(request) else None)
    tab.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    tab.goto((book / "html" / f"{page}.html").as_uri())
    tab.wait_for_function("!window.MathJax || window.MathJax.startup?.promise !== undefined")
    tab.evaluate("window.MathJax?.startup.promise.then(() => null)")

    assert not asked, "fetched from outside"
    assert not complaints
    # Images far down the page load when they come into view.
    tab.evaluate("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
    tab.wait_for_function("[...document.images].every(i => i.complete)")
    broken = "[...document.images].filter(i => !i.naturalWidth).map(i => i.src)"
    assert tab.evaluate(broken) == []
    assert tab.locator("mjx-merror").count() == 0
    formulas = tab.locator("article .math").count()
    assert tab.locator("article mjx-container").count() >= formulas
    assert formulas or page not in ("book/intro", "book/method", "book/differences")
    assert tab.evaluate("document.querySelector('main').scrollHeight") <= MAX_HEIGHT
    clipped = "[...document.querySelectorAll('table')].filter(t => t.scrollWidth > t.clientWidth)"
    assert tab.evaluate(f"{clipped}.map(t => t.innerText.slice(0, 80))") == []

    tab.set_viewport_size(PHONE)
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    tab.close()


def test_first_page_has_figure_and_claims_before_any_scrolling(book: Path, browser: Any) -> None:
    tab = browser.new_page(viewport={"width": 1280, "height": 800})
    tab.goto((book / "html/book/intro.html").as_uri())
    tab.wait_for_function("[...document.images].every(i => i.complete)")
    tab.evaluate("window.MathJax?.startup.promise.then(() => null)")
    figure, claims = (tab.locator(f"article {each}").bounding_box() for each in ("img", "table"))
    for box in (figure, claims):
        assert box["y"] + box["height"] <= 800
        assert box["x"] + box["width"] <= 1280
    assert tab.locator("article tbody tr").count() == len(TESTS) + 1
    tab.set_viewport_size(PHONE)
    figure, claims = (tab.locator(f"article {each}").bounding_box() for each in ("img", "table"))
    assert claims["y"] >= figure["y"] + figure["height"]
    tab.close()


def test_a_link_to_a_claim_unfolds_it_and_no_other(book: Path, browser: Any) -> None:
    tab = browser.new_page(viewport=DESKTOP)
    tab.goto((book / "html/book/intro.html").as_uri())
    tab.locator("article table a", has_text="as good as the best fixed slope").click()
    tab.wait_for_url("**/claims.html#claim-3")
    opened = "[...document.querySelectorAll('details.hide[open]')].map(d => d.innerText)"
    (text,) = tab.evaluate(opened)
    assert "4S reaches a higher PSNR than the best fixed s" in text
    tab.locator("article table a", has_text="The slope cannot be trained").click()
    tab.wait_for_url("**/claims.html#claim-8")
    assert len(tab.evaluate(opened)) == 2
    tab.close()


def local(request: Any) -> bool:
    return bool(request.url.startswith(("file:", "data:", "blob:")))
