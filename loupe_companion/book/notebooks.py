"""Execute notebooks for the book, and make one page of two executions."""

import copy
import hashlib
import json
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbformat import NotebookNode

TWO_RUNS = """\
```{{note}}
This page shows the notebook twice: first with the kept `reference` results, then with
[the `{profile}` runs of this machine](own-run-{name}).
```"""

OWN_RUN = """\
(own-run-{name})=
## The `{profile}` runs of this machine

The same cells show the `{profile}` profile, trained on the machine that built this book."""


class BuildError(Exception):
    """Why the book was not built, in words for the user."""


def execute(
    source: Path, target: Path, parameters: dict[str, Any], inputs: Iterable[Path], cwd: Path
) -> NotebookNode:
    """Execute a notebook, unless this was done before with the same parameters and inputs.

    Args:
        source: the notebook.
        target: where the executed notebook is kept.
        parameters: values that replace those of its cell tagged ``parameters``.
        inputs: files that the outputs depend on, apart from the notebook.
        cwd: the folder in which the cells run.

    Raises:
        BuildError: if a parameter does not exist or a cell fails; names notebook and reason.
    """
    digest = hashlib.sha256(sys.version.encode() + json.dumps(parameters, sort_keys=True).encode())
    for path in (source, *sorted(inputs)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    fingerprint = digest.hexdigest()
    if target.exists():
        kept = nbformat.read(target, as_version=4)
        if kept.metadata.get("fingerprint") == fingerprint:
            return kept

    known = papermill.inspect_notebook(str(source))
    for name in parameters:
        if name not in known:  # papermill itself only warns
            raise BuildError(f"{source.name} has no parameter {name!r}; it has {', '.join(known)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    trial = target.with_suffix(".failed.ipynb")
    try:
        notebook = papermill.execute_notebook(
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
    notebook.metadata["fingerprint"] = fingerprint
    nbformat.write(notebook, trial)
    trial.replace(target)
    return notebook


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
        for key in ("papermill", "execution", "fingerprint"):
            part.metadata.pop(key, None)
    for cell in shown.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace("# Parameters", "# Replaced in this execution", 1)
    return shown
