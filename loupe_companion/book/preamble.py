"""Write the install cell into every notebook, and clean the notebook for git.

Run as ``python -m loupe_companion.book.preamble``. ``_config.yml`` alone has the address of the
repository. A notebook needs a copy of it: Colab opens the notebook without any other file.
"""

from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
CONFIG = ROOT / "_config.yml"

# GitHub allows no underscore in the name of an account: nobody can own the stand-in address.
STAND_IN = "your_account"

INSTALL = """\
# Installs the library where it is missing, as in Colab.
repository = "{url}"
try:
    import loupe_lib
except ModuleNotFoundError:
    from pathlib import Path

    wheels = sorted(Path.cwd().glob("loupe_lib-*.whl"))
    if not (wheels or repository):
        raise ModuleNotFoundError(
            "loupe_lib is not installed: upload the file loupe_lib-*.whl, which `make wheel` "
            "writes, to the folder of this notebook"
        ) from None
    place = wheels[-1].as_uri() if wheels else f"git+{{repository}}"
    %pip install --quiet "loupe_lib[companion] @ {{place}}"
    import loupe_lib

print("loupe_lib", loupe_lib.__version__)"""


def repository_url(config: Path = CONFIG) -> str:
    """The address of the repository in the book's settings; empty if it is the stand-in."""
    url = str(yaml.safe_load(config.read_text("utf-8"))["repository"]["url"])
    return "" if STAND_IN in url else url


def stamp(notebook: nbformat.NotebookNode, url: str) -> None:
    """Write a notebook's install cell, its first code; remove outputs and metadata of a run.

    Args:
        notebook: is changed in place.
        url: of the repository, from which the cell installs; empty if there is none.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "install" in code[0].metadata["tags"], "the first code cell must be tagged 'install'"
    code[0].source = INSTALL.format(url=url)
    for cell in code:
        cell.outputs = []
        cell.execution_count = None
    for cell in notebook.cells:
        kept = {key: cell.metadata[key] for key in ("mystnb", "tags") if key in cell.metadata}
        cell.metadata = nbformat.from_dict(kept)  # mystnb: the alternative text of a figure
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )


def main() -> None:
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        text = path.read_text("utf-8")
        notebook = nbformat.reads(text, as_version=4)
        stamp(notebook, repository_url())
        stamped = nbformat.writes(notebook) + "\n"
        if stamped != text:  # an untouched file keeps its date
            path.write_text(stamped, "utf-8")
            print(f"stamped {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
