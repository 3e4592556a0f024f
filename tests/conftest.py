"""What several tests share: one smoke build of the book."""

from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Book:
    """A built book: the folder of everything made, and the pages in it."""

    output: Path

    @property
    def html(self) -> Path:
        return self.output / "html"

    @property
    def pages(self) -> list[Path]:
        return sorted([*self.html.glob("book/*.html"), *self.html.glob("notebooks/*.html")])


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """The real book of the smoke profile, trained, executed and built from nothing."""
    pytest.importorskip("jupyter_book", reason="the book's tools are not installed")
    from tools.build_book import build

    folder = tmp_path_factory.mktemp("book")
    index = build("smoke", output=folder / "_build", cwd=folder)
    assert index == folder / "_build" / "html" / "index.html"
    return Book(folder / "_build")
