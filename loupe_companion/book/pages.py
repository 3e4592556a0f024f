"""What the book says of itself: versions, device, run times, and the table of profiles."""

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from nbformat import NotebookNode

from loupe_companion.bench import table
from loupe_companion.profiles import BOOK_PROFILES
from loupe_companion.results import RunResult
from loupe_companion.tables import conditions

PACKAGES = (
    "loupe_lib",
    "torch",
    "numpy",
    "h5py",
    "matplotlib",
    "scikit-image",
    "safetensors",
    "papermill",
    "nbclient",
    "ipykernel",
    "jupyter-book",
    "Sphinx",
    "myst-nb",
)

TEXT = """\
# Versions, device and run times

Written by the build of this book: nothing on this page is typed by hand.

## Device

{device}

## Versions

{versions}

Every other package is pinned in `requirements.lock`.

## Training

{trainings}

## Run times of the notebooks

{times}

A notebook whose source, parameters and inputs have not changed keeps its outputs from an earlier
build; the time is that of the run that made them. A run that trained what was missing is longer
than one that found it.
"""


def speed(bench: Path) -> str:
    """What the benchmark measured, as MyST Markdown."""
    if not bench.exists():
        return f"No kept measurements (`results/{bench.name}`) were found when this book was built."
    measured = json.loads(bench.read_text("utf-8"))
    when = f"Measured on {measured['date'][:10]}, code {measured['code']}:"
    return f"{when}\n\n```text\n{table(measured)}\n```\n"


def survival(record: Path) -> str:
    """What the tests of `tests/robustness` counted, as MyST Markdown."""
    if not record.exists():
        return f"No kept record (`results/{record.name}`) was found when this book was built."
    return "\n\n".join(_counted(run) for run in json.loads(record.read_text("utf-8"))) + "\n"


def _counted(run: Mapping[str, Any]) -> str:
    where = run["provenance"]
    lines = [
        f"Counted on {where['date'][:10]}, code {where['code']}, Python {where['python']}, "
        f"h5py {where['packages']['h5py']}, {where['device']}; no try failed.",
        "",
        "| what was done | what came of it | seconds |",
        "|---|---|---|",
    ]
    for test in run["tests"]:
        counts = "; ".join(f"{kind}: {count:,}" for kind, count in test["counts"].items())
        lines.append(f"| {test['name']} | {counts} | {test['seconds']} |")
    return "\n".join(lines)


def versions_page(
    root: Path,
    executed: Mapping[str, NotebookNode],
    trainings: Mapping[str, Sequence[RunResult]],
) -> str:
    """The page as MyST Markdown.

    Args:
        root: the repository, for its commit.
        executed: notebooks as papermill left them, each under the name of its run.
        trainings: the results that they show, in the same words.
    """
    device = {
        "machine": f"{platform.system()}, {platform.machine()}, {os.cpu_count()} cores",
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
    versions = {"Python": platform.python_version(), "commit": _commit(root)}
    versions |= {name: importlib.metadata.version(name) for name in PACKAGES}
    times = {
        name: f"{notebook.metadata.papermill.duration:.1f} s, {_date(notebook)}"
        for name, notebook in executed.items()
    }
    return TEXT.format(
        device=_table("part", "name", device),
        versions=_table("package", "version", versions),
        trainings="\n".join(
            f"- **{name}**: {conditions(results).strip('*')}" for name, results in trainings.items()
        ),
        times=_table("notebook, run", "time, day", times),
    )


def profiles_table() -> str:
    """The profiles as a MyST table."""
    lines = [
        "| profile | N | U-Net width | training slices | R | fixed slopes | seeds | epochs of 4S |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for profile in BOOK_PROFILES.values():
        run = profile.configs()[0]
        cells = (
            f"`{profile.name}`",
            run.size,
            run.width,
            run.train,
            _list(profile.accelerations),
            _list(profile.slopes),
            len(profile.seeds),
            f"at most {profile.shrink_epochs} + {profile.settle_epochs}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _table(key: str, value: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {key} | {value} |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | {text} |" for name, text in rows.items()])


def _date(notebook: NotebookNode) -> str:
    return str(notebook.metadata.papermill.end_time)[:10]


def _commit(root: Path) -> str:
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown (not a git checkout)"
    return described.stdout.strip()
