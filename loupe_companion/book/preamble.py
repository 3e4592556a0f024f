"""Stamp the install cell into every notebook, and clean the notebook for git.

Run as ``python -m loupe_companion.book.preamble``.

The repository's address stands in ``_config.yml`` alone; this writes it into the notebooks, so
that one opened in Colab, with no other file around, knows where to get the library.
"""

from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"

INSTALL = """\
# Where loupe_lib is missing, as in Colab, it is installed from the repository.
try:
    import loupe_lib
except ModuleNotFoundError:
    %pip install --quiet git+{url}
    import loupe_lib

print("loupe_lib", loupe_lib.__version__)"""


def repository_url(config: Path = ROOT / "_config.yml") -> str:
    """The address of the repository, ``repository.url`` of the book's settings."""
    return str(yaml.safe_load(config.read_text("utf-8"))["repository"]["url"])


def stamp(notebook: nbformat.NotebookNode, url: str) -> None:
    """Give a notebook its install cell, and take out whatever a run has left in it.

    Args:
        notebook: changed in place; one of its cells is tagged ``install``.
        url: address of the repository that pip is to install from.

    Raises:
        ValueError: if there is not exactly one cell tagged ``install``, before all other code.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    tagged = [cell for cell in code if "install" in cell.metadata.get("tags", [])]
    if len(tagged) != 1 or tagged[0] is not code[0]:
        raise ValueError("the first code cell, and no other, must be tagged 'install'")
    tagged[0].source = INSTALL.format(url=url)
    for cell in notebook.cells:
        kept = {key: cell.metadata[key] for key in ("mystnb", "tags") if key in cell.metadata}
        cell.metadata = nbformat.from_dict(kept)  # mystnb: the figure's alternative text
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )


def main() -> None:
    url = repository_url()
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        text = path.read_text("utf-8")
        notebook = nbformat.reads(text, as_version=4)
        stamp(notebook, url)
        stamped = nbformat.writes(notebook) + "\n"
        if stamped != text:  # an untouched file keeps its date
            path.write_text(stamped, "utf-8")
            print(f"stamped {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
