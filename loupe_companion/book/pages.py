"""Pages and tables that the build writes into the book: versions, run times, profiles, records."""

import importlib
import json
import math
import os
import pkgutil
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from nbformat import NotebookNode

from loupe_companion import bench
from loupe_companion.book.build import INTERNAL
from loupe_companion.groups import span
from loupe_companion.profiles import BOOK_PROFILES, PAPER, REFERENCE
from loupe_companion.provenance import code_version
from loupe_companion.results import RunResult, read_results
from loupe_companion.tables import markdown
from loupe_lib.training.config import RunConfig

PACKAGES = ("torch", "numpy", "h5py", "matplotlib", "scikit-image", "Sphinx", "myst-nb")

VERSIONS_PAGE = """\
# Versions, device and run times

The build of this book wrote this page.

## Device

{device}

## Versions

{versions}

`requirements.lock` has the version of every other package.

## Results

Which code measured the results of this book, when, and on which device:

{results}

## Run times of the notebooks

{times}

A notebook is executed again only if its source, parameters or inputs have changed. Otherwise its
outputs and its time are those of an earlier build. The time includes any training that the notebook
did itself.
"""

COSTS = """\
{table}

The times are those of one GPU, or of two CPU cores that train a run each, without compilation and
evaluation. *About*: the time of one step times the number of steps, because nobody trained this
sweep on such a device. If early stopping can end a run sooner, the table says *at most*. A hyphen:
the time of a step was not measured either. *At the paper's size*: as many runs of `paper`, on the
{gpu}. As {runs} jobs at once, `paper` takes at most
{longest:.1f} hours. For another device, multiply the last line of `python -m loupe_companion bench`
there (ms a model and step) by the number of steps: {steps:,} for `reference`.
"""
SIZE = "at the paper's size"
STEPS = ("bench.json", "bench-cpu.json")  # the time of a step, on a GPU and on a CPU
CPU_CORES = 2  # each trains a run of its own


