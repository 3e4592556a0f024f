"""Execute notebooks for the book, and make one page of two executions."""

import copy
import hashlib
import json
import os
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbformat import NotebookNode

# Kernels speak of open ports when they start and of interrupts when they end; cells that fail are
# told of by papermill.
QUIET_KERNEL = ["--IPKernelApp.log_level=CRITICAL"]

OWN_RUN = """\
## The same with this machine's own `{profile}` run

What follows is computed by the same cells from the `{profile}` profile, trained where this book
was built."""

TWO_RUNS = """\
```{{note}}
This page shows the notebook twice: first with the kept `reference` results, then with
[this machine's own `{profile}` run](own-run-{name}).
```"""

ONE_RUN = """\
```{{note}}
No kept results (`results/reference.h5`) were found when this book was built, so this page shows
this machine's own `{profile}` run alone.
```"""


class NotebookError(Exception):
    """A notebook that cannot be executed, in one line."""


def execute(
    source: Path, target: Path, parameters: dict[str, Any], inputs: Iterable[Path], cwd: Path
) -> NotebookNode:
    """Execute a notebook, unless it already was with the same parameters and inputs.

    Args:
        source: the notebook, with a cell tagged ``parameters``.
        target: where the executed notebook is kept, with a fingerprint of what went into it.
        parameters: replace values of the ``parameters`` cell.
        inputs: files that its outputs depend on, beside itself.
        cwd: folder in which its cells run.

    Returns:
        The executed notebook.

    Raises:
        NotebookError: if a parameter does not exist or a cell fails; names notebook and reason.
    """
    fingerprint = _fingerprint(source, parameters, inputs)
    if target.exists():
        kept = nbformat.read(target, as_version=4)
        if kept.metadata.get("fingerprint") == fingerprint:
            return kept

    known = papermill.inspect_notebook(str(source))
    for name in parameters:
        if name not in known:  # papermill itself only warns
            raise NotebookError(
                f"{source.name} has no parameter {name!r}; it has {', '.join(known)}"
            )
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
            extra_arguments=QUIET_KERNEL,
        )
    except papermill.PapermillExecutionError as error:
        raise NotebookError(
            f"{source.name} failed in cell {error.cell_index + 1}: "
            f"{error.ename}: {error.evalue} (kept as {trial})"
        ) from None
    notebook.metadata["fingerprint"] = fingerprint
    nbformat.write(notebook, trial)
    os.replace(trial, target)
    return notebook


def page(
    name: str, profile: str, own: NotebookNode, reference: NotebookNode | None
) -> NotebookNode:
    """The page of a figure: the reference run whole, then the outputs of this machine's own run.

    Args:
        name: of the notebook, for links.
        profile: of the own run.
        own: the notebook executed with ``profile``.
        reference: the notebook executed with the kept results; None where there are none.
    """
    if reference is None:
        shown = for_readers(own)
        _insert_after_title(shown, ONE_RUN.format(profile=profile))
        return shown
    shown = for_readers(reference)
    _insert_after_title(shown, TWO_RUNS.format(profile=profile, name=name))
    anchor = f"(own-run-{name})=\n"
    shown.cells.append(nbformat.v4.new_markdown_cell(anchor + OWN_RUN.format(profile=profile)))
    for cell in for_readers(own).cells:
        if cell.cell_type == "code" and cell.outputs:
            _tag(cell, "hide-input")
            cell.id = uuid.uuid5(uuid.NAMESPACE_OID, f"{profile} {cell.id}").hex[:8]
            shown.cells.append(cell)
    return shown


def for_readers(notebook: NotebookNode) -> NotebookNode:
    """A copy without what only a run needs: the install cell and papermill's traces."""
    shown = copy.deepcopy(notebook)
    shown.cells = [c for c in shown.cells if "install" not in c.metadata.get("tags", [])]
    for cell in shown.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace("# Parameters", "# This run's", 1)
    shown.metadata.pop("papermill", None)
    shown.metadata.pop("fingerprint", None)
    return shown


def _insert_after_title(notebook: NotebookNode, text: str) -> None:
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(text))


def _tag(cell: NotebookNode, tag: str) -> None:
    cell.metadata["tags"] = [*cell.metadata.get("tags", []), tag]


def _fingerprint(source: Path, parameters: dict[str, Any], inputs: Iterable[Path]) -> str:
    digest = hashlib.sha256(sys.version.encode())
    digest.update(json.dumps(parameters, sort_keys=True).encode())
    for path in (source, *sorted(inputs)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
