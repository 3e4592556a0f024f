"""The result of a run, and the HDF5 file that holds the results of a sweep.

Layout (format ``loupe-results`` version 2): a group for each run in ``runs``, named after its
configuration's hash, with the attributes ``config``, ``provenance`` and ``warnings`` (JSON) and the
datasets

- ``probabilities`` (N, N);
- ``pictures`` (3, m, N, N) float16: truth, reconstructions, zero-filled;
- ``snapshots/NAME``, if the training kept some: see ``loupe_companion.snapshots.Recorder``;
- ``numbers``, all other values in one row; its attribute ``columns`` lists them (JSON: name, NumPy
  type, shape): ``slope``, ``history/loss``, ``metrics/threshold/psnr`` and so on.

The time of HDF5 grows with the number of datasets: three a run let 10,000 runs take seconds.
"""

import dataclasses
import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from loupe_lib.data.storage import open_hdf5, writing_hdf5
from loupe_lib.training.config import RunConfig

# The results that come with the package; in a clone a link to the folder results.
KEPT = Path(__file__).parent / "kept"

FORMAT = "loupe-results"
VERSION = 2
Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        config: what was trained.
        slope: s of the weights that were kept; for 4S the slope it returned.
        probabilities: (N, N) P of those weights, centred.
        history: columns of the training history, a value an epoch.
        metrics: by mask (``threshold``, ``topk``, ``relaxed``), what
            :func:`loupe_companion.evaluation.evaluate` returned.
        histogram: (50,) fractions of the entries of M (eq. 6, before thresholding) in equal bins
            over [0, 1], over 1000 draws (paper, Fig. 2).
        soft_share: fraction of those entries in (0.05, 0.95).
        undecided_share: fraction of the entries of P in (0.1, 0.9).
        shown: (m,) which test slices are kept as pictures.
        truth: (m, N, N) those slices.
        reconstructions: (m, N, N) their reconstructions with the thresholded mask.
        zero_filled: (m, N, N) the same before the network.
        provenance: code version, package versions, device, date, wall time.
        warnings: of NaN, or a collapsed mask; shown wherever the numbers of the run are.
        snapshots: columns of the snapshots of the training, see
            ``loupe_companion.snapshots.Recorder.of``; empty if none were kept. Reconstructed
            is the first of the test slices ``shown``.
    """

    config: RunConfig
    slope: float
    probabilities: np.ndarray
    history: Columns
    metrics: dict[str, Columns]
    histogram: np.ndarray
    soft_share: float
    undecided_share: float
    shown: np.ndarray
    truth: np.ndarray
    reconstructions: np.ndarray
    zero_filled: np.ndarray
    provenance: dict[str, Any]
    warnings: tuple[str, ...]
    snapshots: Columns = field(default_factory=dict)

    def psnr(self, mask: str = "threshold") -> float:
        """Mean test PSNR in dB: per slice (eq. 7), then averaged."""
        return float(self.metrics[mask]["psnr"].mean())

    @property
    def p_dc(self) -> float:
        """P at the zero frequency (DC), of the kept weights."""
        center = len(self.probabilities) // 2
        return float(self.probabilities[center, center])

    def achieved_acceleration(self, mask: str = "threshold") -> float:
        """N*N over the number of samples that the mask keeps."""
        return float(self.metrics[mask]["achieved_acceleration"])

    def without_pictures(self) -> "RunResult":
        """The same numbers, with no test slice shown: most of a result's bytes are pictures."""
        none = {name: getattr(self, name)[:0] for name in ("shown", *PICTURES)}
        return dataclasses.replace(self, **none, snapshots={})


PICTURES = ("truth", "reconstructions", "zero_filled")  # kept to 16 bits
NUMBERS = ("slope", "soft_share", "undecided_share")


def write_results(results: Iterable[RunResult], path: str | os.PathLike[str]) -> None:
    """Write results to a file, whole or not at all.

    Raises:
        InputError: if the file cannot be written.
    """
    with writing_hdf5(path, FORMAT, VERSION) as file:
        runs = file.create_group("runs")
        for result in results:
            _write_run(runs, result)


