"""Execute notebooks for the book, and make a page of each.

``python -m loupe_companion.book.notebooks SOURCE TARGET NAME=VALUE ...`` executes one.
"""

import copy
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import nbformat
import papermill
import typer
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
    made = copy.deepcopy(executed)
    cells = [cell for cell in made.cells if "install" not in _tags(cell)]
    shown = [
        cell
        for cell in cells
        if cell.cell_type != "code" or cell.outputs or "show-input" in _tags(cell)
    ]
    if own is not None:
        shown.append(_text(OWN_RUNS.format(name=name, profile=profile)))
        for cell in copy.deepcopy(own.cells):
            if cell.cell_type == "code" and cell.outputs and "install" not in _tags(cell):
                cell.metadata["tags"] = [tag for tag in _tags(cell) if tag != "show-input"]
                cell.id = uuid.uuid5(uuid.NAMESPACE_OID, f"{profile} {cell.id}").hex[:8]
                shown.append(cell)
    for cell in shown:
        if cell.cell_type == "code" and "show-input" not in _tags(cell):
            cell.metadata["tags"] = ["remove-input", *_tags(cell)]
    code = [cell for cell in cells if cell.cell_type == "code"]
    parameters = [cell for cell in code if {"parameters", "injected-parameters"} & {*_tags(cell)}]
    others = [cell for cell in code if cell not in parameters]
    shown.append(
        _text(CODE.format(name=name, parameters=_listing(parameters), others=_listing(others)))
    )
    made.cells = shown
    return made


def _tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def _text(source: str) -> NotebookNode:
    """A cell of Markdown, with an id that does not change from build to build."""
    name = uuid.uuid5(uuid.NAMESPACE_OID, source).hex[:8]
    return nbformat.v4.new_markdown_cell(source, id=name)


def _listing(cells: Sequence[NotebookNode]) -> str:
    """The code of cells in Markdown; it may itself contain shorter fences."""
    return "\n\n".join(f"``````ipython3\n{cell.source}\n``````" for cell in cells)


def main(
    source: Path,
    target: Path,
    cwd: Annotated[Path, typer.Option(help="folder in which the cells run")],
    parent: Annotated[int, typer.Option(help="end with this process")],
    parameters: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE ...", help="values in YAML")
    ] = None,
) -> None:
    """Execute a notebook."""
    exit_with_parent(parent)
    pairs = [pair.split("=", 1) for pair in parameters or []]
    execute(source, target, {name: yaml.safe_load(value) for name, value in pairs}, cwd)


if __name__ == "__main__":
    typer.run(main)
