"""What a run found, and the HDF5 file that collects the runs of a sweep.

Layout (format ``loupe-results`` version 1): a group for each run in ``runs``, named after its
configuration's hash, with the attributes ``config`` (JSON), ``slope``, ``provenance`` (JSON) and
``warnings`` (JSON), and the datasets of :class:`RunResult`; histories and metrics are groups with
a dataset for each column.
"""

import dataclasses
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from loupe_lib.config import RunConfig
from loupe_lib.errors import InputError
from loupe_lib.files import member, open_hdf5, writing_hdf5

FORMAT = "loupe-results"
VERSION = 1


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        config: what was trained.
        slope: s of the weights that were kept; for 4S the slope it returned.
        probabilities: (N, N) P of those weights, centred.
        history: columns of the training history, a value an epoch.
        metrics: by mask (``threshold``, ``topk``, ``relaed``), what
            :func:`loupe_lib.evaluation.evaluate` returned.
        histogram: (50,) see :class:`loupe_lib.evaluation.MaskStatistics`.
        soft_share: likewise.
        undecided_share: likewise.
        shown: (m,) which test slices are kept as pictures.
        truth: (m, N, N) those slices.
        reconstructions: (m, N, N) their reconstructions with the thresholded mask.
        zero_filled: (m, N, N) the same before the network.
        provenance: code version, package versions, device, date, wall time.
        warnings: NaN, a collapsed mask: to be shown wherever a number of the run is.
    """

    config: RunConfig
    slope: float
    probabilities: np.ndarray
    history: dict[str, np.ndarray]
    metrics: dict[str, dict[str, np.ndarray]]
    histogram: np.ndarray
    soft_share: float
    undecided_share: float
    shown: np.ndarray
    truth: np.ndarray
    reconstructions: np.ndarray
    zero_filled: np.ndarray
    provenance: dict[str, Any]
    warnings: tuple[str, ...]

    def psnr(self, mask: str = "threshold") -> float:
        """Mean test PSNR in dB: per slice (eq. 7), then averaged."""
        return float(self.metrics[mask]["psnr"].mean())

    def achieved_acceleration(self, mask: str = "threshold") -> float:
        """N*N over the number of samples that the mask keeps."""
        return float(self.metrics[mask]["achieved_acceleration"])

    def without_pictures(self) -> "RunResult":
        """The same numbers, with no test slice shown: most of a result's bytes are pictures."""
        none = {name: getattr(self, name)[:0] for name in ("shown", *PICTURES)}
        return dataclasses.replace(self, **none)


PICTURES = ("truth", "reconstructions", "zero_filled")  # kept to 16 bits
ARRAYS = ("probabilities", "histogram", "shown", *PICTURES)
NUMBERS = ("slope", "soft_share", "undecided_share")


def write_results(results: Iterable[RunResult], path: str | os.PathLike[str]) -> None:
    """Collect results in one file, whole or not at all.

    Raises:
        InputError: if the file cannot be written.
    """
    with writing_hdf5(path, FORMAT, VERSION) as file:
        runs = file.create_group("runs")
        for result in results:
            _write_run(runs.create_group(result.config.name), result)


def read_results(path: str | os.PathLike[str]) -> list[RunResult]:
    """All runs of a file, in the order of their configurations' names.

    Raises:
        InputError: if it is missing, no such file, of another version, cut short or damaged.
    """
    with open_hdf5(path, FORMAT, VERSION) as file:
        runs = member(file, "runs", h5py.Group)
        return [_read_run(member(runs, name, h5py.Group)) for name in runs]


def _write_run(group: h5py.Group, result: RunResult) -> None:
    group.attrs["config"] = result.config.to_json()
    group.attrs["provenance"] = json.dumps(result.provenance, sort_keys=True)
    group.attrs["warnings"] = json.dumps(result.warnings)
    for name in NUMBERS:
        group.attrs[name] = getattr(result, name)
    for name in ARRAYS:
        value = getattr(result, name)
        _put(group, name, value.astype(np.float16) if name in PICTURES else value)
    for name, column in result.history.items():
        _put(group, f"history/{name}", column)
    for mask, found in result.metrics.items():
        for name, value in found.items():
            _put(group, f"metrics/{mask}/{name}", value)


def _put(group: h5py.Group, name: str, value: np.ndarray) -> None:
    kept: dict[str, Any] = {"compression": "gzip", "shuffle": True, "fletcher32": True}
    group.create_dataset(name, data=value, track_times=False, **(kept if value.ndim else {}))


def _read_run(group: h5py.Group) -> RunResult:
    config = RunConfig.from_json(str(group.attrs["config"]))
    if config.name != group.name.rpartition("/")[2]:
        raise InputError(f"{group.name} holds the run {config.name}, of another configuration")
    arrays = {name: member(group, name, h5py.Dataset)[()] for name in ARRAYS}
    metrics = member(group, "metrics", h5py.Group)
    return RunResult(
        config=config,
        history=_columns(group, "history"),
        metrics={mask: _columns(metrics, mask) for mask in metrics},
        provenance=json.loads(group.attrs["provenance"]),
        warnings=tuple(json.loads(group.attrs["warnings"])),
        slope=float(group.attrs["slope"]),
        soft_share=float(group.attrs["soft_share"]),
        undecided_share=float(group.attrs["undecided_share"]),
        **{
            name: value.astype(np.float32) if name in PICTURES else value
            for name, value in arrays.items()
        },
    )


def _columns(group: h5py.Group, name: str) -> dict[str, np.ndarray]:
    columns = member(group, name, h5py.Group)
    return {column: np.asarray(member(columns, column, h5py.Dataset)[()]) for column in columns}
