"""What a run found, and the HDF5 file that collects the runs of a sweep.

Layout (format ``loupe-results`` version 2): a group for each run in ``runs``, named after its
configuration's hash, with the attributes ``config``, ``provenance`` and ``warnings`` (JSON) and the
datasets

- ``probabilities`` (N, N);
- ``pictures`` (3, m, N, N) float16: truth, reconstructions, zero-filled;
- ``numbers``, one after the other all others, as its attribute ``columns`` lists them (JSON: name,
  NumPy type, shape): ``slope``, ``history/loss``, ``metrics/threshold/psnr`` and so on.

So few, because 10,000 runs are to be collected in seconds. Version 1, with a dataset for each
column, is still read.
"""

import contextlib
import dataclasses
import json
import math
import os
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from loupe_lib.data.storage import (
    check_written,
    member,
    open_hdf5,
    read_array,
    writing_hdf5,
)
from loupe_lib.errors import InputError
from loupe_lib.training.config import RunConfig

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
        histogram: (50,) see :class:`loupe_companion.evaluation.MaskStatistics`.
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
NUMBERS = ("slope", "soft_share", "undecided_share")
SMALL = ("histogram", "shown")
KINDS = ("<f4", "<f8", "<i8")  # of numbers


def write_results(results: Iterable[RunResult], path: str | os.PathLike[str]) -> None:
    """Collect results in one file, whole or not at all.

    Raises:
        InputError: if the file cannot be written.
    """
    with writing_hdf5(path, FORMAT, VERSION) as file:
        runs = file.create_group("runs")
        for result in results:
            _write_run(runs.create_group(result.config.name), result)


def collect_results(
    sources: Iterable[Path], path: str | os.PathLike[str], pictures: bool = True
) -> None:
    """Bring the runs of other results files into one, which keeps those that it has.

    Runs are copied as they are, one at a time: thousands take seconds and little memory.

    Args:
        sources: files of results.
        path: the file to add to, or to make.
        pictures: whether the runs that are added keep theirs.

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
    with _open(source) as found:
        as_they_are = pictures and found.file.attrs["version"] == VERSION
        for name in found:
            if name in runs:
                continue
            if as_they_are:
                h5py.h5o.copy(found.id, name.encode(), runs.id, name.encode())
            else:
                result = _read_run(found, name)
                _write_run(
                    runs.create_group(name), result if pictures else result.without_pictures()
                )


def read_results(
    path: str | os.PathLike[str], names: Container[str] | None = None
) -> list[RunResult]:
    """Runs of a file, in the order of their configurations' names.

    Args:
        path: the file.
        names: of the runs to read; all without it.

    Raises:
        InputError: if it is missing, no such file, of another version, cut short or damaged.
    """
    with _open(path) as runs:
        return [_read_run(runs, name) for name in runs if names is None or name in names]


def collected_names(path: str | os.PathLike[str]) -> set[str]:
    """The names of the runs that a file holds; none if there is no such file yet.

    Raises:
        InputError: as for :func:`read_results`.
    """
    if not Path(path).exists():
        return set()
    with _open(path) as runs:
        return set(runs)


@contextlib.contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[h5py.Group]:
    with open_hdf5(path, FORMAT, 1, VERSION) as file:
        yield member(file, "runs", h5py.Group)


def _write_run(group: h5py.Group, result: RunResult) -> None:
    group.attrs["config"] = result.config.to_json()
    group.attrs["provenance"] = json.dumps(result.provenance, sort_keys=True)
    group.attrs["warnings"] = json.dumps(result.warnings)
    _put(group, "probabilities", result.probabilities)
    _put(group, "pictures", np.stack([getattr(result, n) for n in PICTURES]).astype(np.float16))
    columns = {name: np.asarray(getattr(result, name)) for name in (*NUMBERS, *SMALL)}
    columns |= {f"history/{name}": value for name, value in result.history.items()}
    for mask, found in result.metrics.items():
        columns |= {f"metrics/{mask}/{name}": value for name, value in found.items()}
    values = np.concatenate([value.ravel().astype(np.float64) for value in columns.values()])
    listed = [[name, value.dtype.str, value.shape] for name, value in columns.items()]
    _put(group, "numbers", values).attrs["columns"] = json.dumps(listed)


def _put(group: h5py.Group, name: str, value: np.ndarray) -> h5py.Dataset:
    packed = {"compression": "gzip", "shuffle": True} if value.size else {}
    return group.create_dataset(name, data=value, track_times=False, **packed)


def _read_run(runs: h5py.Group, name: str) -> RunResult:
    group = member(runs, name, h5py.Group)
    config = RunConfig.from_json(str(group.attrs.get("config")))
    if config.name != name:
        raise InputError(f"{group.name} holds the run {config.name}, of another configuration")
    try:
        return RunResult(
            config=config,
            provenance=json.loads(group.attrs["provenance"]),
            warnings=tuple(json.loads(group.attrs["warnings"])),
            probabilities=_values(group, "probabilities"),
            **(_read_1(group) if group.file.attrs["version"] == 1 else _read_2(group)),
        )
    except InputError:
        raise
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{group.name} is incomplete: {error}") from error


def _read_2(group: h5py.Group) -> dict[str, Any]:
    pictures = _values(group, "pictures").astype(np.float32)
    found: dict[str, Any] = dict(zip(PICTURES, pictures, strict=True))
    found |= {"history": {}, "metrics": {}}
    for name, value in _columns(group).items():
        kind, _, rest = name.partition("/")
        if kind == "history":
            found[kind][rest] = value
        elif kind == "metrics":
            mask, _, column = rest.partition("/")
            found[kind].setdefault(mask, {})[column] = value
        else:
            found[name] = float(value) if name in NUMBERS else value
    return found


def _columns(group: h5py.Group) -> Columns:
    columns, values, end = {}, _values(group, "numbers"), 0
    for name, kind, shape in json.loads(group["numbers"].attrs["columns"]):
        if kind not in KINDS:
            raise InputError(f"{group.name}/numbers has a column of kind {kind!r}")
        begin, end = end, end + math.prod(shape)
        columns[name] = values[begin:end].astype(kind).reshape(shape)
    if end != len(values):
        raise InputError(f"{group.name}/numbers must hold as many values as its columns")
    return columns


def _values(group: h5py.Group, name: str) -> np.ndarray:
    """All of a dataset, if the file holds as much as the dataset claims."""
    dataset = member(group, name, h5py.Dataset)
    check_written(dataset)
    return np.asarray(read_array(dataset))


def _read_1(group: h5py.Group) -> dict[str, Any]:
    arrays = {name: _values(group, name) for name in (*SMALL, *PICTURES)}
    metrics = member(group, "metrics", h5py.Group)
    return {
        **arrays,
        **{name: arrays[name].astype(np.float32) for name in PICTURES},
        **{name: float(group.attrs[name]) for name in NUMBERS},
        "history": _columns_1(group, "history"),
        "metrics": {mask: _columns_1(metrics, mask) for mask in metrics},
    }


def _columns_1(group: h5py.Group, name: str) -> Columns:
    columns = member(group, name, h5py.Group)
    return {column: _values(columns, column) for column in columns}