def collect_results(
    sources: Iterable[Path], path: str | os.PathLike[str], pictures: bool = True
) -> None:
    """Add the runs of other results files to one file; runs that it already has stay as they are.

    Runs are copied one at a time: thousands take seconds and little memory. Without ``pictures``
    the runs that are added lose theirs.

    Raises:
        InputError: if a file is damaged, or the collected one cannot be written.
    """
    path = Path(path)
    with writing_hdf5(path, FORMAT, VERSION) as file:
        runs = file.create_group("runs")
        if path.exists():
            _copy_runs(path, runs, pictures=True)
        for source in sources:
            _copy_runs(source, runs, pictures)


def _copy_runs(source: Path, runs: h5py.Group, pictures: bool) -> None:
    with open_hdf5(source, FORMAT, VERSION) as file:
        for name, group in file["runs"].items():
            if name in runs:
                continue
            if pictures:
                file.copy(group, runs)
            else:
                _write_run(runs, _read_run(group).without_pictures())


def read_results(path: str | os.PathLike[str]) -> list[RunResult]:
    """The runs of a file, in the order of their configurations' names.

    Raises:
        InputError: if the file is missing, damaged, or not of this format and version.
    """
    with open_hdf5(path, FORMAT, VERSION) as file:
        return [_read_run(group) for group in file["runs"].values()]


def collected_names(path: str | os.PathLike[str]) -> set[str]:
    """The names of the runs that a file holds; none if there is no such file yet.

    Raises:
        InputError: as for :func:`read_results`.
    """
    if not Path(path).exists():
        return set()
    with open_hdf5(path, FORMAT, VERSION) as file:
        return set(file["runs"])


def _write_run(runs: h5py.Group, result: RunResult) -> None:
    group = runs.create_group(result.config.name)
    group.attrs["config"] = result.config.to_json()
    group.attrs["provenance"] = json.dumps(result.provenance, sort_keys=True)
    group.attrs["warnings"] = json.dumps(result.warnings)
    _put(group, "probabilities", result.probabilities)
    _put(group, "pictures", np.stack([getattr(result, n) for n in PICTURES]).astype(np.float16))
    for name, value in result.snapshots.items():
        _put(group, f"snapshots/{name}", value)
    columns = {n: np.asarray(getattr(result, n)) for n in (*NUMBERS, "histogram", "shown")}
    columns |= {f"history/{name}": value for name, value in result.history.items()}
    for mask, found in result.metrics.items():
        columns |= {f"metrics/{mask}/{name}": value for name, value in found.items()}
    values = np.concatenate([value.ravel().astype(np.float64) for value in columns.values()])
    listed = [[name, value.dtype.str, value.shape] for name, value in columns.items()]
    _put(group, "numbers", values).attrs["columns"] = json.dumps(listed)


def _put(group: h5py.Group, name: str, value: np.ndarray) -> h5py.Dataset:
    packed = {"compression": "gzip", "shuffle": True} if value.size else {}
    return group.create_dataset(name, data=value, track_times=False, **packed)


def _read_run(group: h5py.Group) -> RunResult:
    config = RunConfig.from_json(group.attrs["config"])
    found: dict[str, Any] = {"history": {}, "metrics": {}}
    values, end = group["numbers"][()], 0
    for name, kind, shape in json.loads(group["numbers"].attrs["columns"]):
        begin, end = end, end + math.prod(shape)
        value = values[begin:end].astype(kind).reshape(shape)
        match name.split("/"):
            case ["history", column]:
                found["history"][column] = value
            case ["metrics", mask, column]:
                found["metrics"].setdefault(mask, {})[column] = value
            case _:
                found[name] = float(value) if name in NUMBERS else value
    return RunResult(
        config=config,
        probabilities=group["probabilities"][()],
        provenance=json.loads(group.attrs["provenance"]),
        warnings=tuple(json.loads(group.attrs["warnings"])),
        snapshots={name: value[()] for name, value in group.get("snapshots", {}).items()},
        **dict(zip(PICTURES, group["pictures"][()].astype(np.float32), strict=True)),
        **found,
    )