def versions_page(executed: Mapping[str, NotebookNode], results: Sequence[Path]) -> str:
    """Versions, device, run times of executed notebooks, and what measured the results files.

    Args:
        executed: notebooks by name and execution.
        results: results files, HDF5 or JSON; those without provenance are left out.
    """
    device = {
        "machine": f"{platform.system()}, {platform.machine()}, {os.cpu_count()} cores",
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
    versions = {"Python": platform.python_version(), "loupe_lib": code_version()}
    versions |= {name: version(name) for name in PACKAGES}
    runs = {name: notebook.metadata.papermill for name, notebook in executed.items()}
    times = [(name, f"{run.duration:.1f} s", str(run.end_time)[:10]) for name, run in runs.items()]
    return VERSIONS_PAGE.format(
        device=_table(["part", "name"], device.items()),
        versions=_table(["package", "version"], versions.items()),
        results=_table(
            ["file", "code", "day", "device"], [row for file in results if (row := _origin(file))]
        ),
        times=_table(["notebook, execution", "time", "day"], times),
    )


def _origin(file: Path) -> tuple[str, ...]:
    """A results file, and which code measured it, when, and on which device; empty if unknown."""
    if file.suffix == ".h5":
        found = [result.provenance for result in read_results(file)]
    else:
        content = json.loads(file.read_text("utf-8"))
        sessions = content if isinstance(content, list) else [content]
        found = [session.get("provenance", session) for session in sessions]
    known = [one for one in found if "code" in one]
    if not known:
        return ()
    codes, devices = (sorted({one[key] for one in known}) for key in ("code", "device"))
    days = span(sorted(one["date"][:10] for one in known))
    days = days.replace("-", "\N{NON-BREAKING HYPHEN}")  # a date stays on one line
    return f"`{file.name}`", ", ".join(codes), days, " and ".join(devices)


def reference(package: str) -> str:
    """The functions and classes of a package such as ``loupe_lib.data``, a section for each module.

    Modules that only others of the package use have no section.
    """
    path = importlib.import_module(package).__path__
    names = [module.name for module in pkgutil.walk_packages(path, f"{package}.")]
    return "\n\n".join(
        f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```"
        for name in names
        if not name.startswith(INTERNAL)
    )


def profiles_table() -> str:
    """The profiles of the book, a row each."""
    rows = []
    for profile in BOOK_PROFILES.values():
        run = profile.configs()[0]
        rows.append(
            {
                "profile": f"`{profile.name}`",
                "N": run.size,
                "U-Net width": run.width,
                "training slices": run.train,
                "R": ", ".join(f"{value:g}" for value in profile.accelerations),
                "fixed slopes": ", ".join(f"{value:g}" for value in profile.slopes),
                "seeds": len(profile.seeds),
                "epochs of 4S": f"{_at_most(run)}{profile.shrink_epochs} + {profile.settle_epochs}",
            }
        )
    return markdown(pd.DataFrame(rows))


def _at_most(fixed: RunConfig) -> str:
    """``at most`` if early stopping can end a run with this fixed slope, else nothing."""
    return "at most " * (fixed.stop_patience < fixed.settle_epochs)


def speed(file: Path) -> str:
    """The measurements of ``loupe4s bench``."""
    measured = json.loads(file.read_text("utf-8"))
    when = f"Measured on {measured['date'][:10]}, code {measured['code']}:"
    return f"{when}\n\n```text\n{bench.table(measured)}\n```"


def robustness(record: Path) -> str:
    """What the tests of ``tests/robustness`` counted, a table for each session of tests."""
    return "\n\n".join(map(_counted, json.loads(record.read_text("utf-8"))))


def _counted(session: Mapping[str, Any]) -> str:
    where = session["provenance"]
    rows = [
        (
            test["name"],
            ", ".join(f"{kind} {count:,}" for kind, count in test["counts"].items()),
            test["seconds"],
        )
        for test in session["tests"]
    ]
    table = _table(["failure, and its outcome", "counted", "seconds"], rows)
    return (
        f"Counted on {where['date'][:10]}, code {where['code']}, Python {where['python']}, "
        f"h5py {where['packages']['h5py']}, {where['device']}; no test failed.\n\n{table}"
    )


def costs(sweeps: Mapping[str, Sequence[RunResult]], folder: Path) -> str:
    """What each sweep took on each kind of device, or would take.

    Args:
        sweeps: results by the name of their sweep, such as ``kept reference``; those of another
            device may follow.
        folder: has the measurements of ``loupe4s bench``.
    """
    benches = [json.loads((folder / file).read_text("utf-8")) for file in STEPS]
    paper, reference = PAPER.configs(), REFERENCE.configs()
    longest = _estimate(paper[0], benches[0]) or math.nan
    rows = []
    for name, results in {**sweeps, "paper": []}.items():
        configs = list(dict.fromkeys(result.config for result in results)) or paper
        row = {"training time in hours": f"`{name}`", "runs": str(len(configs))}
        for device, seconds in _measured(results, len(configs)).items():
            row[_kind(device)] = f"{_hours(seconds, device):.2g}"
        for measured in benches:
            hours = _estimate(configs[0], measured)
            if hours is not None:
                about = _at_most(configs[0]) or "about "
                row.setdefault(_kind(measured["device"]), f"{about}{len(configs) * hours:.0f}")
        rows.append(row | {SIZE: f"at most {len(configs) * longest:.0f}"})
    table = pd.DataFrame(rows).fillna("-")
    return COSTS.format(
        table=markdown(table[[*table.columns.drop(SIZE), SIZE]]),
        runs=len(paper),
        longest=longest,
        gpu=benches[0]["device"],
        steps=len(reference) * _steps(reference[0]),
    )


def _measured(results: Sequence[RunResult], runs: int) -> dict[str, float]:
    """Training seconds on each device; on all together if one of them did not train every run."""
    times = pd.DataFrame(
        [(run.provenance["device"], run.provenance["training_seconds"]) for run in results],
        columns=["device", "seconds"],
    )
    devices = times.groupby("device")["seconds"].agg(["size", "sum"])
    if (devices["size"] < runs).any():
        return {" and ".join(devices.index): devices["sum"].sum()}
    return devices["sum"].to_dict()


def _estimate(run: RunConfig, measured: Mapping[str, Any]) -> float | None:
    """Hours that a run takes on the device of a ``bench``; None if it lacks the run's shape."""
    for step in measured["steps"]:
        if (step["size"], step["width"]) == (run.size, run.width):
            return _hours(_steps(run) * step["project"]["ms"] / 1000, measured["device"])
    return None


def _steps(run: RunConfig) -> int:
    """The training steps of a run that is not stopped early."""
    return (run.shrink_epochs + run.settle_epochs) * (run.train // run.batch)


def _kind(device: str) -> str:
    alone = device.startswith("CPU") and " and " not in device
    return "two CPU cores" if alone else device


def _hours(seconds: float, device: str) -> float:
    """Of runs that train one after the other, or as many at once as there are CPU cores."""
    return seconds / 3600 / (CPU_CORES if device.startswith("CPU") else 1)


def _table(columns: list[str], rows: Any) -> str:
    return markdown(pd.DataFrame(rows, columns=columns))
