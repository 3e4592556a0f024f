"""Execute notebooks for the book, and make a page of each.

``python -m loupe_companion.book.notebooks SOURCE TARGET NAME=VALUE ...`` executes one.
"""

import argparse
import copy
import uuid
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from nbformat import NotebookNode

from loupe_companion.book.build import BuildError
from loupe_companion.parent import exit_with_parent

OWN_RUNS = """\
(own-runs-{name})=
## The `{profile}` runs of this machine

The same for the `{profile}` profile, trained on the machine that built this book."""

CODE = """\
(code-{name})=
## The code of this page

The button *Download* at the top of the page saves the notebook, to change it and run it again.
These are its parameters; a second block, if there is one, has the values that this page changed:

{parameters}

:::::{{dropdown}} Every other cell, in order
{others}
:::::"""


def execute(source: Path, target: Path, parameters: dict[str, Any], cwd: Path) -> None:
    """Execute a notebook.

    Args:
        source: the notebook.
        target: where the executed notebook is written.
        parameters: values that replace those of its cell tagged ``parameters``.
        cwd: the folder in which the cells run.

    Raises:
        BuildError: if a parameter does not exist or a cell fails; names notebook and reason.
    """
    known = papermill.inspect_notebook(str(source))
    for name in parameters:
        if name not in known:  # papermill itself only warns
            raise BuildError(f"{source.name} has no parameter {name!r}; it has {', '.join(known)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    trial = target.with_suffix(".failed.ipynb")
    try:
        papermill.execute_notebook(
            str(source),
            str(trial),
            parameters,
            kernel_name="python3",
            cwd=str(cwd),
            progress_bar=False,
            # Otherwise kernels print warnings about ports and interrupts.
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )
    except papermill.PapermillExecutionError as error:
        raise BuildError(
            f"{source.name} failed in cell {error.cell_index + 1}: "
            f"{error.ename}: {error.evalue} (kept as {trial})"
        ) from None
    trial.replace(target)


def page(
    name: str, executed: NotebookNode, own: NotebookNode | None = None, profile: str = ""
) -> NotebookNode:
    """The page of a notebook: its text and outputs, and all of its code at the end.

    Only a cell tagged ``show-input`` shows its code in the text too.

    Args:
        name: of the notebook.
        executed: an execution of it.
        own: a second execution, about the runs of this machine; its outputs come second.
        profile: of these runs.
    """
    shown = copy.deepcopy(executed)
    shown.metadata.pop("papermill", None)
    cells = [cell for cell in shown.cells if "install" not in _tags(cell)]
    shown.cells = [cell for cell in cells if _is_shown(cell)]
    if own is not None:
        shown.cells.append(_text(OWN_RUNS.format(name=name, profile=profile)))
        for cell in copy.deepcopy(own.cells):
            if cell.cell_type == "code" and cell.outputs and "install" not in _tags(cell):
                cell.metadata["tags"] = [tag for tag in _tags(cell) if tag != "show-input"]
                cell.id = uuid.uuid5(uuid.NAMESPACE_OID, f"{profile} {cell.id}").hex[:8]
                shown.cells.append(cell)
    for cell in shown.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code" and "show-input" not in _tags(cell):
            hidden = {"hide-input", "remove-input"}
            cell.metadata["tags"] = ["remove-input", *(t for t in _tags(cell) if t not in hidden)]
    code = {"parameters": "", "injected-parameters": ""}
    others = []
    for cell in cells:
        kind = next((tag for tag in _tags(cell) if tag in code), None)
        if kind is not None:
            code[kind] = cell.source
        elif cell.cell_type == "code":
            others.append(_listing(cell.source))
    parameters = "\n\n".join(_listing(source) for source in code.values() if source)
    text = CODE.format(name=name, parameters=parameters, others="\n\n".join(others))
    shown.cells.append(_text(text))
    return shown


def _tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def _is_shown(cell: NotebookNode) -> bool:
    """Whether a cell has a place in the text: if it has text, an output, or code to be shown."""
    return cell.cell_type != "code" or bool(cell.outputs) or "show-input" in _tags(cell)


def _text(source: str) -> NotebookNode:
    """A cell of Markdown, with an id that does not change from build to build."""
    cell = nbformat.v4.new_markdown_cell(source)
    cell.id = uuid.uuid5(uuid.NAMESPACE_OID, source).hex[:8]
    return cell


def _listing(source: str) -> str:
    """Code in Markdown; it may itself contain shorter fences."""
    return f"``````ipython3\n{source}\n``````"


def main() -> None:
    parser = argparse.ArgumentParser(description="Execute a notebook.")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("parameters", nargs="*", metavar="NAME=VALUE", help="values in YAML")
    parser.add_argument("--cwd", type=Path, required=True, help="folder in which the cells run")
    parser.add_argument("--parent", type=int, required=True, help="end with this process")
    given = parser.parse_args()
    exit_with_parent(given.parent)
    pairs = [pair.split("=", 1) for pair in given.parameters]
    parameters = {name: yaml.safe_load(value) for name, value in pairs}
    execute(given.source, given.target, parameters, given.cwd)


if __name__ == "__main__":
    main()
