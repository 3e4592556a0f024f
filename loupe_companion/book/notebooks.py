"""Execute notebooks for the book, and make one page of two executions.

``python -m loupe_companion.book.notebooks SOURCE TARGET NAME=VALUE ...`` executes one.
"""

import argparse
import copy
import sys
import uuid
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from nbformat import NotebookNode

from loupe_companion.book.build import BuildError
from loupe_companion.parent import exit_with_parent

TWO_RUNS = """\
```{{note}}
This page shows the notebook twice: first with the kept `reference` results, then with
[the `{profile}` runs of this machine](own-run-{name}).
```"""

OWN_RUN = """\
(own-run-{name})=
## The `{profile}` runs of this machine

The same cells show the `{profile}` profile, trained on the machine that built this book."""


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


def page(name: str, profile: str, own: NotebookNode, reference: NotebookNode) -> NotebookNode:
    """The page of a figure: the reference execution whole, then the outputs of the own runs."""
    shown = for_readers(reference)
    note, heading = (
        nbformat.v4.new_markdown_cell(text.format(profile=profile, name=name))
        for text in (TWO_RUNS, OWN_RUN)
    )
    shown.cells.insert(1, note)  # after the title
    shown.cells.append(heading)
    for cell in for_readers(own).cells:
        if cell.cell_type == "code" and cell.outputs:
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
            cell.id = uuid.uuid5(uuid.NAMESPACE_OID, f"{profile} {cell.id}").hex[:8]
            shown.cells.append(cell)
    return shown


def for_readers(notebook: NotebookNode) -> NotebookNode:
    """A copy without the install cell and without the metadata of the execution."""
    shown = copy.deepcopy(notebook)
    shown.cells = [c for c in shown.cells if "install" not in c.metadata.get("tags", [])]
    for part in (shown, *shown.cells):
        for key in ("papermill", "execution"):
            part.metadata.pop(key, None)
    for cell in shown.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace("# Parameters", "# Replaced in this execution", 1)
    return shown


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
    try:
        execute(given.source, given.target, parameters, given.cwd)
    except BuildError as error:
        sys.exit(f"no book: {error}")


if __name__ == "__main__":
    main()
